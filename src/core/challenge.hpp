// Is a datagram from a peer that lives now, or from a recording? Question and answer between two daemons.
//
// A receiver that has just started cannot tell the datagrams of a peer that died long ago from those of one
// that lives. So each datagram asks a random question, and echoes the question that its sender has last been
// asked. A boot id counts as *proven* only once a datagram of it echoed the receiver's present question,
// which did not exist before: it cannot be a recording. The question is drawn anew then, so no earlier boot
// id can ever be proven again. Two nodes that hear each other are proven within three heartbeats.
//
// What is unproven is read for the question that it asks, and counts as a sign of life, for nothing else: a
// peer whose daemon has just started may already serve (S2, docs/safety.md).
//
// Pure. The transport judges each datagram that is authentic (src/linux/net/seal.hpp); so does the simulator.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>

#include "base/ids.hpp"

namespace clusterd {

class Challenge {
 public:
  using Random = std::function<uint64_t()>;
  struct Words {
    uint64_t asks = 0;    // the sender's present question
    uint64_t echoes = 0;  // the question that it was last asked; 0 = none
  };
  enum class Verdict : uint8_t {
    kProven,     // of the boot id that is proven
    kProvenNow,  // … by this very datagram
    kUnproven,   // may be alive, may be a recording
    kEnded,      // of a boot id that was proven once, before the present one
  };

  explicit Challenge(Random random);

  // What goes into each own datagram.
  [[nodiscard]] Words words() const { return {question_, echo_}; }
  Verdict judge(BootId boot, Words words);
  // The peer's boot id that is accepted at present; 0 = none yet.
  [[nodiscard]] BootId proven() const { return proven_; }

 private:
  static constexpr size_t kMaxEnded = 32;

  Random random_;
  uint64_t question_ = 0;  // asked of the peer now
  uint64_t echo_ = 0;      // last asked by the peer
  BootId proven_;
  std::deque<BootId> ended_;  // newest last; only saves them a wrong name
};

}  // namespace clusterd
