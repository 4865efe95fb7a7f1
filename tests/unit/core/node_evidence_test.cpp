// Evidence and what a node concludes from it: lateness, reports about what it does not know, its reasons not
// to take over, takeovers within the hour, lines of descent.
#include <gtest/gtest.h>

#include <algorithm>

#include "unit/core/bench.hpp"

namespace clusterd::testing {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

Command order(Command::Kind kind) { return Command{kind, 1, Bench::web, std::nullopt, "", {}}; }

bool told(const Bench& b, const std::string& kind) {
  return std::any_of(b.notices.begin(), b.notices.end(), [&](const Notice& n) { return n.kind == kind; });
}

// The peer is active at epoch 2 and is heard, and this node is ready to take over.
void follow(Bench& b) {
  b.start();
  b.peer_alive = true;
  b.peer_web().role = Role::kActive;
  b.peer_web().epoch = b.peer_web().data_epoch = Epoch{2};
  b.run(seconds(2));
}

// S2: the window of a node that was late itself is longer by as much.
TEST(Evidence, OwnLatenessLengthensTheWindow) {
  Bench b;
  follow(b);
  const auto silence_until_active = [&](Duration late) {
    b.peer_alive = false;
    const Instant silent = b.now;
    b.hear();
    b.now = std::max(b.now, b.node->next_deadline()) + late;
    b.step(Tick{});
    while (b.role() != Role::kActive) {
      b.now = b.node->next_deadline();
      b.step(Tick{});
    }
    return b.now - silent;
  };
  const Duration punctual = silence_until_active(milliseconds(0));
  EXPECT_LT(punctual, milliseconds(750));
  Bench late;
  follow(late);
  std::swap(b, late);
  EXPECT_GE(silence_until_active(milliseconds(120)), milliseconds(820));
}

// S5: probes that are lost, one or five in a row, are not a host that is out of reach.
TEST(Evidence, LostProbesMoveNothing) {
  Bench b;
  b.become_active();
  b.host_answers_every = 6;
  for (int second = 0; second < 60; ++second) {
    b.run(seconds(1));
    ASSERT_EQ(b.role(), Role::kActive) << "after " << second << " s";
  }
}

// … but a host that is out of reach is asked as seldom as one that answers, and the service moves.
TEST(Evidence, AHostThatAnswersOnlyThePeerMovesTheService) {
  Bench b;
  b.become_active();
  b.host_answers = false;
  b.run(seconds(6));
  EXPECT_NE(b.role(), Role::kActive);
  const size_t before = b.probes;
  b.host_answers = true;
  b.host_answers_every = 1000;
  b.run(seconds(10));
  EXPECT_LE(b.probes - before, 11U);
}

TEST(Evidence, ReportsOfWhatIsNotConfiguredAreIgnored) {
  Bench b;
  b.become_active();
  const Role before = b.role();
  const ServiceId none(9);
  b.step(AddressAnswered{none, {}, {}, b.now});
  b.step(AddressReport{none, false, ""});
  b.step(AddressLost{none, ""});
  b.step(UnitReport{none, UnitId(0), UnitReport::Outcome::kCrashed, ""});
  b.step(UnitReport{Bench::web, UnitId(9), UnitReport::Outcome::kCrashed, ""});
  b.step(CheckReport{none, CheckId(0), false, ""});
  b.step(CheckReport{Bench::web, CheckId(0), false, ""});
  MirrorReport report;
  report.service = none;
  b.step(report);
  report.service = Bench::web;
  b.step(report);
  b.step(ProbeAnswered{HostId(9), b.now});
  EXPECT_EQ(b.role(), before);
  EXPECT_TRUE(b.open());
  EXPECT_FALSE(told(b, "service-failed"));
}

TEST(Evidence, AnAnswerFromTheFutureRenewsNothing) {
  Bench b;
  b.become_active();
  b.peer_alive = b.host_answers = false;
  b.step(ProbeAnswered{HostId(0), b.now + seconds(10)});
  b.run(seconds(1));
  EXPECT_FALSE(b.open());
}

TEST(Evidence, HeartbeatsThatAreNotThePeersCountForNothing) {
  Bench b;
  follow(b);
  b.peer_alive = false;
  b.run(milliseconds(400));
  ++b.peer.sequence;
  b.peer.from = NodeId(1);  // its own, come back
  b.step(HeartbeatReceived{LinkId(0), std::nullopt, b.peer});
  b.peer.from = NodeId(0);
  b.step(HeartbeatReceived{LinkId(7), std::nullopt, b.peer});  // on a link that there is not
  Heartbeat other_tables = b.peer;
  other_tables.services.resize(3);
  b.step(HeartbeatReceived{LinkId(0), std::nullopt, other_tables});
  other_tables = b.peer;
  other_tables.hosts.clear();
  b.step(HeartbeatReceived{LinkId(0), std::nullopt, other_tables});
  b.run(milliseconds(400));
  EXPECT_EQ(b.role(), Role::kActive) << "the peer's silence has lasted since its last own heartbeat";
}

// A daemon of the peer that has just started goes on under its predecessor's lease before it can prove
// itself.
TEST(Evidence, ADaemonThatIsNotYetProvenIsASignOfLife) {
  Bench b;
  follow(b);
  b.peer_alive = false;
  b.run(milliseconds(400));
  b.step(SignOfLife{LinkId(0), std::nullopt});
  b.run(milliseconds(650));
  EXPECT_EQ(b.role(), Role::kStandby);
  b.run(milliseconds(150));
  EXPECT_EQ(b.role(), Role::kActive) << "a window after the last sign";
}

TEST(Evidence, APeerThatSendsAndNeverProvesItselfIsTheReasonNotToTakeOver) {
  Bench b;
  follow(b);
  b.peer_alive = false;
  for (int i = 0; i < 30; ++i) {
    b.step(SignOfLife{std::nullopt, HostId(0)});
    b.run(milliseconds(100));
  }
  EXPECT_FALSE(b.open());
  EXPECT_EQ(b.node->status().services.front().detail,
            "does not take over: serv1 seems to send, but does not answer this node: it may be alive");
}

TEST(Evidence, ARelayIsCountedOnlyForAHostThatThereIs) {
  Bench b;
  follow(b);
  b.hear();
  ++b.peer.sequence;
  b.step(HeartbeatReceived{std::nullopt, HostId(9), b.peer});
  EXPECT_FALSE(b.node->status().hosts.at(0).relays);
  ++b.peer.sequence;
  b.step(HeartbeatReceived{std::nullopt, HostId(0), b.peer});
  EXPECT_TRUE(b.node->status().hosts.at(0).relays);
}

TEST(Evidence, DifferentConfigurationsAreToldOnceEachTime) {
  Bench b;
  follow(b);
  const auto count = [&] {
    return std::count_if(b.notices.begin(), b.notices.end(),
                         [](const Notice& n) { return n.kind == "config-differs"; });
  };
  b.peer.config_hash = 8;
  b.run(seconds(1));
  EXPECT_EQ(count(), 1);
  EXPECT_TRUE(b.node->status().config_differs);
  b.peer_alive = false;
  b.run(seconds(2));
  EXPECT_EQ(b.node->status().services.front().detail,
            "does not take over: the nodes have different configurations");
  EXPECT_FALSE(b.open());
  b.peer_alive = true;
  b.peer.config_hash = 7;
  b.run(seconds(1));
  EXPECT_FALSE(b.node->status().config_differs);
  b.peer.config_hash = 8;
  b.run(seconds(1));
  EXPECT_EQ(count(), 2);
}

TEST(Evidence, WithoutReferenceHostsNobodyTakesOverAndTheStatusSaysSo) {
  Bench b;
  b.config.hosts.clear();
  b.peer.hosts.clear();
  follow(b);
  b.peer_alive = false;
  b.run(seconds(3));
  EXPECT_FALSE(b.open());
  EXPECT_EQ(b.node->status().mode, "manual");
  EXPECT_NE(b.node->status().services.front().detail.find("there are no reference hosts"), std::string::npos);
}

// The reasons of the service itself come before those of the evidence.
TEST(Evidence, TheReasonNotToTakeOverIsTheNearestOne) {
  const auto reason = [](const std::function<void(Bench&)>& spoil) {
    Bench b;
    follow(b);
    spoil(b);
    b.peer_alive = b.host_answers = false;
    b.run(seconds(5));
    EXPECT_FALSE(b.open());
    return b.node->status().services.front().detail;
  };
  EXPECT_NE(reason([](Bench&) {}).find("not all counted reference hosts answer here (r1)"),
            std::string::npos);
  EXPECT_EQ(reason([](Bench& b) { b.step(order(Command::Kind::kStandby)); }),
            "does not take over: this node carries the standby lock");
  EXPECT_EQ(reason([](Bench& b) {
              b.step(NicChanged{"eth0", false, "no carrier"});
            }),
            "does not take over: its network interface is down here");
}

TEST(Evidence, AServiceThatFailedHereIsNotTakenOver) {
  Bench b;
  b.disk.services.resize(1);
  b.disk.services.front().blocked = true;
  follow(b);
  b.peer_alive = b.host_answers = false;
  b.run(seconds(5));
  EXPECT_EQ(b.node->status().services.front().detail,
            "does not take over: the service failed on this node before");
}

// S9.
TEST(Evidence, AStandbyWithoutAllFilesDoesNotTakeOver) {
  Bench b;
  MirrorConfig mirror;
  mirror.name = "files";
  b.config.services.front().mirrors = {mirror};
  follow(b);
  b.peer_alive = false;
  b.run(seconds(5));
  EXPECT_FALSE(b.open());
  b.host_answers = false;
  b.run(seconds(5));
  EXPECT_EQ(b.node->status().services.front().detail,
            "does not take over: its files were not completely mirrored to this node");
}

// S11: what the clock of the wall said of a takeover counts for an hour, in both directions.
TEST(Evidence, TakeoversCountForAnHour) {
  Bench b;
  b.config.max_takeovers_per_hour = 1;
  const WallTime noon{hours(12)};
  b.disk.takeovers = {noon - hours(2), noon - seconds(10), noon + hours(3), noon - seconds(5)};
  b.node.emplace(b.config, b.disk);
  b.step(Started{BootId{1}, true, noon, {}});
  EXPECT_EQ(b.node->status().moves_stopped, true);
  EXPECT_TRUE(told(b, "moves-stopped"));
  EXPECT_EQ(b.disk.takeovers, (std::vector<WallTime>{noon - seconds(10), noon - seconds(5)}));
  b.step(Tick{noon + seconds(3597)});
  EXPECT_EQ(b.node->status().moves_stopped, false);
}

TEST(Evidence, StoppedMovesAreTheReasonNotToTakeOver) {
  Bench b;
  b.config.max_takeovers_per_hour = 0;
  b.disk.takeovers = {WallTime{}};
  follow(b);
  b.peer_alive = b.host_answers = false;
  b.run(seconds(3));
  EXPECT_EQ(b.node->status().services.front().detail,
            "does not take over: too many takeovers within an hour");
}

// S8: whatever the peer's runs are writing here is ended before this node serves.
TEST(Evidence, ReceiversAreStoppedBeforeTheServiceIsStarted) {
  Bench b;
  follow(b);
  const auto before = b.receivers_stopped;  // when the peer's epoch was learnt
  b.peer_alive = false;
  b.run(seconds(1));
  ASSERT_TRUE(b.open());
  EXPECT_EQ(b.receivers_stopped, before + 1);
}

// S8: what was let in at a lower epoch may not go on writing once a higher one is known.
TEST(Evidence, ReceiversAreStoppedWhenAHigherEpochIsLearnt) {
  Bench b;
  follow(b);
  EXPECT_EQ(b.receivers_stopped, 1U);
}

TEST(Evidence, ALineageIsCutAtItsLimit) {
  Bench b;
  b.disk.services.resize(1);
  for (uint64_t i = kMaxLineage; i > 0; --i) b.disk.services.front().lineage.push_back(Epoch{i});
  b.disk.services.front().data_epoch = b.disk.services.front().epoch = Epoch{kMaxLineage};
  b.become_active();
  const auto& lineage = b.disk.services.front().lineage;
  ASSERT_EQ(lineage.size(), kMaxLineage);
  EXPECT_EQ(lineage.front(), b.disk.services.front().epoch);
  EXPECT_EQ(lineage.at(1), Epoch{kMaxLineage});
  EXPECT_EQ(lineage.back(), Epoch{2});
}

// S9: the peer said that this node has everything, but died before its line of descent had been heard.
TEST(Evidence, FilesOfAnEpochWhoseLineageWasNotHeardDescendFromIt) {
  Bench b;
  MirrorConfig mirror;
  mirror.name = "files";
  b.config.services.front().mirrors = {mirror};
  b.peer_web().peer_synced = true;
  follow(b);
  EXPECT_NE(b.disk.services.front().data_epoch, Epoch{2});
  b.peer_alive = false;
  b.run(seconds(1));
  ASSERT_TRUE(b.open());
  const auto& stored = b.disk.services.front();
  EXPECT_EQ(stored.lineage, (std::vector<Epoch>{stored.epoch, Epoch{2}}));
}

// The newer side waits for the lineage before it judges.
TEST(Evidence, DivergenceIsNotJudgedBeforeTheLineageIsKnown) {
  Bench b;
  b.disk.services.resize(1);
  b.disk.services.front().epoch = b.disk.services.front().data_epoch = Epoch{3};
  b.disk.services.front().lineage = {Epoch{3}};
  b.peer_web().epoch = b.peer_web().data_epoch = Epoch{4};
  b.peer_web().role = Role::kActive;
  b.start();
  b.peer_alive = true;
  b.run(seconds(1));
  EXPECT_FALSE(b.disk.services.front().diverged);
  b.peer.lineage = {Epoch{4}, Epoch{3}};
  b.run(seconds(1));
  EXPECT_FALSE(b.disk.services.front().diverged);
  b.peer.lineage = {Epoch{4}, Epoch{2}};
  b.run(seconds(1));
  EXPECT_TRUE(b.disk.services.front().diverged);
  EXPECT_TRUE(told(b, "diverged"));
}

// A daemon that goes on takes the shortest of the gates that it finds, and no gate for a service without one.
TEST(Evidence, TheInheritedLeaseIsThatOfTheShortestGate) {
  Bench b;
  ServiceConfig second = b.config.services.front();
  second.name = "mail";
  b.config.services.push_back(second);
  b.config.services.push_back(second);
  b.config.services.back().name = "ftp";
  b.peer.services.resize(3);
  b.disk.services.resize(3);
  for (auto& service : b.disk.services) {
    service.active = true;
    service.epoch = service.data_epoch = Epoch{3};
  }
  b.host_answers = false;
  b.node.emplace(b.config, b.disk);
  Started event;
  event.boot = b.own_boot = BootId{1};
  event.host_rebooted = false;
  event.gate_deadlines = {b.now + milliseconds(300), b.now + milliseconds(200)};
  b.step(event);
  const auto roles = [&] {
    std::vector<Role> out;
    for (const auto& service : b.node->status().services) out.push_back(service.here);
    return out;
  };
  EXPECT_EQ(roles(), (std::vector<Role>{Role::kActive, Role::kActive, Role::kSuspended}));
  EXPECT_EQ(b.node->status().lease, b.now + milliseconds(200));
  b.run(milliseconds(210));
  EXPECT_EQ(roles(), (std::vector<Role>{Role::kSuspended, Role::kSuspended, Role::kSuspended}));
}

// S1: what was promised is kept while it was promised, and not longer.
TEST(Evidence, APromiseIsKeptAndEnds) {
  Bench b;
  follow(b);
  b.peer.promise_wanted = true;
  b.peer.promise = seconds(5);
  b.run(milliseconds(300));
  EXPECT_TRUE(b.own.promise_given);
  b.peer_alive = false;
  b.run(milliseconds(4600));
  EXPECT_EQ(b.role(), Role::kStandby);
  EXPECT_FALSE(told(b, "peer-lost"));
  b.run(seconds(2));
  EXPECT_EQ(b.role(), Role::kActive);
}

TEST(Evidence, APromiseIsGivenBackWhenThePeerNeedsItNoMore) {
  Bench b;
  follow(b);
  b.peer.promise_wanted = true;
  b.peer.promise = seconds(20);
  b.run(milliseconds(300));
  b.peer.promise_wanted = false;
  b.run(milliseconds(300));
  EXPECT_FALSE(b.own.promise_given);
  b.peer_alive = false;
  b.run(seconds(1));
  EXPECT_EQ(b.role(), Role::kActive);
}

TEST(Evidence, AResyncThatTookFilesBackIsAWarning) {
  Bench b;
  MirrorConfig mirror;
  mirror.name = "files";
  b.config.services.front().mirrors = {mirror};
  b.become_active();
  MirrorReport report;
  report.service = Bench::web;
  report.mirror = MirrorId(0);
  report.epoch = b.disk.services.at(0).epoch;
  report.kind = MirrorReport::Kind::kResync;
  report.lost = 2;
  report.backed_up = 2;
  report.backup_set = "set-1";
  b.step(report);
  const auto it = std::find_if(b.notices.begin(), b.notices.end(),
                               [](const Notice& n) { return n.kind == "resync-done"; });
  ASSERT_NE(it, b.notices.end());
  EXPECT_EQ(it->severity, Severity::kWarning);
  EXPECT_NE(it->text.find("2 files that had not been mirrored before, 2 kept in backup set set-1"),
            std::string::npos);
}

}  // namespace
}  // namespace clusterd::testing
