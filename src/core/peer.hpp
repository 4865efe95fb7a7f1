// The detector: what this node has heard of its peer, on which path and when, and which of its own heartbeats
// the peer has acknowledged. It holds evidence and draws no conclusion; the arbiter does.
//
// Pure; times are those of `step`.
#pragma once

#include <array>
#include <optional>

#include "core/config.hpp"
#include "core/heartbeat.hpp"

namespace clusterd {

namespace detail {
template <size_t N>
[[nodiscard]] constexpr std::array<Instant, N> long_ago() {
  std::array<Instant, N> out{};
  out.fill(kLongAgo);
  return out;
}
}  // namespace detail

class Peer {
 public:
  // Takes a heartbeat in. Returns true if it is newer than all before (late ones only prove life).
  bool heard(Instant now, std::optional<LinkId> link, const Heartbeat& heartbeat, BootId own_boot);
  // Something of it arrived that may be a recording: it counts for nothing but against a takeover.
  void sign_of_life(Instant now) { last_sign_of_life_ = now; }
  // Remembers when the own heartbeat `sequence` was sent.
  void sent(uint64_t sequence, Instant now);

  // Newest heartbeat of the peer; nullptr if none was heard in this daemon's life.
  [[nodiscard]] const Heartbeat* latest() const { return latest_ ? &*latest_ : nullptr; }
  [[nodiscard]] bool known() const { return latest_.has_value(); }
  [[nodiscard]] Instant last_receipt() const { return last_receipt_; }
  // … of a datagram that did not prove to be of a living daemon.
  [[nodiscard]] Instant last_sign_of_life() const { return last_sign_of_life_; }
  [[nodiscard]] Instant last_direct() const { return last_direct_; }
  [[nodiscard]] Instant last_receipt_on(LinkId link) const { return on_link_.at(link.at()); }
  // When the newest own heartbeat that the peer is known to have received was sent (S1).
  [[nodiscard]] Instant acked_sent() const { return acked_sent_; }
  // The newest own heartbeat that the peer's *present* daemon is known to have received, and when it was
  // sent: whatever that daemon says now, it says with the knowledge of that heartbeat. 0 = none yet.
  [[nodiscard]] uint64_t acked_sequence() const { return acked_sequence_; }
  [[nodiscard]] Instant acked_by_this_daemon() const { return acked_by_this_daemon_; }
  // True once after the peer's daemon was found to have started anew.
  [[nodiscard]] bool take_rebooted();

  // Everything that a snapshot of the node must hold (core/node_snapshot.cpp).
  template <class Archive>
  void fields(Archive& archive) {
    archive(latest_, last_receipt_, last_sign_of_life_, last_direct_, on_link_, acked_sent_,
            acked_by_this_daemon_, acked_sequence_, last_sent_, rebooted_, previous_boot_, sent_at_);
  }

 private:
  static constexpr size_t kRemembered = 1024;  // own heartbeats: over 5 s at the fastest profile

  std::optional<Heartbeat> latest_;
  Instant last_receipt_ = kLongAgo;
  Instant last_sign_of_life_ = kLongAgo;
  Instant last_direct_ = kLongAgo;
  std::array<Instant, kMaxLinks> on_link_ = detail::long_ago<kMaxLinks>();
  Instant acked_sent_ = kLongAgo;
  Instant acked_by_this_daemon_ = kLongAgo;
  uint64_t acked_sequence_ = 0;
  uint64_t last_sent_ = 0;
  bool rebooted_ = false;
  BootId previous_boot_;
  std::array<Instant, kRemembered> sent_at_ = detail::long_ago<kRemembered>();
};

}  // namespace clusterd
