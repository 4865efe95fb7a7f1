#include "record/replay.hpp"

#include <fmt/format.h>

#include <exception>

namespace clusterd::record {

Result<void> Replay::begin(const Head& head) {
  wall_ = head.wall;
  wall_at_ = head.now;
  if (!report_.from) report_.from = head.wall;
  same_core_ = head.core == core_hash();
  const bool continues =
      node_ && head.boot == boot_ && head.part == next_part_ && head.lost_before == 0 && head.part > 0;
  boot_ = head.boot;
  next_part_ = head.part + 1;
  ++report_.parts;
  if (continues) {
    snapshot({head.now, head.snapshot});
    return {};
  }
  if (head.lost_before > 0) gap({head.now, head.lost_before});
  node_.reset();
  if (head.part == 0) {
    node_.emplace(config_, head.state);
  } else if (same_core_) {
    node_ = Node::restored(config_, head.snapshot);
    if (!node_) return fail(Code::kCorrupt, "the node with which it begins makes no sense");
  } else {
    return fail(
        Code::kRefused,
        fmt::format("it begins in the middle of a daemon's life, with a node of clusterd {:.40} (core "
                    "{:.16}): replay it with that version",
                    head.version, head.core));
  }
  now_ = head.now;
  return {};
}

Result<void> Replay::part(FileReader& file) {
  if (report_.difference || report_.damage) return {};
  try {
    if (auto begun = begin(file.head()); !begun) return begun;
    while (!report_.difference) {
      auto item = file.next();
      if (!item) {
        report_.damage = item.error().message;
        break;
      }
      if (!*item) break;
      if (const auto* one = std::get_if<Step>(&**item)) step(*one);
      if (const auto* one = std::get_if<Gap>(&**item)) gap(*one);
      if (const auto* one = std::get_if<Snapshot>(&**item)) snapshot(*one);
    }
  } catch (const std::exception& error) {
    // Indices that fit no table: only a recording that no daemon wrote leads there.
    differs(now_, "", fmt::format("the replayed node could not go on: {}", error.what()));
  }
  report_.to = wall(now_);
  return {};
}

void Replay::step(const Step& step) {
  if (!node_) {
    ++report_.lost;  // behind a gap, before the snapshot
    return;
  }
  if (step.now < now_) return differs(step.now, event_text(step.event), "time goes backwards");
  now_ = step.now;
  if (const auto* tick = std::get_if<Tick>(&step.event)) {
    wall_ = tick->wall;
    wall_at_ = now_;
  }
  ++report_.steps;
  const Actions actions = node_->step(now_, step.event);
  const Outcome outcome = outcome_of(actions);
  report_.decisions += actions.decisions.size();
  for (const auto& text : outcome.told) tell_({now_, wall(now_), report_.steps, text});
  if (!step.outcome) {
    report_.ends_in_a_step = true;
  } else if (outcome != *step.outcome) {
    differs(now_, event_text(step.event), "");
    report_.difference->recorded = *step.outcome;
    report_.difference->replayed = outcome;
  }
}

void Replay::gap(const Gap& gap) {
  ++report_.gaps;
  report_.lost += gap.steps;
  node_.reset();
}

// Behind a gap the node goes on from here. Elsewhere it must already be what the snapshot says.
void Replay::snapshot(const Snapshot& snapshot) {
  if (!same_core_) return;
  if (node_) {
    if (node_->snapshot() != snapshot.node)
      differs(snapshot.now, "",
              "the replayed node is not what the recorded one was, though it decided the same");
    return;
  }
  node_ = Node::restored(config_, snapshot.node);
  if (!node_) return differs(snapshot.now, "", "a recorded node makes no sense");
  now_ = std::max(now_, snapshot.now);
}

void Replay::differs(Instant now, std::string event, std::string why) {
  Difference difference;
  difference.now = now;
  difference.wall = wall(now);
  difference.step = report_.steps;
  difference.event = std::move(event);
  difference.why = std::move(why);
  report_.difference = std::move(difference);
}

}  // namespace clusterd::record
