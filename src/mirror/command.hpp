// Command lines: what the source runs (rsync, ssh), and what the target accepts.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "core/config.hpp"

namespace clusterd::mirror {

// A service's, mirror's or backup set's name, as it may appear in a command line and in a file's name.
[[nodiscard]] bool is_safe_name(std::string_view name);

// "ssh -o BatchMode=yes …" without the host.
[[nodiscard]] std::vector<std::string> ssh_command(const SshConfig& ssh);

// One run of the mirror's rsync towards `destination`.
struct RsyncPlan {
  std::vector<std::string> roots;  // absolute; a directory that the configuration ends with "/" does so
  std::vector<std::string> more_excludes;  // beside the mirror's own
  std::string destination;                 // "root@192.168.111.2:/", see rsync_destination
  std::string receive;                     // remote command before rsync's own options; empty = plain rsync
  std::string backup_dir;                  // at the target; empty = none
  bool make_path = false;                  // create the destination folder
};
[[nodiscard]] std::vector<std::string> rsync_command(const MirrorConfig& mirror, const SshConfig& ssh,
                                                     const RsyncPlan& plan);
[[nodiscard]] std::string rsync_destination(const std::string& user, const IpAddress& host);
// "user@host:/path/" of `to`; refuses what ssh or rsync would take for an option or another host.
[[nodiscard]] Result<std::string> offsite_destination(const std::string& to);

// What a `clusterd-mirror receive` is told by the source.
struct ReceiveOptions {
  std::string service, mirror;
  uint64_t epoch = 0;
  std::string backup_set;  // empty = none
  bool confirmed = false;  // the administrator confirmed what a halt asked about
};
// "clusterd-mirror receive --service …  --", for rsync's --rsync-path.
[[nodiscard]] std::string receive_command(const ReceiveOptions& options);

// rsync's own options behind the "--". Only what rsync_command makes rsync send is let through: no other
// direction (--sender), no other folder than "/", no option that writes elsewhere or follows links.
[[nodiscard]] Result<void> check_server_options(const std::vector<std::string>& options, bool remove_allowed,
                                                const std::string& backup_dir);

// Splits a remote command line as a shell would, for SSH_ORIGINAL_COMMAND. Only words, backslashes and single
// quotes; whatever a shell would interpret beyond that is refused.
[[nodiscard]] Result<std::vector<std::string>> split_command(std::string_view line);

}  // namespace clusterd::mirror
