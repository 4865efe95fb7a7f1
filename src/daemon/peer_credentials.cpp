#include "daemon/peer_credentials.hpp"

#include <fcntl.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

namespace clusterd {

namespace {

constexpr size_t kMaxGroupFile = 4 << 20;

std::string read_file(const std::string& file) {
  std::string text;
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return text;
  std::array<char, 16384> chunk{};
  while (text.size() < kMaxGroupFile) {
    const ssize_t n = ::read(fd, chunk.data(), chunk.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    text.append(chunk.data(), static_cast<size_t>(n));
  }
  ::close(fd);
  return text;
}

// Takes the field up to the next colon off the line.
std::string_view field(std::string_view& line) {
  const size_t colon = line.find(':');
  const std::string_view first = line.substr(0, colon);
  line = colon == std::string_view::npos ? std::string_view{} : line.substr(colon + 1);
  return first;
}

// The kernel's form of an access list (acl(5)): owner, the groups, the bound of all groups, the others.
std::vector<uint8_t> access_list(const AccessGroups& groups) {
  std::vector<uint8_t> out;
  const auto little = [&out](uint32_t value, size_t bytes) {
    for (size_t i = 0; i < bytes; ++i) out.push_back(static_cast<uint8_t>(value >> (8 * i)));
  };
  const auto entry = [&](uint16_t tag, uint16_t permissions, uint32_t id) {
    little(tag, 2);
    little(permissions, 2);
    little(id, 4);
  };
  constexpr uint32_t kNobody = UINT32_MAX;  // ACL_UNDEFINED_ID: the entry needs none
  constexpr uint16_t kBoth = ACL_READ | ACL_WRITE;
  little(POSIX_ACL_XATTR_VERSION, 4);
  entry(ACL_USER_OBJ, kBoth, kNobody);
  entry(ACL_GROUP_OBJ, 0, kNobody);
  if (groups.readers) entry(ACL_GROUP, kBoth, *groups.readers);
  if (groups.admins && groups.admins != groups.readers) entry(ACL_GROUP, kBoth, *groups.admins);
  entry(ACL_MASK, kBoth, kNobody);
  entry(ACL_OTHER, 0, kNobody);
  return out;
}

std::string how_to_join(const char* group, std::optional<gid_t> number) {
  std::string text = std::string("\"usermod -aG ") + group + " NAME\"";
  if (!number)
    text = std::string("\"groupadd --system ") + group + "; systemctl restart clusterd\", then " + text;
  return text;
}

}  // namespace

AccessGroups parse_groups(std::string_view text) {
  AccessGroups groups;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::string_view name = field(line);
    std::optional<gid_t>* wanted = name == kReaderGroup  ? &groups.readers
                                   : name == kAdminGroup ? &groups.admins
                                                         : nullptr;
    if (wanted == nullptr || *wanted) continue;
    (void)field(line);  // the password
    const std::string_view digits = field(line);
    gid_t number = 0;
    const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (error != std::errc{} || stop != digits.data() + digits.size() || number == static_cast<gid_t>(-1))
      continue;
    *wanted = number;
  }
  return groups;
}

AccessGroups access_groups(const std::string& file) { return parse_groups(read_file(file)); }

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

std::string refusal(Access wanted, const AccessGroups& groups, uid_t uid) {
  const std::string who = "user number " + std::to_string(uid);
  const std::string act = how_to_join(kAdminGroup, groups.admins);
  if (wanted == Access::kAdmin) {
    return "only root and members of the group clusterd-admin may give orders, and " + who +
           " is neither; let root run " + act + ", and log in again";
  }
  return "only root and members of the groups clusterd and clusterd-admin may ask, and " + who +
         " is none of them; let root run " + how_to_join(kReaderGroup, groups.readers) + " (may look) or " +
         act + " (may also give orders), and log in again";
}

Result<void> permit(const std::string& socket_file, const AccessGroups& groups) {
  const auto failed = [&](const char* what) {
    return fail(Code::kRefused, std::string(what) + " " + socket_file + ": " + std::strerror(errno));
  };
  if (::chmod(socket_file.c_str(), 0600) != 0) return failed("cannot set the mode of");
  const auto first = groups.readers ? groups.readers : groups.admins;
  if (!first) return {};
  const std::vector<uint8_t> list = access_list(groups);
  if (::setxattr(socket_file.c_str(), "system.posix_acl_access", list.data(), list.size(), 0) == 0) return {};
  if (errno != EOPNOTSUPP) return failed("cannot set the access list of");
  if (::chown(socket_file.c_str(), static_cast<uid_t>(-1), *first) != 0)
    return failed("cannot set the group of");
  if (::chmod(socket_file.c_str(), 0660) != 0) return failed("cannot set the mode of");
  return {};
}

}  // namespace clusterd
