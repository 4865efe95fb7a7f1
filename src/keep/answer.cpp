#include "keep/answer.hpp"

#include <fmt/format.h>

#include "keep/machine_check.hpp"
#include "linux/units/process_identity.hpp"
#include "versions/plan.hpp"

namespace clusterd::keep {

namespace {

using versions::Change;
using versions::Phase;
using versions::Record;

// What stands in the way of preparing a version here; empty: nothing.
Refusal hindrance(const ThisNode& node, const Record& record, const Prepare& prepare) {
  const std::string& self = node.name();
  if (record.change)
    return Refusal::for_now(fmt::format("{} is busy with version {}", self, record.change->to.number));
  if (record.current() == nullptr)
    return Refusal::for_now(self + " has only just started; try again in a moment");
  if (prepare.change.to.number <= record.highest)
    return fmt::format("{} knows of a version {} already; try again", self, record.highest);
  const auto config = node.understood(prepare.files);
  if (!config) return fmt::format("{} does not take it:\n{}", self, config.error().message);
  if (!prepare.overwrite) {
    if (node.edited(record))
      return fmt::format(
          "the files of {} were edited there, too, since version {}; `clusterctl diff` shows how. "
          "Whose shall hold? These: clusterctl apply --overwrite. Those: clusterctl apply "
          "--overwrite on {}",
          self, record.current()->number, self);
    // Both nodes were set up by hand, with settings of their own.
    if (prepare.from_digest != record.current()->digest) {
      const auto files = node.store().files(record.current()->number);
      const auto own = files ? node.understood(*files) : tl::unexpected(files.error());
      if (!own || own->hash != record.current()->hash)
        return fmt::format("what {} has now cannot be read: {}", self,
                           own ? "it has changed" : own.error().message);
      for (const versions::Step& step : versions::plan(*own, *config).cluster)
        if (step.text == versions::kPrivateSettings)
          return fmt::format(
              "{} has {} of its own, and would lose them. If it shall: clusterctl apply "
              "--overwrite",
              self, step.text);
    }
  }
  if (const std::string missing = missing_here(*config); !missing.empty())
    return fmt::format("{}: {}", self, missing);
  return "";
}

std::string prepare(const ThisNode& node, const std::string& caller, const json::value& question) {
  auto wanted = prepare_from(question);
  if (!wanted || wanted->change.owner != caller)
    return answered_refusal("the other node's clusterd is of another version");
  const Record before = node.store().load();
  if (const Refusal refusal = hindrance(node, before, *wanted)) return answered_refusal(refusal);
  std::string note;
  if (node.edited(before)) {
    // Overwritten by order; nothing that a person has written is lost.
    if (const auto edited = node.store().edited()) {
      const uint64_t aside = wanted->change.to.number;
      note = fmt::format("what was edited on {} is kept there as /var/lib/clusterd/config/edited-{}",
                         node.name(), aside);
      if (auto put = node.store().put_aside(aside, *edited); !put)
        return answered_refusal(put.error().message);
    }
  }
  if (auto put = node.store().put(wanted->change.to.number, wanted->files); !put)
    return answered_refusal(fmt::format("{}: {}", node.name(), put.error().message));
  bool busy = false;
  const auto changed = node.store().change([&](Record& record) {
    busy = record != before;
    if (busy) return false;
    record.change = wanted->change;
    record.change->from = *record.current();
    record.highest = wanted->change.to.number;
    enter(*record.change, Phase::kPrepared);
    return true;
  });
  if (!changed) return answered_refusal(changed.error().message);
  if (busy) return answered_refusal(Refusal::for_now(node.name() + " is busy; try again"));
  tell(5, fmt::format("version {} of {} is checked and stored", wanted->change.to.number, caller));
  return answered_done(wanted->change.to.number, note);
}

std::string activate(const ThisNode& node, const std::string& caller, const json::value& question) {
  const auto to = versions::version_from(versions::Members(question).at("to"));
  const auto is_it = [&](const Record& record) {
    return to && record.change && record.change->to.same(*to) && record.change->owner == caller;
  };
  const Record before = node.store().load();
  if (!is_it(before) || before.change->phase == Phase::kReturning)
    return answered_refusal(node.name() + " has given it up meanwhile");
  if (before.change->phase == Phase::kTrying) return answered_done();
  // Before the other node can know that this one has it.
  if (before.change->arbitration) {
    if (auto held = node.hold_back(true); !held) return answered_refusal(held.error().message);
  }
  bool done = false;
  const auto changed = node.store().change([&](Record& record) {
    done = is_it(record) && record.change->phase == Phase::kPrepared;
    if (!done) return false;
    record.clear_of = record.change->from.number;
    record.placing = true;
    enter(*record.change, Phase::kTrying);
    return true;
  });
  if (!changed || !done) {
    if (before.change->arbitration) static_cast<void>(node.hold_back(false));
    return answered_refusal(changed ? node.name() + " has given it up meanwhile" : changed.error().message);
  }
  if (auto placed = node.place(); !placed) tell(3, placed.error().message);  // each tick tries again
  tell(5, fmt::format("version {} of {} is in place, on trial", to->number, caller));
  return answered_done();
}

}  // namespace

void enter(Change& change, Phase phase) {
  change.phase = phase;
  change.since_ms = boottime_ms();
  change.boot = kernel_boot_id();
}

versions::PeerWord own_word(const ThisNode& node) {
  versions::PeerWord word;
  word.record = node.store().load();
  word.running = node.daemon().running;
  word.edited = node.edited(word.record);
  return word;
}

std::string answer_peer(const ThisNode& node, const std::string& caller, const std::string& question) {
  const auto value = versions::parsed(question);
  if (!value) return answered_refusal("no question that clusterd-config knows");
  const std::string what = what_of(*value);
  if (what == "ask") return answered(own_word(node));
  if (what == "files") {
    const uint64_t number = versions::Members(*value).unsigned_number("number");
    const auto files = number == 0 ? node.store().edited() : node.store().files(number);
    return files ? answered(*files) : answered_refusal(files.error().message);
  }
  if (what == "prepare") return prepare(node, caller, *value);
  if (what == "activate") return activate(node, caller, *value);
  return answered_refusal("the other node's clusterd is of another version");
}

}  // namespace clusterd::keep
