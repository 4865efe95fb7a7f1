// Runs the production core on a recording and compares what it decides with what it decided then.
#pragma once

#include <functional>
#include <optional>

#include "core/node.hpp"
#include "record/file.hpp"

namespace clusterd::record {

// One line that the replayed node told, as the daemon's log had it.
struct ToldLine {
  Instant now{};
  WallTime wall{};
  uint64_t step = 0;  // from 1
  std::string text;   // "decides: …", "notice 3 takeover: …", "warning: …", "answers 4: …"
  [[nodiscard]] bool is_decision() const { return text.starts_with("decides: "); }
};

// The first step in which the replayed node did something else.
struct Difference {
  Instant now{};
  WallTime wall{};
  uint64_t step = 0;
  std::string event;
  Outcome recorded, replayed;
  std::string why;  // where it is no step: a snapshot differs, or the node could not go on
};

struct ReplayReport {
  uint64_t steps = 0;
  uint64_t decisions = 0;
  uint64_t gaps = 0;   // in which steps are missing
  uint64_t lost = 0;   // steps that are missing
  uint64_t parts = 0;  // files
  std::optional<WallTime> from, to;
  std::optional<Difference> difference;
  std::optional<std::string> damage;
  // The recording ends within a step: the daemon ended in it, and the replayed node survived it.
  bool ends_in_a_step = false;
};

// Takes the files of one daemon's life in their order. Never throws; nothing is done after a difference.
class Replay {
 public:
  using Tell = std::function<void(const ToldLine&)>;

  // `config` is made of the head's texts; it outlives the replay.
  Replay(const Config& config, Tell tell) : config_(config), tell_(std::move(tell)) {}

  // kRefused: it begins with a node that this program cannot take over (made by another version).
  [[nodiscard]] Result<void> part(FileReader& file);
  [[nodiscard]] const ReplayReport& report() const { return report_; }

 private:
  [[nodiscard]] Result<void> begin(const Head& head);
  void step(const Step& step);
  void gap(const Gap& gap);
  void snapshot(const Snapshot& snapshot);
  void differs(Instant now, std::string event, std::string why);
  [[nodiscard]] WallTime wall(Instant now) const { return wall_ + (now - wall_at_); }

  const Config& config_;
  Tell tell_;
  std::optional<Node> node_;  // empty behind a gap, until the next snapshot
  bool same_core_ = true;
  BootId boot_;
  uint64_t next_part_ = 0;
  Instant now_{};
  WallTime wall_{};
  Instant wall_at_{};
  ReplayReport report_;
};

}  // namespace clusterd::record
