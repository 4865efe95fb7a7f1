// Which probe has an answer answered that carries no number? (ARP: src/linux/net/neighbour_prober.hpp)
//
// An answer is evidence that counts from when its probe was sent (S1), so it must never be taken for that of
// a younger probe. It counts for the *oldest* one that may still be answered: of the last two seconds, sent
// before the answer was received (by the kernel, not by a daemon that stood still). An answer that takes
// longer than two seconds, or a second answer to one probe, is the assumption that it makes (docs/safety.md,
// A7).
//
// So every probe that is lost makes all later evidence look older by the time between two probes, for ever.
// That is safe, but at last the host does not count any more. Two ways out, each taken once it is needed:
//
//   - Answers say whom they are for. A probe in another name (0.0.0.0 in place of the node's address, as in
//   RFC
//     5227) has answers that cannot be mistaken for those of the lost ones. As long as one name is in use,
//     the probes of the other one grow too old to be answered; so there is always one to change to.
//   - A host that does not answer to the other name: nothing is sent until there is nothing left to mistake,
//   if
//     the evidence has come to look so old that the host would not count.
//
// Pure; single-threaded.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "base/time.hpp"

namespace clusterd {

enum class AskedAs : uint8_t { kOwnAddress, kNobody };

// Of one host.
class UnnumberedProbes {
 public:
  static constexpr Duration kLatestAnswer = std::chrono::seconds(2);

  // Evidence that looks older than `tolerable` is of no use.
  explicit UnnumberedProbes(Duration tolerable) : tolerable_(tolerable) {}

  // In which names a probe that was ordered at `sent` is to be sent. None: wait for what may still come.
  [[nodiscard]] std::vector<AskedAs> ask(Instant sent);
  // It has left.
  void left(AskedAs as, Instant sent);
  // When the probe was sent that counts as answered by this; empty if there is none.
  [[nodiscard]] std::optional<Instant> answered(AskedAs as, Instant received);

  // The last three have not been answered: the host may have another MAC now.
  [[nodiscard]] bool in_vain() const { return in_vain_ >= kVain; }

 private:
  static constexpr unsigned kVain = 3;
  using Unanswered = std::deque<Instant>;  // oldest first

  [[nodiscard]] Unanswered& of(AskedAs as) { return unanswered_.at(static_cast<size_t>(as)); }
  void change_to(AskedAs as);

  Duration tolerable_;
  std::array<Unanswered, 2> unanswered_;
  AskedAs in_use_ = AskedAs::kOwnAddress;
  bool ambiguous_ = false;  // the last answer may have been that of a younger probe
  bool useless_ = false;    // … and looked too old
  bool refused_ = false;    // the other name was tried since, and has not been answered
  bool resting_ = false;    // until nothing can be mistaken
  unsigned in_vain_ = 0;    // probes since the last answer
};

}  // namespace clusterd
