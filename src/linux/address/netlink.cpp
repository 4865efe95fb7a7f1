#include "linux/address/netlink.hpp"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace clusterd {

namespace {

constexpr size_t kAlign = 4;
constexpr int kPatienceMs = 1000;
constexpr size_t kReceiveBytes = 64 * 1024;
constexpr int kMonitorBuffer = 1024 * 1024;

constexpr size_t aligned(size_t bytes) { return (bytes + kAlign - 1) & ~(kAlign - 1); }

template <class T>
T read_as(ByteView bytes) {  // netlink promises 4-byte alignment only
  T value{};
  std::memcpy(&value, bytes.data(), std::min(sizeof(T), bytes.size()));
  return value;
}

NetlinkError error_of(int number, std::string text = {}) {
  return {number, text.empty() ? std::strerror(number) : std::move(text)};
}

struct Received {
  nlmsghdr header{};
  ByteView body;
};

// Takes the next message off `bytes`; nothing at the end or if a length is wrong.
std::optional<Received> next_message(ByteView& bytes) {
  if (bytes.size() < sizeof(nlmsghdr)) return std::nullopt;
  Received out;
  out.header = read_as<nlmsghdr>(bytes);
  const size_t length = out.header.nlmsg_len;
  if (length < sizeof(nlmsghdr) || length > bytes.size()) return std::nullopt;
  out.body = bytes.subspan(sizeof(nlmsghdr), length - sizeof(nlmsghdr));
  bytes = bytes.subspan(std::min(aligned(length), bytes.size()));
  return out;
}

// The words of the kernel ("Device has no MAC address"), which follow the refused request's header
// (NETLINK_CAP_ACK).
std::string words_of(const Received& message) {
  if ((message.header.nlmsg_flags & NLM_F_ACK_TLVS) == 0 || message.body.size() < sizeof(nlmsgerr)) return {};
  return NetlinkAttributes(message.body.subspan(sizeof(nlmsgerr))).text(NLMSGERR_ATTR_MSG);
}

int open_socket(unsigned extra_flags) {
  return ::socket(AF_NETLINK, static_cast<int>(SOCK_RAW | SOCK_CLOEXEC | extra_flags), NETLINK_ROUTE);
}

}  // namespace

NetlinkMessage::NetlinkMessage(uint16_t type, uint16_t flags, const void* body, size_t bytes) {
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<uint16_t>(flags | NLM_F_REQUEST);
  bytes_.resize(sizeof(header) + aligned(bytes));
  std::memcpy(bytes_.data(), &header, sizeof(header));
  std::memcpy(bytes_.data() + sizeof(header), body, bytes);
}

void NetlinkMessage::put(uint16_t type, const void* data, size_t bytes) {
  const rtattr header{static_cast<uint16_t>(sizeof(rtattr) + bytes), type};
  const size_t at = bytes_.size();
  bytes_.resize(at + sizeof(header) + aligned(bytes));
  std::memcpy(bytes_.data() + at, &header, sizeof(header));
  if (bytes > 0) std::memcpy(bytes_.data() + at + sizeof(header), data, bytes);
}

void NetlinkMessage::put_text(uint16_t type, std::string_view text) {
  const std::string terminated(text);
  put(type, terminated.c_str(), terminated.size() + 1);
}

size_t NetlinkMessage::open(uint16_t type) {
  const size_t at = bytes_.size();
  put(type, nullptr, 0);
  return at;
}

void NetlinkMessage::close(size_t opened) {
  const auto length = static_cast<uint16_t>(bytes_.size() - opened);
  std::memcpy(bytes_.data() + opened, &length, sizeof(length));
}

ByteView NetlinkMessage::sealed(uint32_t sequence) {
  nlmsghdr header{};
  std::memcpy(&header, bytes_.data(), sizeof(header));
  header.nlmsg_len = static_cast<uint32_t>(bytes_.size());
  header.nlmsg_seq = sequence;
  std::memcpy(bytes_.data(), &header, sizeof(header));
  return bytes_;
}

std::optional<ByteView> NetlinkAttributes::find(uint16_t type) const {
  ByteView rest = bytes_;
  while (rest.size() >= sizeof(rtattr)) {
    const auto header = read_as<rtattr>(rest);
    if (header.rta_len < sizeof(rtattr) || header.rta_len > rest.size()) return std::nullopt;
    if ((header.rta_type & NLA_TYPE_MASK) == type)
      return rest.subspan(sizeof(rtattr), header.rta_len - sizeof(rtattr));
    rest = rest.subspan(std::min(aligned(header.rta_len), rest.size()));
  }
  return std::nullopt;
}

std::optional<uint32_t> NetlinkAttributes::u32(uint16_t type) const {
  const auto value = find(type);
  if (!value || value->size() < sizeof(uint32_t)) return std::nullopt;
  return read_as<uint32_t>(*value);
}

std::optional<uint8_t> NetlinkAttributes::u8(uint16_t type) const {
  const auto value = find(type);
  if (!value || value->empty()) return std::nullopt;
  return value->front();
}

std::string NetlinkAttributes::text(uint16_t type) const {
  const auto value = find(type);
  if (!value) return {};
  const auto* begin = reinterpret_cast<const char*>(value->data());
  return {begin, ::strnlen(begin, value->size())};
}

std::optional<MacAddress> NetlinkAttributes::mac(uint16_t type) const {
  const auto value = find(type);
  MacAddress out;
  if (!value || value->size() != out.bytes.size()) return std::nullopt;
  std::memcpy(out.bytes.data(), value->data(), out.bytes.size());
  return out;
}

std::optional<IpAddress> NetlinkAttributes::address(uint16_t type, uint8_t family) const {
  if (family != AF_INET && family != AF_INET6) return std::nullopt;
  IpAddress out;
  out.family = family == AF_INET ? IpAddress::Family::kV4 : IpAddress::Family::kV6;
  const auto value = find(type);
  if (!value || value->size() != out.size()) return std::nullopt;
  std::memcpy(out.bytes.data(), value->data(), out.size());
  return out;
}

NetlinkSocket::NetlinkSocket() : fd_(open_socket(0)) {
  if (fd_ < 0) {
    open_error_ = errno;
    return;
  }
  const int on = 1;
  (void)::setsockopt(fd_, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
  (void)::setsockopt(fd_, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
  (void)::setsockopt(fd_, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
}

NetlinkSocket::~NetlinkSocket() {
  if (fd_ >= 0) ::close(fd_);
}

NetlinkResult<void> NetlinkSocket::exchange(NetlinkMessage& message, Until until,
                                            const NetlinkVisitor& visit) {
  if (fd_ < 0) return tl::unexpected(error_of(open_error_));
  const uint32_t sequence = ++sequence_;
  const ByteView request = message.sealed(sequence);
  if (::send(fd_, request.data(), request.size(), 0) < 0) return tl::unexpected(error_of(errno));
  static thread_local std::array<uint8_t, kReceiveBytes> buffer;
  bool changed_meanwhile = false;
  for (;;) {
    pollfd ready{fd_, POLLIN, 0};
    if (::poll(&ready, 1, kPatienceMs) != 1) return tl::unexpected(error_of(ETIMEDOUT));
    const ssize_t n = ::recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n < 0) return tl::unexpected(error_of(errno));
    ByteView rest(buffer.data(), static_cast<size_t>(n));
    while (const auto answer = next_message(rest)) {
      if (answer->header.nlmsg_seq != sequence) continue;  // late answer to a request that was given up
      changed_meanwhile |= (answer->header.nlmsg_flags & NLM_F_DUMP_INTR) != 0;
      if (answer->header.nlmsg_type == NLMSG_ERROR) {
        const int number = -read_as<int>(answer->body);
        if (number != 0) return tl::unexpected(error_of(number, words_of(*answer)));
        if (until == Until::kAck) return {};
      } else if (answer->header.nlmsg_type == NLMSG_DONE) {
        if (changed_meanwhile) return tl::unexpected(error_of(EAGAIN));
        return {};
      } else if (visit) {
        visit(answer->header.nlmsg_type, answer->body);
      }
    }
  }
}

namespace {
NetlinkMessage with_flags(NetlinkMessage message, uint16_t flags) {
  auto bytes = message.sealed(0);
  nlmsghdr header{};
  std::memcpy(&header, bytes.data(), sizeof(header));
  header.nlmsg_flags = static_cast<uint16_t>(header.nlmsg_flags | flags);
  std::memcpy(const_cast<uint8_t*>(bytes.data()), &header, sizeof(header));
  return message;
}
}  // namespace

NetlinkResult<void> NetlinkSocket::request(NetlinkMessage message) {
  NetlinkMessage complete = with_flags(std::move(message), NLM_F_ACK);
  return exchange(complete, Until::kAck, nullptr);
}

NetlinkResult<void> NetlinkSocket::get(NetlinkMessage message, const NetlinkVisitor& visit) {
  NetlinkMessage complete = with_flags(std::move(message), NLM_F_ACK);
  return exchange(complete, Until::kAck, visit);
}

NetlinkResult<void> NetlinkSocket::dump(NetlinkMessage message, const NetlinkVisitor& visit) {
  NetlinkMessage complete = with_flags(std::move(message), NLM_F_DUMP);
  NetlinkResult<void> outcome;
  for (int attempt = 0; attempt < 4; ++attempt) {
    std::vector<std::pair<uint16_t, std::vector<uint8_t>>> found;
    outcome = exchange(complete, Until::kDone, [&found](uint16_t type, ByteView body) {
      found.emplace_back(type, std::vector<uint8_t>(body.begin(), body.end()));
    });
    if (outcome || attempt == 3) {
      for (const auto& [type, body] : found) visit(type, body);
    }
    if (outcome || outcome.error().number != EAGAIN) return outcome;
  }
  return {};  // it never stood still: what was read last is as good as any
}

NetlinkMonitor::NetlinkMonitor(EventLoop& loop, std::vector<unsigned> groups, NetlinkVisitor visit,
                               std::function<void()> overflow, std::function<void()> idle)
    : fd_(open_socket(SOCK_NONBLOCK)),
      visit_(std::move(visit)),
      overflow_(std::move(overflow)),
      idle_(std::move(idle)) {
  if (fd_ < 0) {
    std::fprintf(stderr, "<3>addresses: changes of NICs cannot be followed: %s\n", std::strerror(errno));
    return;
  }
  (void)::setsockopt(fd_, SOL_SOCKET, SO_RCVBUFFORCE, &kMonitorBuffer, sizeof(kMonitorBuffer));
  sockaddr_nl self{};
  self.nl_family = AF_NETLINK;
  (void)::bind(fd_, reinterpret_cast<const sockaddr*>(&self), sizeof(self));
  for (const unsigned group : groups)
    (void)::setsockopt(fd_, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group));
  watch_ = loop.watch_readable(fd_, [this] { receive(); });
}

NetlinkMonitor::~NetlinkMonitor() {
  watch_.reset();
  if (fd_ >= 0) ::close(fd_);
}

void NetlinkMonitor::receive() {
  std::array<uint8_t, kReceiveBytes> buffer{};
  constexpr int kMostDatagrams = 64;  // then others have their turn
  for (int i = 0; i < kMostDatagrams; ++i) {
    sockaddr_nl from{};
    socklen_t from_bytes = sizeof(from);
    const ssize_t n =
        ::recvfrom(fd_, buffer.data(), buffer.size(), 0, reinterpret_cast<sockaddr*>(&from), &from_bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == ENOBUFS) {
      overflow_();
      continue;
    }
    if (n < 0) break;
    if (from.nl_pid != 0) continue;  // only the kernel is believed
    ByteView rest(buffer.data(), static_cast<size_t>(n));
    while (const auto message = next_message(rest)) visit_(message->header.nlmsg_type, message->body);
  }
  idle_();
}

}  // namespace clusterd
