#include "keep/keeper.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "keep/answer.hpp"
#include "keep/machine_check.hpp"
#include "linux/units/process_identity.hpp"

namespace clusterd::keep {

namespace {

using versions::Do;
using versions::Phase;
using versions::Record;

constexpr int kTickMs = 500;
constexpr int64_t kAskEveryMs = 1000, kAskSettledMs = 5000, kHupEveryMs = 8000, kFetchEveryMs = 15'000;

}  // namespace

Result<void> Keeper::run() {
  if (auto listening = listen_locally(); !listening) return listening;
  begin();
  std::thread server([this] { serve(); });
  server.detach();
  std::thread always([this] { always_.run(); });
  always.detach();
  std::thread likeness([this] { likeness_.run(); });
  likeness.detach();
  while (::getppid() == daemon_) {
    pollfd poller{socket_.get(), POLLIN, 0};
    if (::poll(&poller, 1, kTickMs) > 0) answer_local();
    tick();
  }
  return {};
}

// Without a record: what stands in /etc/cluster.d, if the daemon runs with it, is version 1.
void Keeper::begin() {
  if (node_.store().load().current() != nullptr) return;
  const auto files = node_.store().edited();
  const auto config = files ? node_.understood(*files) : tl::unexpected(files.error());
  if (!config) return;
  versions::Version first;
  first.number = 1;
  first.digest = versions::digest_of(*files);
  first.hash = config->hash;
  first.by = node_.name();
  first.at_s = static_cast<int64_t>(::time(nullptr));
  first.how = "found";
  if (auto put = node_.store().put(1, *files); !put) return tell(4, put.error().message);
  note([&](Record& record) {
    if (record.current() == nullptr) record.settle(first);
  });
}

void Keeper::note(const std::function<void(Record&)>& edit) const {
  const auto changed = node_.store().change([&](Record& record) {
    edit(record);
    return true;
  });
  if (!changed) tell(3, changed.error().message);
}

void Keeper::tick() {
  Record record = node_.store().load();
  if (record.current() == nullptr) return begin();
  if (record.placing) {
    if (auto placed = node_.place(); !placed) tell(3, placed.error().message);
  }
  const auto seen = facts(record);
  tell_daemon(record);
  act(record, seen, decide(record, seen));
}

// Again and again until it was heard: a daemon that holds back without need would not relieve its peer.
void Keeper::tell_daemon(const Record& record) {
  const bool hold = versions::holds_back(record);
  if (told_to_hold_ != hold && node_.hold_back(hold)) told_to_hold_ = hold;
}

versions::Facts Keeper::facts(const Record& record) {
  versions::Facts facts;
  facts.self = node_.name();
  facts.now_ms = boottime_ms();
  const DaemonView view = node_.daemon();
  facts.running = view.running;
  facts.agrees = view.agrees;
  facts.since_ms = started_ms_;
  if (record.change && record.change->boot == kernel_boot_id())
    facts.since_ms = std::min(record.change->since_ms, facts.now_ms);
  if (facts.now_ms - last_asked_ms_ >= (record.change ? kAskEveryMs : kAskSettledMs)) {
    const auto answer = node_.ask_peer(asked("ask"));
    last_asked_ms_ = boottime_ms();
    if (answer) {
      if (auto word = word_from(*answer)) facts.peer = std::move(*word);
    }
    facts.now_ms = last_asked_ms_;
  }
  if (!record.change) facts.edited = node_.edited(record);
  if (record.change && facts.agrees && facts.running == record.change->to.hash)
    last_contact_ms_ = facts.now_ms;
  facts.last_contact_ms = last_contact_ms_;
  return facts;
}

void Keeper::act(const Record& record, const versions::Facts& facts, const versions::Decision& decision) {
  switch (decision.what) {
    case Do::kNothing:
      return;
    case Do::kAbandon:
      note([&](Record& now) {
        if (!now.change || now.change->phase != Phase::kPrepared) return;
        now.last = fmt::format("version {} was forgotten: {}", now.change->to.number, decision.why);
        now.change.reset();
      });
      return;
    case Do::kActivatePeer:
      return activate_peer(record);
    case Do::kActivate:
      return activate(record);
    case Do::kAccept:
      return accept(record);
    case Do::kReturn:
      return go_back(record, decision.why);
    case Do::kSettle:
      return settle(record);
    case Do::kFetch:
      return fetch(*facts.peer);
    case Do::kAdopt:
      return adopt(facts.running);
    case Do::kConflict:
      tell(3, decision.why);
      note([&](Record& now) { now.conflict = decision.why; });
      return;
    case Do::kNoConflict:
      note([](Record& now) { now.conflict.clear(); });
      return;
  }
}

void Keeper::activate_peer(const Record& record) {
  const auto answer = node_.ask_peer(asked_to_activate(record.change->to));
  const auto done = answer ? done_from(*answer) : tl::unexpected(answer.error());
  if (!done && done.error().code != Code::kRefused) return;  // maybe it has; asked again until time is over
  note([&](Record& now) {
    if (!now.change || !now.change->to.same(record.change->to) || now.change->phase != Phase::kTrying) return;
    if (!done) {
      now.change->failed = done.error().message;
    } else {
      now.change->peer_has = true;
      now.placing = true;
      enter(*now.change, Phase::kTrying);
    }
  });
  last_contact_ms_ = boottime_ms();
  if (done) {
    if (auto placed = node_.place(); !placed) return tell(3, placed.error().message);
    activate(node_.store().load());
  }
}

// The daemon reads its files anew, in a clean restart that disturbs no service.
void Keeper::activate(const Record& record) {
  if (record.placing) return;
  if (last_hup_ms_ != 0 && boottime_ms() - last_hup_ms_ < kHupEveryMs) return;
  last_hup_ms_ = boottime_ms();
  if (record.in_place() != nullptr)
    tell(5, fmt::format("the daemon takes version {}", record.in_place()->number));
  ::kill(daemon_, SIGHUP);
}

void Keeper::accept(const Record& record) {
  note([&](Record& now) {
    if (!now.change || !now.change->to.same(record.change->to)) return;
    now.last =
        fmt::format("version {} of {} is in force on both nodes", now.change->to.number, now.change->to.by);
    now.settle(now.change->to);
    now.change.reset();
    now.conflict.clear();
  });
  tell(5, node_.store().load().last);
  tell_daemon(node_.store().load());
  node_.store().prune(node_.store().load());
}

void Keeper::go_back(const Record& record, const std::string& why) {
  note([&](Record& now) {
    if (!now.change || !now.change->to.same(record.change->to) || now.change->phase == Phase::kReturning)
      return;
    if (now.change->failed.empty()) now.change->failed = why;
    now.last =
        fmt::format("version {} of {} was given up: {}", now.change->to.number, now.change->to.by, why);
    now.clear_of = now.change->to.number;
    now.placing = true;
    enter(*now.change, Phase::kReturning);
  });
  tell(4, node_.store().load().last + fmt::format("; back to version {}", record.change->from.number));
  if (auto placed = node_.place(); !placed) return tell(3, placed.error().message);
  last_hup_ms_ = 0;
}

void Keeper::settle(const Record& record) {
  note([&](Record& now) {
    if (!now.change || now.change->phase != Phase::kReturning) return;
    now.last = fmt::format("version {} of {} was given up: {}", now.change->to.number, now.change->to.by,
                           now.change->failed);
    now.change.reset();
  });
  tell_daemon(node_.store().load());
  tell(5, fmt::format("version {} is in force again", record.change->from.number));
}

// The other node's version is a newer one, which descends from what this node has.
void Keeper::fetch(const versions::PeerWord& peer) {
  const versions::Version& theirs = *peer.record.current();
  if (last_fetch_ms_ != 0 && boottime_ms() - last_fetch_ms_ < kFetchEveryMs) return;
  last_fetch_ms_ = boottime_ms();
  const auto complain = [&](const std::string& why) {
    const std::string text =
        fmt::format("version {} of {} cannot be taken here: {}", theirs.number, theirs.by, why);
    if (text != told_) tell(3, told_ = text);
    note([&](Record& now) { now.conflict = text; });
  };
  const auto answer = node_.ask_peer(asked_for_files(theirs.number));
  const auto files = answer ? files_from(*answer) : tl::unexpected(answer.error());
  if (!files) return complain(files.error().message);
  if (versions::digest_of(*files) != theirs.digest) return complain("its files are not what it says");
  const auto config = node_.understood(*files);
  if (!config) return complain(config.error().message);
  if (const std::string missing = missing_here(*config); !missing.empty()) return complain(missing);
  if (auto put = node_.store().put(theirs.number, *files); !put) return complain(put.error().message);
  note([&](Record& now) {
    if (now.change || now.current() == nullptr || now.current()->number >= theirs.number) return;
    now.clear_of = now.current()->number;
    const versions::Version own = *now.current();
    now.history = peer.record.history;
    if (now.history.empty() || !now.history.back().same(theirs)) return;
    now.highest = std::max(now.highest, peer.record.highest);
    now.placing = own.digest != theirs.digest;
    now.due = own.digest != theirs.digest;
    now.conflict.clear();
    now.last = fmt::format("version {} of {} was taken from the other node", theirs.number, theirs.by);
  });
  tell(5, node_.store().load().last);
  if (auto placed = node_.place(); !placed) return tell(3, placed.error().message);
  last_hup_ms_ = 0;
}

// Both daemons were started with files that somebody has copied to both nodes.
void Keeper::adopt(uint64_t running) {
  const auto files = node_.store().edited();
  const auto config = files ? node_.understood(*files) : tl::unexpected(files.error());
  if (!config || config->hash != running) return;  // edited again since
  versions::Version version;
  version.number = node_.store().load().highest + 1;
  version.digest = versions::digest_of(*files);
  version.hash = running;
  version.by = node_.name();
  version.at_s = static_cast<int64_t>(::time(nullptr));
  version.how = "copied to both nodes by hand";
  if (auto put = node_.store().put(version.number, *files); !put) return tell(4, put.error().message);
  note([&](Record& now) {
    if (now.change || now.highest + 1 != version.number) return;
    now.settle(version);
    now.conflict.clear();
  });
}

}  // namespace clusterd::keep
