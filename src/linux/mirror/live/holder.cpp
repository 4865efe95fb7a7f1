#include "linux/mirror/live/holder.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <string_view>

#include "linux/descriptor_message.hpp"

namespace clusterd::live {
namespace {

using namespace std::string_view_literals;

constexpr size_t kMaxMessage = 96 * 1024;  // a path may be long
constexpr auto kTake = "take\0"sv, kHold = "hold\0"sv, kHeld = "held\0"sv, kNone = "none"sv, kKnown = "+"sv;

// What does not fit in the socket's buffer is dropped: what is held is a hint.
bool say(int socket, std::string_view text, int file = -1) {
  return send_message(socket, text, file, MSG_DONTWAIT);
}

std::optional<DescriptorMessage> hear(int socket) {
  return receive_message(socket, kMaxMessage, MSG_DONTWAIT);
}

bool is_readable(int socket, std::chrono::milliseconds patience) {
  pollfd p{socket, POLLIN, 0};
  return ::poll(&p, 1, static_cast<int>(patience.count())) > 0;
}

}  // namespace

Holder::Holder(int socket, const std::string& service, const std::string& mirror)
    : socket_(socket), key_(service + '\0' + mirror) {}

void say_known(int socket) { (void)say(socket, kKnown); }

std::optional<Unfinished> Holder::take() {
  if (socket_ < 0 || !say(socket_, std::string(kTake) + key_)) return std::nullopt;
  if (!is_readable(socket_, kAnswerLimit)) return std::nullopt;
  auto answer = hear(socket_);
  if (!answer || !answer->text.starts_with(kHeld) || !answer->file.valid()) return std::nullopt;
  return Unfinished{answer->text.substr(kHeld.size()), std::move(answer->file)};
}

void Holder::hold(const Unfinished& unfinished) {
  if (socket_ < 0) return;
  (void)say(socket_, std::string(kHold) + key_ + '\0' + unfinished.path, unfinished.file.get());
}

bool HeldFiles::answer(int socket, bool& known) {
  auto message = hear(socket);
  if (!message) return false;
  if (message->text == kKnown) return known = true;
  if (!known) return false;
  if (message->text.starts_with(kTake)) {
    const auto it = held_.find(message->text.substr(kTake.size()));
    if (it == held_.end()) return say(socket, kNone);
    const Unfinished what = std::move(it->second.what);
    held_.erase(it);
    return say(socket, std::string(kHeld) + what.path, what.file.get());
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
