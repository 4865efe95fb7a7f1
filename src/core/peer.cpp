#include "core/peer.hpp"

#include <algorithm>
#include <utility>

#include "base/canary.hpp"
#include "base/mark.hpp"

namespace clusterd {

bool Peer::heard(Instant now, std::optional<LinkId> link, const Heartbeat& heartbeat, BootId own_boot) {
  if (heartbeat.boot == previous_boot_) {  // a straggler of a daemon that has ended
    mark(Mark::kStragglerOfEndedDaemon);
    return false;
  }
  const bool new_boot = !latest_ || latest_->boot != heartbeat.boot;
  if (latest_ && new_boot) {
    previous_boot_ = latest_->boot;
    rebooted_ = true;
    acked_sequence_ = 0;  // what the old daemon knew, the new one may not
    acked_by_this_daemon_ = kLongAgo;
  }
  last_receipt_ = now;
  if (link) {
    last_direct_ = now;
    on_link_.at(link->at()) = now;
  }
  // An acknowledgement counts only if it names this daemon's life and a heartbeat that was really sent.
  const auto& ack = heartbeat.ack;
  const bool own_life = ack.boot == own_boot || sabotaged(Canary::kBootUnchecked);
  if (!own_life && ack.boot.value != 0) mark(Mark::kAckOfAnotherLife);
  if (own_life && ack.sequence > last_sent_) mark(Mark::kAckNeverSent);
  if (own_life && ack.sequence <= last_sent_ && ack.sequence + kRemembered > last_sent_ &&
      ack.sequence > acked_sequence_) {
    acked_sequence_ = ack.sequence;
    acked_by_this_daemon_ =
        sabotaged(Canary::kLeaseFromReceipt) ? now : sent_at_.at(ack.sequence % kRemembered);
    acked_sent_ = std::max(acked_sent_, acked_by_this_daemon_);
  }
  if (!new_boot && heartbeat.sequence <= latest_->sequence) {
    if (heartbeat.sequence < latest_->sequence) mark(Mark::kHeartbeatOvertaken);
    return false;
  }
  latest_ = heartbeat;
  return true;
}

void Peer::sent(uint64_t sequence, Instant now) {
  last_sent_ = sequence;
  sent_at_.at(sequence % kRemembered) = now;
}

bool Peer::take_rebooted() { return std::exchange(rebooted_, false); }

}  // namespace clusterd
