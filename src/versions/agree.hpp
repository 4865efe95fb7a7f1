// How two nodes agree on a version: one tick's decision, from what the disk says and what is seen. Pure.
//
// The node where a version was applied owns the change (docs/decisions/0012): it alone accepts or gives up,
// the other one asks it, and stays as it is while there is no answer. Every state is on disk before its
// consequences are seen, so a node that dies goes on where it was.
#pragma once

#include <optional>
#include <string>

#include "versions/record.hpp"

namespace clusterd::versions {

// Longer without contact, and a version on trial is given up by its owner.
inline constexpr int64_t kContactLostMs = 15'000;
// A version that was prepared and not activated is forgotten.
inline constexpr int64_t kPreparedMs = 30'000;

// What the other node says of itself.
struct PeerWord {
  Record record;         // its files aside
  uint64_t running = 0;  // the hash that its daemon runs with; 0: it does not answer
  bool edited = false;   // its /etc/cluster.d differs from its version
};

// What this node sees. Times are milliseconds of CLOCK_BOOTTIME.
struct Facts {
  std::string self;
  int64_t now_ms = 0;
  int64_t since_ms = 0;         // when the change entered its phase, or this kernel was booted
  int64_t last_contact_ms = 0;  // when the daemons last heard each other with the version on trial
  uint64_t running = 0;         // as PeerWord's, of the own daemon
  bool agrees = false;          // the own daemon hears the other one, with the same configuration
  bool edited = false;
  std::optional<PeerWord> peer;  // nullopt: not asked, or no answer
};

enum class Do : uint8_t {
  kNothing,
  kAbandon,       // forget what was only prepared
  kActivatePeer,  // tell the other node to put it in place
  kActivate,      // see that the daemon of this node runs with what is to be in place
  kAccept,        // the version on trial becomes the current one
  kReturn,        // put the former version in place again
  kSettle,        // the return is over on both nodes
  kFetch,         // take the other node's newer version
  kAdopt,         // both nodes run with files that were copied by hand: a version of their own
  kConflict,      // say why the nodes cannot agree by themselves
  kNoConflict,    // the conflict is over
};

struct Decision {
  Do what = Do::kNothing;
  std::string why;
  bool operator==(const Decision&) const = default;
};

[[nodiscard]] Decision decide(const Record& record, const Facts& facts);

// Whether the daemon has to hold back from takeovers: also asked when it starts.
[[nodiscard]] bool holds_back(const Record& record);

// The daemon did not start with the version on trial. Only before it ever ran with it (nobody can have
// accepted it then) the former one comes back: true, and `record` says so.
[[nodiscard]] bool return_from_failed_start(Record& record, const std::string& why);

}  // namespace clusterd::versions
