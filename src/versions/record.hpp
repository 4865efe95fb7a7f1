// What a node knows of the versions of the configuration, as it stands in STATE_DIR/config/record.json. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "config/load.hpp"

namespace clusterd::versions {

inline constexpr size_t kMaxKept = 20;                     // versions, with their files
inline constexpr size_t kMaxSetBytes = 1024 * 1024;        // all files of one version together
inline constexpr size_t kMaxSetFiles = kMaxServices + 1U;  // cluster.toml and the services

// A version of the configuration. The number orders versions, the digest says what is in one: two nodes that
// gave the same number to different files are found out.
struct Version {
  uint64_t number = 0;
  std::string digest;  // over names and contents of the files, in hex
  uint64_t hash = 0;   // as in heartbeats (S12)
  std::string by;      // the node where it was applied
  int64_t at_s = 0;    // wall clock: for people
  std::string how;     // "applied", "rollback to 4", …
  [[nodiscard]] bool same(const Version& other) const {
    return number == other.number && digest == other.digest;
  }
  bool operator==(const Version&) const = default;
};

enum class Phase : uint8_t {
  kPrepared,   // checked and stored here; nothing is changed yet
  kTrying,     // in place, on trial
  kReturning,  // the former version is in place again; waits until the other node is back at it, too
};
[[nodiscard]] const char* name(Phase phase);

// A change that is not settled.
struct Change {
  Version from, to;
  std::string owner;  // the node whose word decides: where it was applied
  Phase phase = Phase::kPrepared;
  bool arbitration = false;  // hold back from takeovers meanwhile (versions/plan.hpp)
  bool ran = false;          // the daemon of this node has been started with `to`, and not with `from` since
  bool peer_has = false;     // owner: the other node has put it in place
  int64_t trial_s = 60;
  int64_t since_ms = 0;  // CLOCK_BOOTTIME of the kernel `boot`, when it entered its phase
  std::string boot;
  std::string failed;  // why this node or the other one could not go on with `to`
  bool operator==(const Change&) const = default;
};

struct Record {
  std::vector<Version> history;  // oldest first; the last one is in force (a change aside)
  std::optional<Change> change;
  uint64_t highest = 0;   // number ever used or heard of: a version that was given up keeps its own
  uint64_t clear_of = 0;  // members that only this version has may still run; 0 = none
  bool placing = false;   // its files are just being put into /etc/cluster.d
  bool due = false;       // without a trial: the daemon has yet to take the current version
  std::string last;       // what became of the last change, in words
  std::string conflict;   // why this node and the other one cannot agree by themselves; empty: they can
  bool operator==(const Record&) const = default;

  [[nodiscard]] const Version* current() const { return history.empty() ? nullptr : &history.back(); }
  [[nodiscard]] bool knows(const Version& version) const;
  void settle(Version version);  // becomes the current one
  // With which version the daemon has to run now; nullptr before the first one.
  [[nodiscard]] const Version* in_place() const;
};

// Lower-case hex of 16 bytes. The same for the same files, whatever their modes and times.
[[nodiscard]] std::string digest_of(const ConfigTexts& files);

// Only what the loader reads: cluster.toml and services/NAME.toml. Keys and secrets are no part of a version.
[[nodiscard]] ConfigTexts set_of(const ConfigTexts& files);
// Why these files are no set that a node may be given; empty: they are.
[[nodiscard]] std::string refusal_of(const ConfigTexts& files);

[[nodiscard]] std::string encoded(const Record& record);
// nullopt: not written by `encoded`.
[[nodiscard]] std::optional<Record> record_from(const std::string& text);

// "- old" and "+ new" lines with up to `context` lines around them; empty if both are the same.
[[nodiscard]] std::vector<std::string> line_diff(const std::string& old, const std::string& now,
                                                 size_t context = 2);

}  // namespace clusterd::versions
