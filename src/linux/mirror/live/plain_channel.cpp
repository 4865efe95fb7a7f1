// Each message is preceded by its length, four bytes, the lowest first. The length 0xffffffff is the goodbye
// of `close`: without it, the end of the stream is a break.
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <mutex>

#include "linux/mirror/live/channel.hpp"

namespace clusterd {
namespace {

constexpr uint32_t kGoodbye = UINT32_MAX;

using Head = std::array<std::byte, 4>;

Head head_of(uint32_t length) {
  Head head;
  for (size_t i = 0; i < head.size(); ++i) head.at(i) = static_cast<std::byte>(length >> (8 * i));
  return head;
}

uint32_t length_of(const Head& head) {
  uint32_t length = 0;
  for (size_t i = 0; i < head.size(); ++i) length |= std::to_integer<uint32_t>(head.at(i)) << (8 * i);
  return length;
}

class PlainChannel : public Channel {
 public:
  explicit PlainChannel(Fd socket) : socket_(std::move(socket)) {}
  ~PlainChannel() override { PlainChannel::close(); }

  Result<void> send(std::span<const std::byte> message) override {
    if (message.size() > kMaxChannelMessage) return fail(Code::kRefused, "the message is too long");
    const std::lock_guard lock(send_mutex_);
    Head head = head_of(static_cast<uint32_t>(message.size()));
    std::array<iovec, 2> parts = {
        {{head.data(), head.size()}, {const_cast<std::byte*>(message.data()), message.size()}}};
    msghdr out{};
    out.msg_iov = parts.data();
    out.msg_iovlen = parts.size();
    while (out.msg_iovlen > 0) {
      const ssize_t n = ::sendmsg(socket_.get(), &out, MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return broken();
      advance(out, static_cast<size_t>(n));
    }
    return {};
  }

  Result<void> flush() override { return closed_ ? broken() : Result<void>(); }

  Result<std::optional<std::vector<std::byte>>> receive() override {
    Head head;
    if (auto ok = read(head); !ok) return tl::unexpected(ok.error());
    const uint32_t length = length_of(head);
    if (length == kGoodbye) return std::nullopt;
    if (length > kMaxChannelMessage) return fail(Code::kCorrupt, "the other end's message is too long");
    std::vector<std::byte> message(length);
    if (auto ok = read(message); !ok) return tl::unexpected(ok.error());
    return message;
  }

  // The goodbye is a courtesy: it is left out if a sender is at work or the socket is full.
  void close() override {
    if (closed_.exchange(true)) return;
    if (const std::unique_lock lock(send_mutex_, std::try_to_lock); lock) {
      const Head head = head_of(kGoodbye);
      (void)::send(socket_.get(), head.data(), head.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    ::shutdown(socket_.get(), SHUT_RDWR);
  }

 private:
  static void advance(msghdr& out, size_t n) {
    while (out.msg_iovlen > 0 && n >= out.msg_iov->iov_len) {
      n -= out.msg_iov->iov_len;
      ++out.msg_iov;
      --out.msg_iovlen;
    }
    if (out.msg_iovlen == 0) return;
    out.msg_iov->iov_base = static_cast<std::byte*>(out.msg_iov->iov_base) + n;
    out.msg_iov->iov_len -= n;
  }

  Result<void> read(std::span<std::byte> into) {
    while (!into.empty()) {
      const ssize_t n = ::recv(socket_.get(), into.data(), into.size(), 0);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return broken();
      into = into.subspan(static_cast<size_t>(n));
    }
    return {};
  }

  [[nodiscard]] Result<void> broken() const {
    return fail(Code::kRetry, closed_ ? "the connection was closed here" : "the connection is broken");
  }

  Fd socket_;
  std::mutex send_mutex_;
  std::atomic<bool> closed_ = false;
};

}  // namespace

std::unique_ptr<Channel> plain_channel(Fd socket) {
  return std::make_unique<PlainChannel>(std::move(socket));
}

Result<std::pair<std::unique_ptr<Channel>, std::unique_ptr<Channel>>> channel_pair() {
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    return fail(Code::kRetry, errno_text("cannot make", "a socket pair"));
  }
  return std::pair(plain_channel(Fd(pair[0])), plain_channel(Fd(pair[1])));
}

}  // namespace clusterd
