// Mirror runs between the simulated nodes, in the steps of the real ones: the source looks at its roots, the
// target's daemon is asked, files are carried over one by one, both sides note what they agree on. After a
// run of a live mirror a stream stays open: what differs is carried over again and again, until the
// connection breaks, either daemon ends, a root is in disorder, or the source or the target ends it.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "sim/world.hpp"

namespace clusterd::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {
constexpr Duration kRun = milliseconds(50);
constexpr int kSteps = 4;
constexpr Duration kAnswerLimit = seconds(10);  // for the target's daemon
constexpr uint32_t kFiles = 12;
constexpr Duration kLag = milliseconds(40);   // of a live mirror
constexpr Duration kLongestLag = seconds(2);  // … whose peer is slow
constexpr Duration kSilence = seconds(5);     // until the loss of a connection is noticed, at most
constexpr Duration kTellEvery = seconds(1);
}  // namespace

// S8: nothing is mirrored to a node that does not say that it stands by.
void World::judge_order(NodeId id, const MirrorOrder& order) {
  if (order.kind != MirrorReport::Kind::kRun && order.kind != MirrorReport::Kind::kResync) return;
  if (config_.service(order.service).mirrors.at(order.mirror.at()).to) return;
  const auto& roles = machine(id).now.heard_roles;
  if (order.service.at() < roles.size() && roles.at(order.service.at()) == Role::kStandby) return;
  judge_.accuse(now_, fmt::format("S8: {} orders a mirror run, and its peer does not say that it stands by",
                                  config_.node(id).name));
}

void World::run_mirror(NodeId id, const MirrorOrder& order) {
  judge_order(id, order);
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
    constexpr std::array kKinds{"run", "resync", "flush", "follow", "scrub", "pause"};
    say(id, fmt::format("{}: mirror {}", config_.service(order.service).name,
                        kKinds.at(static_cast<size_t>(order.kind))));
  }
  // The simulated files remember their changes themselves, and have no contents that could differ unnoticed.
  if (order.kind == MirrorReport::Kind::kFollow || order.kind == MirrorReport::Kind::kScrub) return;
  if (const auto stream = stream_of(id, order)) {
    if (order.kind == MirrorReport::Kind::kFlush) {
      streams_.at(*stream).run.report.kind = order.kind;
      return after(kRun, [this, number = *stream] { flush_stream(number); });
    }
    streams_.erase(*stream);  // it connects anew
  }
  if (order.kind == MirrorReport::Kind::kPause) return;
  run.source_root = files_.root(order.service, id);
  if (order.confirmed) files_.confirmed(order, id);
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
                            : questions_late_;
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
    files_.broke_off(run);
    transfers_.erase(at);  // the run is a child of the daemon
    return;
  }
  if (!reachable(run.source))
    return end_transfer(number, MirrorReport::Outcome::kFailed, "the connection was broken");
  const bool vanished = files_.root(run.order.service, run.source) != run.source_root ||
                        files_.root(run.order.service, run.target) != RootFault::kNone;
  if (vanished) return end_transfer(number, MirrorReport::Outcome::kFailed, "files vanished during the run");
  judge_direction(run);
  const bool last = step == kSteps;
  const bool done = files_.carry(run, last ? run.todo.size() : run.todo.size() / 2 + 1);
  if (!last) return;
  if (!done) return;
  files_.finish(run);
  const bool live = config_.service(run.order.service).mirrors.at(run.order.mirror.at()).live;
  if (live) follow_from_now_on(run);
  end_transfer(number, MirrorReport::Outcome::kDone, "");
}

void World::judge_direction(const Transfer& run) {
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
}

// ---- live mirrors ----

std::optional<uint64_t> World::stream_of(NodeId source, const MirrorOrder& order) const {
  for (const auto& [number, stream] : streams_) {
    const MirrorOrder& of = stream.run.order;
    if (stream.run.source == source && of.service == order.service && of.mirror == order.mirror)
      return number;
  }
  return std::nullopt;
}

void World::follow_from_now_on(Transfer run) {
  const uint64_t number = run.id;
  run.report.files = run.report.bytes = run.report.removed = run.report.lost = run.report.backed_up = 0;
  run.order.confirmed = false;  // that was good for one run
  const uint64_t target_life = machine(run.target).life;
  streams_[number] = {std::move(run), target_life, now_};
  after(kLag, [this, number] { follow(number); });
}

void World::follow(uint64_t number) {
  const auto at = streams_.find(number);
  if (at == streams_.end()) return;
  Stream& stream = at->second;
  Transfer& run = stream.run;
  if (machine(run.source).life != run.source_life) {
    streams_.erase(at);
    return;
  }
  // The receiver is a child of the target's daemon.
  if (machine(run.target).life != stream.target_life || !reachable(run.source))
    return end_stream(number, MirrorReport::Outcome::kFailed, "the connection was broken");
  if (const auto halt = files_.source_halt(run))
    return end_stream(number, MirrorReport::Outcome::kHalted, *halt);
  if (files_.root(run.order.service, run.source) != run.source_root ||
      files_.root(run.order.service, run.target) != RootFault::kNone)
    return end_stream(number, MirrorReport::Outcome::kFailed, "a root is in disorder");
  judge_direction(run);
  const size_t most = clocks_anywhere_ && random_.chance(30) ? 1 : kFiles;
  const size_t carried = files_.follow(run, most);
  if (carried > 0 && now_ - stream.told >= kTellEvery) {
    stream.told = now_;
    run.report.outcome = MirrorReport::Outcome::kProgress;
    run.report.lag.files = carried;
    deliver_after(run.source, Duration::zero(), run.report);
  }
  const Duration lag = clocks_anywhere_ && random_.chance(10) ? random_.log_between(kLag, kLongestLag) : kLag;
  after(lag, [this, number] { follow(number); });
}

void World::flush_stream(uint64_t number) {
  const auto at = streams_.find(number);
  if (at == streams_.end()) return;  // its end was reported
  Transfer& run = at->second.run;
  if (machine(run.source).life != run.source_life) return;
  if (!reachable(run.source) || files_.root(run.order.service, run.source) != RootFault::kNone ||
      files_.root(run.order.service, run.target) != RootFault::kNone)
    return end_stream(number, MirrorReport::Outcome::kFailed, "the connection was broken");
  judge_direction(run);
  files_.follow(run, kFiles);
  run.report.outcome = MirrorReport::Outcome::kDone;
  deliver_after(run.source, Duration::zero(), run.report);
}

// Of the connection's loss the source learns late.
void World::end_stream(uint64_t number, MirrorReport::Outcome outcome, const std::string& detail) {
  const Transfer run = std::move(streams_.at(number).run);
  streams_.erase(number);
  MirrorReport report = run.report;
  report.outcome = outcome;
  report.detail = detail;
  const bool late = clocks_anywhere_ && outcome == MirrorReport::Outcome::kFailed;
  const Duration delay = late ? random_.log_between(Network::kHop, kSilence) : Network::kHop;
  if (machine(run.source).life == run.source_life) deliver_after(run.source, delay, report);
}

void World::set_mirror(MirrorReport::Outcome outcome) {
  mirror_outcome_ = outcome;
  if (outcome == MirrorReport::Outcome::kDone) return;
  const char* why =
      outcome == MirrorReport::Outcome::kHalted ? "its root is empty" : "the connection was broken";
  while (!streams_.empty()) end_stream(streams_.begin()->first, outcome, why);
}

void World::end_transfer(uint64_t number, MirrorReport::Outcome outcome, const std::string& detail) {
  const auto at = transfers_.find(number);
  if (at == transfers_.end()) return;
  Transfer run = std::move(at->second);
  transfers_.erase(at);
  if (outcome != MirrorReport::Outcome::kDone) files_.broke_off(run);
  run.report.outcome = outcome;
  run.report.detail = detail;
  if (machine(run.source).life == run.source_life) deliver(run.source, run.report);
}

void World::stop_receivers(NodeId target, ServiceId service) {
  std::vector<uint64_t> ended;
  for (const auto& [number, run] : transfers_) {
    const bool here = run.answered || !stragglers_;  // a question that is on its way has no receiver yet
    if (run.target == target && run.order.service == service && here) ended.push_back(number);
  }
  for (const uint64_t number : ended) {
    const Transfer run = std::move(transfers_.at(number));
    transfers_.erase(number);
    files_.broke_off(run);
    MirrorReport report = run.report;
    report.outcome = MirrorReport::Outcome::kFailed;
    report.detail = "the target ended it";
    if (machine(run.source).life == run.source_life) deliver_after(run.source, Network::kHop, report);
  }
  for (auto at = streams_.begin(); at != streams_.end();) {
    const auto stream = at++;
    if (stream->second.run.target == target && stream->second.run.order.service == service)
      end_stream(stream->first, MirrorReport::Outcome::kFailed, "the target ended it");
  }
}

void World::cancel_mirrors(NodeId source, ServiceId service) {
  std::erase_if(transfers_, [&](const auto& item) {
    return item.second.source == source && item.second.order.service == service;
  });
  std::erase_if(streams_, [&](const auto& item) {
    return item.second.run.source == source && item.second.run.order.service == service;
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
