// Who is at the other end of a Unix socket, as the kernel tells it.
#pragma once

#include <sys/types.h>

#include <optional>
#include <vector>

namespace clusterd {

enum class Access { kNone, kRead, kAdmin };

struct AccessGroups {
  std::optional<gid_t> readers;  // "clusterd"
  std::optional<gid_t> admins;   // "clusterd-admin"
};

// Looks the groups up by name. May ask the name service, so it is called once at start.
[[nodiscard]] AccessGroups access_groups();

struct PeerCredentials {
  pid_t pid = 0;
  uid_t uid = 0;
  std::vector<gid_t> groups;  // primary first
};

// nullopt when the kernel does not say: such a peer gets nothing.
[[nodiscard]] std::optional<PeerCredentials> peer_credentials(int fd);

[[nodiscard]] Access access_of(const PeerCredentials& peer, const AccessGroups& groups);

}  // namespace clusterd
