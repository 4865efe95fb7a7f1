#include "versions/agree.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace clusterd::versions {

namespace {

bool has_accepted(const Record& peer, const Version& version) {
  return !peer.change.has_value() ? peer.knows(version)
                                  : peer.knows(version) && !peer.change->to.same(version);
}

bool still_has(const Record& peer, const Version& version) {
  return peer.change && peer.change->to.same(version) && peer.change->phase != Phase::kReturning;
}

// The hash alone does not tell two versions apart that differ in what it leaves out: the daemon says itself
// which files it was started with.
bool runs_it(const Change& change, uint64_t running) { return change.ran && running == change.to.hash; }

Decision owner_tries(const Change& change, const Facts& facts) {
  if (!change.failed.empty()) return {Do::kReturn, change.failed};
  const PeerWord* peer = facts.peer ? &*facts.peer : nullptr;
  // It could not start with it, or has given it up before it was told to activate.
  if (change.peer_has && peer != nullptr && !still_has(peer->record, change.to) &&
      !peer->record.knows(change.to)) {
    const std::string why = peer->record.change ? peer->record.change->failed : peer->record.last;
    return {Do::kReturn, why.empty() ? "the other node has returned to the former version" : why};
  }
  const bool contact = change.peer_has && facts.agrees && runs_it(change, facts.running) && peer != nullptr &&
                       peer->record.change && runs_it(*peer->record.change, peer->running);
  if (contact && facts.now_ms - facts.since_ms >= change.trial_s * 1000) return {Do::kAccept, ""};
  const int64_t last = std::max(facts.since_ms, facts.last_contact_ms);
  if (!contact && facts.now_ms - last >= kContactLostMs)
    return {Do::kReturn, "the nodes do not hear each other with it"};
  if (!change.peer_has) return {Do::kActivatePeer, ""};
  if (!runs_it(change, facts.running)) return {Do::kActivate, ""};
  return {};
}

Decision other_tries(const Change& change, const Facts& facts) {
  if (facts.peer) {
    const Record& owner = facts.peer->record;
    if (has_accepted(owner, change.to)) return {Do::kAccept, ""};
    if (!still_has(owner, change.to))
      return {Do::kReturn, owner.change && !owner.change->failed.empty() ? owner.change->failed
                           : owner.last.empty()                          ? change.owner + " has given it up"
                                                                         : owner.last};
  }
  if (!runs_it(change, facts.running)) return {Do::kActivate, ""};
  return {};
}

Decision returning(const Change& change, const Facts& facts, bool owner) {
  if (facts.running != change.from.hash || change.ran) return {Do::kActivate, ""};
  // Nobody depends on this node's word, or on what it does meanwhile.
  if (owner && !change.arbitration) return {Do::kSettle, ""};
  if (!facts.peer || still_has(facts.peer->record, change.to)) return {};
  const Version* theirs = facts.peer->record.in_place();
  if (theirs != nullptr && facts.peer->running == theirs->hash) return {Do::kSettle, ""};
  return {};
}

Decision changing(const Record& record, const Facts& facts) {
  const Change& change = *record.change;
  const bool owner = change.owner == facts.self;
  switch (change.phase) {
    case Phase::kPrepared:
      // The owner prepares both nodes in one go: found later, it was interrupted. The other one gives up by
      // itself, which its answer to a late order to activate then says.
      if (owner) return {Do::kAbandon, "it was interrupted before it was activated anywhere"};
      if (facts.now_ms - facts.since_ms >= kPreparedMs) return {Do::kAbandon, "it was never activated"};
      return {};
    case Phase::kTrying:
      return owner ? owner_tries(change, facts) : other_tries(change, facts);
    case Phase::kReturning:
      return returning(change, facts, owner);
  }
  return {};
}

// Nothing is under way here: is the other node's version the newer one?
Decision settled(const Record& record, const Facts& facts) {
  const Version* mine = record.current();
  if (mine == nullptr) return {};
  const uint64_t running = facts.running;
  if (record.due) return {Do::kActivate, ""};
  if (facts.agrees && running != 0 && running != mine->hash && facts.peer && !facts.peer->record.change &&
      facts.peer->running == running)
    return {Do::kAdopt, ""};
  if (!facts.peer || facts.peer->record.change) return {};
  const Version* theirs = facts.peer->record.current();
  if (theirs == nullptr) return {};
  // A node that was just paired begins to count with the files that it was given.
  const bool descends = facts.peer->record.knows(*mine) || theirs->digest == mine->digest;
  if (theirs->hash == mine->hash || descends) {
    const bool newer = theirs->number > mine->number && descends;
    if (!newer) return record.conflict.empty() ? Decision{} : Decision{Do::kNoConflict, ""};
    if (!facts.edited) return {Do::kFetch, ""};
    return {Do::kConflict,
            fmt::format("version {} of {} waits: this node's files were edited since version {}. Keep them "
                        "(`clusterctl apply --overwrite` here) or let go of them (`clusterctl rollback "
                        "--files` here)",
                        theirs->number, theirs->by, mine->number)};
  }
  if (record.knows(*theirs)) return record.conflict.empty() ? Decision{} : Decision{Do::kNoConflict, ""};
  return {
      Do::kConflict,
      fmt::format("both nodes were given a version of their own: {} by {} here, {} by {} there. On the node "
                  "whose files shall hold: clusterctl apply --overwrite",
                  mine->number, mine->by, theirs->number, theirs->by)};
}

}  // namespace

Decision decide(const Record& record, const Facts& facts) {
  Decision decision = record.change ? changing(record, facts) : settled(record, facts);
  if (decision.what == Do::kConflict && decision.why == record.conflict) return {};
  return decision;
}

bool holds_back(const Record& record) {
  return record.change && record.change->arbitration && record.change->phase != Phase::kPrepared;
}

bool return_from_failed_start(Record& record, const std::string& why) {
  if (!record.change || record.change->phase != Phase::kTrying || record.change->ran) return false;
  record.change->phase = Phase::kReturning;
  record.change->failed = why;
  record.clear_of = record.change->to.number;
  return true;
}

}  // namespace clusterd::versions
