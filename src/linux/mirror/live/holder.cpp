#include "linux/mirror/live/holder.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <string_view>

namespace clusterd::live {
namespace {

using namespace std::string_view_literals;

constexpr size_t kMaxMessage = 96 * 1024;  // a path may be long
constexpr auto kTake = "take\0"sv, kHold = "hold\0"sv, kHeld = "held\0"sv, kNone = "none"sv, kKnown = "+"sv;

struct Message {
  std::string text;
  Fd file;
};

// What does not fit in the socket's buffer is dropped: what is held is a hint.
bool send_message(int socket, std::string_view text, int file) {
  iovec part{const_cast<char*>(text.data()), text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> space{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (file >= 0) {
    message.msg_control = space.data();
    message.msg_controllen = space.size();
    cmsghdr* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(head), &file, sizeof file);
  }
  return ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == static_cast<ssize_t>(text.size());
}

// nullopt: the other end has gone, or what it says was cut off.
std::optional<Message> receive_message(int socket) {
  std::string text(kMaxMessage, '\0');
  iovec part{text.data(), text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> space{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = space.data();
  message.msg_controllen = space.size();
  const ssize_t n = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (n <= 0) return std::nullopt;
  Message out;
  for (cmsghdr* head = CMSG_FIRSTHDR(&message); head != nullptr; head = CMSG_NXTHDR(&message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    int file = -1;
    std::memcpy(&file, CMSG_DATA(head), sizeof file);
    out.file = Fd(file);
  }
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) return std::nullopt;
  text.resize(static_cast<size_t>(n));
  out.text = std::move(text);
  return out;
}

bool is_readable(int socket, std::chrono::milliseconds patience) {
  pollfd p{socket, POLLIN, 0};
  return ::poll(&p, 1, static_cast<int>(patience.count())) > 0;
}

}  // namespace

Holder::Holder(int socket, const std::string& service, const std::string& mirror)
    : socket_(socket), key_(service + '\0' + mirror) {}

std::optional<Unfinished> Holder::take() {
  if (socket_ < 0 || !send_message(socket_, std::string(kTake) + key_, -1)) return std::nullopt;
  if (!is_readable(socket_, kAnswerLimit)) return std::nullopt;
  auto answer = receive_message(socket_);
  if (!answer || !answer->text.starts_with(kHeld) || !answer->file.valid()) return std::nullopt;
  return Unfinished{answer->text.substr(kHeld.size()), std::move(answer->file)};
}

void Holder::hold(const Unfinished& unfinished) {
  if (socket_ < 0) return;
  (void)send_message(socket_, std::string(kHold) + key_ + '\0' + unfinished.path, unfinished.file.get());
}

bool HeldFiles::answer(int socket, bool& known) {
  auto message = receive_message(socket);
  if (!message) return false;
  if (message->text == kKnown) return known = true;
  if (!known) return false;
  if (message->text.starts_with(kTake)) {
    const auto it = held_.find(message->text.substr(kTake.size()));
    if (it == held_.end()) return send_message(socket, kNone, -1);
    const Unfinished what = std::move(it->second.what);
    held_.erase(it);
    return send_message(socket, std::string(kHeld) + what.path, what.file.get());
  }
  if (!message->text.starts_with(kHold) || !message->file.valid()) return false;
  const std::string rest = message->text.substr(kHold.size());
  const size_t service_end = rest.find('\0');
  const size_t key_end = service_end == std::string::npos ? service_end : rest.find('\0', service_end + 1);
  if (key_end == std::string::npos) return false;
  const std::string key = rest.substr(0, key_end);
  if (held_.size() >= kMostHeld && !held_.contains(key)) return true;
  held_[key] = {{rest.substr(key_end + 1), std::move(message->file)}, Clock::now()};
  return true;
}

void HeldFiles::expire(Clock::time_point now) {
  std::erase_if(held_, [&](const auto& entry) { return now - entry.second.since > kHeldFor; });
}

}  // namespace clusterd::live
