// A recording: everything that was given to one node's `step`, and what came of it.
//
//   file   = magic block*
//   block  = kind u8 | stored length u32 | raw length u32 | checksum u64 | bytes      (little-endian)
//
// The bytes are zstd-compressed if that makes them shorter (stored < raw). The checksum is XXH3 over the
// kind, the lengths and the bytes, seeded with the checksum of the block before: a block that was changed,
// removed or exchanged shows. (Not so a forger's work, who can make new checksums; then the digests of the
// decisions tell.)
//
// The first block is the head: program, node, configuration, durable state, and, unless the file begins with
// the daemon's life, a snapshot of the node. All others hold items in order of time:
//
//   step      the event and its time; of the actions: which kinds there were, a digest, and what was told
//   gap       so many steps are missing here
//   snapshot  the node as it was here: a replay goes on behind a gap, and checks itself elsewhere
//
// Times are differences to the item before, heartbeats differences to the one before; each block begins anew,
// so that it can be read by itself. Everything is bounded (`kMax…`), and every byte is taken as hostile.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "core/actions.hpp"
#include "core/events.hpp"
#include "core/persisted_state.hpp"

namespace clusterd::record {

inline constexpr std::array<uint8_t, 16> kMagic = {'c', 'l', 'u', 's', 't', 'e', 'r', 'd',
                                                   ' ', 'r', 'e', 'c', 'o', 'r', 'd', 1};
inline constexpr size_t kMaxBlock = size_t{8} << 20U;  // raw
inline constexpr size_t kMaxStep = size_t{1} << 20U;
inline constexpr size_t kMaxTold = 1000;  // lines of one step

// The version, and the hash of the sources that decide. Two programs with equal hashes decide the same.
[[nodiscard]] const char* core_hash();
// Changes with the layout of events: a file of another layout cannot be read.
[[nodiscard]] uint64_t event_layout();

struct Head {
  std::string version;
  std::string core;
  uint64_t layout = 0;
  std::string node;
  BootId boot;        // of the daemon's life
  uint64_t part = 0;  // of that life: 0 begins with Started
  Instant now{};      // when the file was begun
  WallTime wall{};    // the same instant
  bool without_gate = false;
  uint64_t lost_before = 0;  // steps between the file before and this one that are in neither
  std::string lost_why;
  std::map<std::string, std::string> config;  // texts by file name; never the secret
  PersistedState state;                       // as the daemon found it at its start
  std::vector<uint8_t> snapshot;              // empty in part 0
};

// What came of a step.
struct Outcome {
  uint32_t kinds = 0;   // bit per member of Actions that was not empty
  uint32_t digest = 0;  // of the actions; 0 if there were none
  std::vector<std::string> told;
  bool operator==(const Outcome&) const = default;
};
[[nodiscard]] Outcome outcome_of(const Actions& actions);
// "heartbeats, set_gates": the names of the members.
[[nodiscard]] std::string kinds_text(uint32_t kinds);

struct Step {
  Instant now{};
  Event event;
  // Absent if the recording ends with this step: the daemon ended in it.
  std::optional<Outcome> outcome;
};
struct Gap {
  Instant now{};
  uint64_t steps = 0;
};
struct Snapshot {
  Instant now{};
  std::vector<uint8_t> node;
};
using Item = std::variant<Step, Gap, Snapshot>;

// One line for a person: "heartbeat 812 on link 1", "tick", …
[[nodiscard]] std::string event_text(const Event& event);

}  // namespace clusterd::record
