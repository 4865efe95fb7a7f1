#include "daemon/peer_credentials.hpp"

#include <grp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace clusterd {

namespace {

std::optional<gid_t> group_named(const char* name) {
  const group* entry = ::getgrnam(name);
  if (entry == nullptr) return std::nullopt;
  return entry->gr_gid;
}

}  // namespace

AccessGroups access_groups() { return {group_named("clusterd"), group_named("clusterd-admin")}; }

std::optional<PeerCredentials> peer_credentials(int fd) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return std::nullopt;
  PeerCredentials peer{credentials.pid, credentials.uid, {credentials.gid}};
  std::vector<gid_t> groups(256);
  size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
  int failed = ::getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size);
  if (failed != 0 && errno == ERANGE) {
    groups.resize(size / sizeof(gid_t));
    failed = ::getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size);
  }
  if (failed == 0) {
    groups.resize(size / sizeof(gid_t));
    peer.groups.insert(peer.groups.end(), groups.begin(), groups.end());
  }
  return peer;
}

Access access_of(const PeerCredentials& peer, const AccessGroups& groups) {
  const auto member = [&](std::optional<gid_t> gid) {
    return gid && std::find(peer.groups.begin(), peer.groups.end(), *gid) != peer.groups.end();
  };
  if (peer.uid == 0 || member(groups.admins)) return Access::kAdmin;
  if (member(groups.readers)) return Access::kRead;
  return Access::kNone;
}

}  // namespace clusterd
