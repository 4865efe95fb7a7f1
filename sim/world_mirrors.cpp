// Mirror runs between the simulated nodes, in the steps of the real ones: the source looks at its roots, the
// target's daemon is asked, files are carried over one by one, both sides note what they agree on.
#include <fmt/format.h>

#include <algorithm>

#include "sim/world.hpp"

namespace clusterd::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {
constexpr Duration kRun = milliseconds(50);
constexpr int kSteps = 4;
constexpr Duration kAnswerLimit = seconds(10);  // for the target's daemon
constexpr uint32_t kFiles = 12;
}  // namespace

void World::run_mirror(NodeId id, const MirrorOrder& order) {
  const NodeId peer(1 - id.at());
  const MirrorConfig& mirror = config_.service(order.service).mirrors.at(order.mirror.at());
  Transfer run;
  run.id = ++commands_;
  run.source = id;
  run.target = peer;
  run.order = order;
  run.source_life = machine(id).life;
  run.report.service = order.service;
  run.report.mirror = order.mirror;
  run.report.epoch = order.epoch;
  run.report.kind = order.kind;
  if (telling_ && order.kind != MirrorReport::Kind::kRun) {
    const char* kind = order.kind == MirrorReport::Kind::kResync ? "resync" : "flush";
    say(id, fmt::format("{}: mirror {}", config_.service(order.service).name, kind));
  }
  run.source_root = files_.root(order.service, id);
  const auto halt = files_.source_halt(run);
  if (halt || mirror.to || !reachable(id) || !machine(peer).node) {
    run.report.outcome = halt        ? MirrorReport::Outcome::kHalted
                         : mirror.to ? MirrorReport::Outcome::kDone
                                     : MirrorReport::Outcome::kFailed;
    run.report.detail = halt ? *halt : mirror.to ? "" : "the peer cannot be reached";
    return deliver_after(id, kRun, run.report);
  }
  Command ask;
  ask.kind = Command::Kind::kMirrorReceive;
  ask.service = order.service;
  ask.text = mirror.name;
  ask.epoch = order.epoch;
  ask.id = run.id;
  const Duration late = clocks_anywhere_ && random_.chance(10)
                            ? random_.log_between(milliseconds(5), seconds(5))
                            : Duration::zero();
  deliver_after(peer, Network::kHop + late, ask);
  after(kAnswerLimit, [this, number = run.id] {
    const auto at = transfers_.find(number);
    if (at == transfers_.end() || at->second.answered) return;
    end_transfer(number, MirrorReport::Outcome::kFailed, "no answer");
  });
  transfers_[run.id] = std::move(run);
}

void World::mirror_answered(const Reply& reply) {
  Transfer& run = transfers_.at(reply.command);
  run.answered = true;
  if (!reply.ok) {
    run.report.outcome = MirrorReport::Outcome::kFailed;
    run.report.detail = reply.text;
  } else if (mirror_outcome_ != MirrorReport::Outcome::kDone) {
    run.report.outcome = mirror_outcome_;
    run.report.detail = "its root is empty";
  } else if (const auto halt = files_.open(run)) {
    run.report.outcome = MirrorReport::Outcome::kHalted;
    run.report.detail = fmt::format("at {}: {}", config_.node(run.target).name, *halt);
  } else {
    const uint64_t number = run.id;
    const bool empty = run.todo.empty();
    const Duration takes =
        clocks_anywhere_ && random_.chance(30) ? random_.log_between(kRun, seconds(20)) : kRun;
    for (int step = empty ? kSteps : 1; step <= kSteps; ++step) {
      after(takes * step / kSteps, [this, number, step] { carry(number, step); });
    }
    return;
  }
  const NodeId source = run.source;
  const MirrorReport report = run.report;
  const bool there = machine(source).life == run.source_life;
  transfers_.erase(reply.command);
  if (there) deliver_after(source, kRun, report);
}

void World::carry(uint64_t number, int step) {
  const auto at = transfers_.find(number);
  if (at == transfers_.end()) return;
  Transfer& run = at->second;
  if (machine(run.source).life != run.source_life) {
    transfers_.erase(at);  // the run is a child of the daemon
    return;
  }
  if (!reachable(run.source))
    return end_transfer(number, MirrorReport::Outcome::kFailed, "the connection was broken");
  const bool vanished = files_.root(run.order.service, run.source) != run.source_root ||
                        files_.root(run.order.service, run.target) != RootFault::kNone;
  if (vanished) return end_transfer(number, MirrorReport::Outcome::kFailed, "files vanished during the run");
  const auto answers = answering(run.order.service);
  if (std::find(answers.begin(), answers.end(), run.target) != answers.end()) {
    judge_.accuse(
        now_, fmt::format("S8: a mirror run writes on {} while it serves", config_.node(run.target).name));
  }
  const Epoch known = machine(run.target).disk.state.services.at(run.order.service.at()).epoch;
  if (known > run.order.epoch && machine(run.target).node) {
    judge_.accuse(now_, fmt::format("S8: a mirror run of epoch {} writes where epoch {} is known",
                                    run.order.epoch.value, known.value));
  }
  const bool last = step == kSteps;
  const bool done = files_.carry(run, last ? run.todo.size() : run.todo.size() / 2 + 1);
  if (!last) return;
  if (!done) return;
  files_.finish(run);
  end_transfer(number, MirrorReport::Outcome::kDone, "");
}

void World::end_transfer(uint64_t number, MirrorReport::Outcome outcome, const std::string& detail) {
  const auto at = transfers_.find(number);
  if (at == transfers_.end()) return;
  Transfer run = std::move(at->second);
  transfers_.erase(at);
  run.report.outcome = outcome;
  run.report.detail = detail;
  if (machine(run.source).life == run.source_life) deliver(run.source, run.report);
}

void World::stop_receivers(NodeId target, ServiceId service) {
  std::vector<uint64_t> ended;
  for (const auto& [number, run] : transfers_) {
    if (run.target == target && run.order.service == service) ended.push_back(number);
  }
  for (const uint64_t number : ended) {
    const Transfer run = std::move(transfers_.at(number));
    transfers_.erase(number);
    MirrorReport report = run.report;
    report.outcome = MirrorReport::Outcome::kFailed;
    report.detail = "the target ended it";
    if (machine(run.source).life == run.source_life) deliver_after(run.source, Network::kHop, report);
  }
}

void World::cancel_mirrors(NodeId source, ServiceId service) {
  std::erase_if(transfers_, [&](const auto& item) {
    return item.second.source == source && item.second.order.service == service;
  });
}

// ---- clients ----

void World::set_clients(Duration every) {
  const bool begins = client_period_ == Duration::zero();
  client_period_ = every;
  if (begins) client_writes();
}

// A client reaches whoever answers, and is told that its write is done; now and then it deletes a file.
void World::client_writes() {
  for (size_t s = 0; s < config_.services.size(); ++s) {
    const ServiceId service(s);
    if (config_.services.at(s).mirrors.empty()) continue;
    const auto nodes = answering(service);
    if (nodes.empty()) continue;
    const NodeId node = nodes.front();
    const auto& units = machine(node).kernel.units.at(s);
    if (!std::all_of(units.begin(), units.end(), [](bool runs) { return runs; })) continue;
    const bool written = files_.write(service, node, random_.draw(kFiles), random_.chance(15));
    if (written) files_.served(service, node, submitted(node, service).epoch);
  }
  after(client_period_, [this] { client_writes(); });
}

}  // namespace clusterd::sim
