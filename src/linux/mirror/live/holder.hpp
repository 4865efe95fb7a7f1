// A large file whose connection broke while it was on its way, held for the next connection of its mirror,
// which then begins where this one ended.
//
// The file has no name (O_TMPFILE): nobody ever sees it, and nothing is left of it after a crash.
// `clusterd-mirror serve` holds its descriptor between two of its `accept`s, which speak with it over a
// socket of their own:
//
//   accept -> serve   "+"                                        the other end is the peer
//   accept -> serve   "take" NUL service NUL mirror              what is held for this mirror?
//   serve -> accept   "held" NUL path, with the descriptor;  or  "none"
//   accept -> serve   "hold" NUL service NUL mirror NUL path, with the descriptor
//
// What is held is a hint and no more: its contents are summed before anything is built upon them, and the
// source decides by these sums what it need not send again.
//
// Threading: one thread each.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>

#include "linux/fd.hpp"

namespace clusterd::live {

struct Unfinished {
  std::string path;  // as it is called at the target
  Fd file;           // readable and writable
};

// The "+" of an `accept`.
void say_known(int socket);

// The end of an `accept`.
class Holder {
 public:
  Holder() = default;  // holds nothing
  Holder(int socket, const std::string& service, const std::string& mirror);
  // Waits for kAnswerLimit at most.
  std::optional<Unfinished> take();
  void hold(const Unfinished& unfinished);

 private:
  int socket_ = -1;
  std::string key_;
};

// The end of `serve`: at most one file per mirror, each for kHeldFor at most.
class HeldFiles {
 public:
  using Clock = std::chrono::steady_clock;
  // One message of an `accept`, if one is there. False: it has ended, or speaks nonsense.
  bool answer(int socket, bool& known);
  void expire(Clock::time_point now);

 private:
  struct Held {
    Unfinished what;
    Clock::time_point since;
  };
  std::map<std::string, Held> held_;  // by service NUL mirror
};

inline constexpr std::chrono::seconds kAnswerLimit{1};
inline constexpr std::chrono::minutes kHeldFor{60};
inline constexpr size_t kMostHeld = 64;

}  // namespace clusterd::live
