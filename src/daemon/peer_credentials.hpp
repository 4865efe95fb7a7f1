// Who is at the other end of a Unix socket, as the kernel tells it, and what he may do.
//
// Root and members of the group clusterd-admin may act, members of the group clusterd may look, nobody else
// gets anything. A caller's groups are those of his process when it connected (SO_PEERGROUPS), so a change of
// membership counts from his next login on and nothing has to be looked up for it.
//
// The two groups' numbers come from /etc/group itself, once at start. No name service is asked: it may hang
// on a network that this daemon is about to repair, and the package makes the groups as local ones
// (packaging/clusterd.sysusers). Groups that are made later count after `systemctl restart clusterd`, which
// disturbs no service.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace clusterd {

inline constexpr const char* kReaderGroup = "clusterd";
inline constexpr const char* kAdminGroup = "clusterd-admin";

enum class Access { kNone, kRead, kAdmin };

struct AccessGroups {
  std::optional<gid_t> readers;
  std::optional<gid_t> admins;
  bool operator==(const AccessGroups&) const = default;
};

// Reads the file's text; lines that are not "name:password:number:members" are passed over, and so are
// numbers that no group can have. Of several lines with one name the first counts, as everywhere.
[[nodiscard]] AccessGroups parse_groups(std::string_view text);

// From the file; without the groups if it cannot be read.
[[nodiscard]] AccessGroups access_groups(const std::string& file = "/etc/group");

struct PeerCredentials {
  pid_t pid = 0;
  uid_t uid = 0;
  std::vector<gid_t> groups;  // primary first
};

// nullopt when the kernel does not say: such a peer gets nothing.
[[nodiscard]] std::optional<PeerCredentials> peer_credentials(int fd);

[[nodiscard]] Access access_of(const PeerCredentials& peer, const AccessGroups& groups);

// Why somebody with less access than `wanted` is refused, and what root can do about it.
[[nodiscard]] std::string refusal(Access wanted, const AccessGroups& groups, uid_t uid);

// Lets root and the members of the groups connect to the socket file, and the kernel refuses all others.
// Where the file system knows no access lists, the socket belongs to the first of the groups that there is,
// and administrators have to be in both.
[[nodiscard]] Result<void> permit(const std::string& socket_file, const AccessGroups& groups);

}  // namespace clusterd
