// The administrator's orders: what is accepted, what is refused and in which words, and what the other node
// is asked to do.
#include <gtest/gtest.h>

#include <algorithm>

#include "unit/core/bench.hpp"

namespace clusterd::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Kind = Command::Kind;

constexpr NodeId kSelf{1};
constexpr NodeId kPeer{0};

// Gives the order and returns the answer that came at once: "ok: …", "refused: …", or "" for none yet.
std::string order(Bench& b, Kind kind, std::optional<ServiceId> service = Bench::web,
                  std::optional<NodeId> node = std::nullopt, const std::string& text = "", Epoch epoch = {}) {
  static uint64_t id = 100;
  const size_t before = b.replies.size();
  b.step(Command{kind, ++id, service, node, text, epoch});
  if (b.replies.size() == before) return "";
  return (b.replies.back().ok ? "ok: " : "refused: ") + b.replies.back().text;
}

MirrorConfig mirror(const std::string& name) {
  MirrorConfig out;
  out.name = name;
  out.paths = {"/srv/"};
  return out;
}

// The peer is active at epoch 2 and is heard.
void follow(Bench& b) {
  b.start();
  b.peer_alive = true;
  b.peer_web().role = Role::kActive;
  b.peer_web().epoch = b.peer_web().data_epoch = Epoch{2};
  b.run(seconds(1));
}

// What the always mirror cannot do by itself is told once, however often it is said.
TEST(Orders, WhatTheAlwaysMirrorWaitsForIsToldOnce) {
  Bench b;
  b.start();
  const auto told = [&] {
    return std::count_if(b.notices.begin(), b.notices.end(),
                         [](const Notice& n) { return n.kind == "always-stuck"; });
  };
  EXPECT_EQ(order(b, Kind::kAlwaysStuck, std::nullopt, std::nullopt, "/etc/hosts differs"), "ok: noted");
  EXPECT_EQ(order(b, Kind::kAlwaysStuck, std::nullopt, std::nullopt, "/etc/hosts differs"), "ok: noted");
  EXPECT_EQ(told(), 1);
  EXPECT_EQ(b.node->status().always_stuck, "/etc/hosts differs");
  order(b, Kind::kAlwaysStuck, std::nullopt, std::nullopt, "/etc/hosts and /etc/x differ");
  EXPECT_EQ(told(), 2);
  order(b, Kind::kAlwaysStuck);
  EXPECT_EQ(b.node->status().always_stuck, "");
  EXPECT_EQ(told(), 2);
}

TEST(Orders, NameAServiceThatExists) {
  Bench b;
  b.become_active();
  EXPECT_EQ(order(b, Kind::kMove, ServiceId(7)), "refused: there is no such service");
  EXPECT_EQ(order(b, Kind::kMove, std::nullopt), "refused: which service?");
  EXPECT_EQ(order(b, Kind::kResync, std::nullopt), "refused: which service?");
}

TEST(Orders, AMoveToWhereItIsIsRefused) {
  Bench b;
  b.become_active();
  EXPECT_EQ(order(b, Kind::kMove, Bench::web, kSelf), "refused: web is active on serv2 already");
}

TEST(Orders, AMoveAwayIsRefusedWithTheReason) {
  Bench b;
  b.become_active();
  b.peer_web().ready = false;
  b.hear();
  EXPECT_EQ(order(b, Kind::kMove), "refused: serv1 is not ready to serve web");
  b.peer.locked = true;
  b.hear();
  EXPECT_EQ(order(b, Kind::kMove),
            "refused: serv1 carries the standby lock: `clusterctl online serv1` first");
  b.peer_web().blocked = true;
  b.hear();
  EXPECT_EQ(order(b, Kind::kMove), "refused: web failed on serv1 before: `clusterctl online serv1` first");
  b.peer.config_hash = 8;
  b.hear();
  EXPECT_EQ(order(b, Kind::kMove), "refused: the nodes have different configurations");
  b.peer_alive = false;
  b.run(seconds(2));
  EXPECT_EQ(order(b, Kind::kMove), "refused: serv1 is not heard");
}

TEST(Orders, AStandbyOrderIsRefusedWhileAServiceCannotBeMovedAway) {
  Bench b;
  b.become_active();
  b.peer_web().ready = false;
  b.hear();
  EXPECT_EQ(order(b, Kind::kStandby, std::nullopt),
            "refused: web cannot be moved away: serv1 is not ready to serve web");
  EXPECT_FALSE(b.disk.locked);
}

TEST(Orders, TheStandbyMovesNothingThatItsPeerDoesNotHold) {
  Bench b;
  follow(b);
  EXPECT_EQ(order(b, Kind::kMove, Bench::web, kPeer),
            "refused: web is not active on serv2: there is nothing to hand over");
  EXPECT_EQ(order(b, Kind::kStandby, std::nullopt), "ok: serv2 holds no service any more");
  EXPECT_TRUE(b.disk.locked);
  EXPECT_EQ(order(b, Kind::kMove, Bench::web),
            "refused: serv2 carries the standby lock: `clusterctl online serv2` first");
  EXPECT_EQ(order(b, Kind::kOnline, std::nullopt), "ok: serv2 may serve again");
  EXPECT_FALSE(b.disk.locked);
  b.peer_alive = false;
  b.host_answers = false;
  b.run(seconds(2));
  EXPECT_EQ(order(b, Kind::kMove),
            "refused: web is not active here, and serv1 is not heard (`clusterctl start --force`?)");
  EXPECT_EQ(order(b, Kind::kStandby, std::nullopt, kPeer), "refused: serv1 is not heard");
  EXPECT_EQ(order(b, Kind::kOnline, std::nullopt, kPeer), "refused: serv1 is not heard: release it there");
}

TEST(Orders, OneOrderAtATimeIsForwarded) {
  Bench b;
  follow(b);
  EXPECT_EQ(order(b, Kind::kMove), "");
  EXPECT_EQ(b.own.request.kind, Request::Kind::kMove);
  EXPECT_EQ(order(b, Kind::kMove), "refused: another order is under way: try again");
  EXPECT_EQ(order(b, Kind::kStandby, std::nullopt, kPeer), "refused: another order is under way: try again");
  EXPECT_EQ(order(b, Kind::kOnline, std::nullopt, kPeer), "refused: another order is under way: try again");
  // The peer refuses it: that is the answer, and the next one may go.
  b.peer.answer = {b.own.request.id, RequestAnswer::Outcome::kRefused, "no"};
  b.hear();
  EXPECT_EQ(b.replies.back().text, "serv1 refuses: no");
  b.run(milliseconds(150));
  EXPECT_EQ(b.own.request.kind, Request::Kind::kNone);
  EXPECT_EQ(order(b, Kind::kOnline, std::nullopt, kPeer), "");
  EXPECT_EQ(b.own.request.kind, Request::Kind::kOnline);
  b.peer.answer = {b.own.request.id, RequestAnswer::Outcome::kAccepted, ""};
  b.hear();
  EXPECT_EQ(b.replies.back().text, "accepted by serv1");
  EXPECT_TRUE(b.replies.back().ok);
}

TEST(Orders, AMoveThatThePeerAcceptedIsDoneWhenTheServiceIsHere) {
  Bench b;
  follow(b);
  EXPECT_EQ(order(b, Kind::kMove), "");
  b.peer.answer = {b.own.request.id, RequestAnswer::Outcome::kAccepted, ""};
  b.peer_web().role = Role::kReleased;
  b.run(seconds(1));
  ASSERT_EQ(b.replies.size(), 1U);
  EXPECT_EQ(b.replies.back().text, "web is active on serv2");
  EXPECT_TRUE(b.replies.back().ok);
}

TEST(Orders, RequestsOfThePeerAreObeyedOnceAndAnswered) {
  Bench b;
  b.become_active();
  const auto ask = [&](Request::Kind kind, uint16_t service = 0) {
    b.peer.request = {kind, b.peer.request.id + 1, service};
    b.hear();
    return b.own.answer;
  };
  RequestAnswer answer = ask(Request::Kind::kMove, 9);
  EXPECT_EQ(answer.outcome, RequestAnswer::Outcome::kRefused);
  EXPECT_EQ(answer.reason, "there is no such service");
  EXPECT_EQ(ask(Request::Kind::kResync, 9).outcome, RequestAnswer::Outcome::kAccepted);
  EXPECT_EQ(ask(Request::Kind::kResync).outcome, RequestAnswer::Outcome::kAccepted);
  b.peer_web().ready = false;
  answer = ask(Request::Kind::kStandby);
  EXPECT_EQ(answer.outcome, RequestAnswer::Outcome::kRefused);
  EXPECT_EQ(answer.reason, "web cannot be moved away: serv1 is not ready to serve web");
  EXPECT_FALSE(b.disk.locked);
  // Nobody takes the service over, so it rests here: asked to stop, and called off by `online`.
  b.units_answer = false;
  EXPECT_EQ(ask(Request::Kind::kStopServices).outcome, RequestAnswer::Outcome::kAccepted);
  EXPECT_TRUE(b.own.leaving);
  EXPECT_EQ(ask(Request::Kind::kOnline).outcome, RequestAnswer::Outcome::kAccepted);
  EXPECT_FALSE(b.own.leaving);
  const uint64_t last = b.own.answer.id;
  b.peer.request.id = last;  // the same once more
  b.peer.request.kind = Request::Kind::kStopServices;
  b.hear();
  EXPECT_FALSE(b.own.leaving);
  EXPECT_TRUE(b.replies.empty());  // the answers went to the peer
}

// S8: the answer to a request that changes the disk is not told before it is durable.
TEST(Orders, ARequestIsAnsweredWhenItsEffectIsDurable) {
  Bench b;
  follow(b);
  b.disk_answers = false;
  b.step(Command{Kind::kOnline, 1, std::nullopt, std::nullopt, "", {}});  // no change of the disk
  b.peer.request = {Request::Kind::kStandby, 1, 0};
  b.hear();
  EXPECT_TRUE(b.own.locked);
  EXPECT_EQ(b.own.answer.outcome, RequestAnswer::Outcome::kNone);
  const uint64_t version = b.version;
  b.step(Persisted{version - 1, true, ""});
  EXPECT_EQ(b.own.answer.outcome, RequestAnswer::Outcome::kNone);
  b.step(Persisted{version, true, ""});
  EXPECT_EQ(b.own.answer.outcome, RequestAnswer::Outcome::kAccepted);
}

TEST(Orders, ForceIsRefusedWhereItCouldHarm) {
  Bench active;
  active.become_active();
  EXPECT_EQ(order(active, Kind::kStartForce), "refused: web is active here already");
  Bench b;
  follow(b);
  EXPECT_EQ(order(b, Kind::kStartForce), "refused: serv1 is heard: use `clusterctl move web` instead");
  EXPECT_EQ(order(b, Kind::kStandby, std::nullopt), "ok: serv2 holds no service any more");
  b.peer_alive = false;
  b.host_answers = false;
  b.run(seconds(2));
  EXPECT_EQ(order(b, Kind::kStartForce, std::nullopt),
            "refused: this node carries the standby lock: `clusterctl online` first");
  EXPECT_EQ(order(b, Kind::kOnline, std::nullopt), "ok: serv2 may serve again");
  EXPECT_EQ(order(b, Kind::kStartForce, std::nullopt), "ok: 1 services are started");
  EXPECT_EQ(order(b, Kind::kStartForce), "");  // the same order once more: the window goes on
  b.run(seconds(2));
  EXPECT_TRUE(b.open());
  EXPECT_EQ(b.node->status().mode, "manual (forced by an administrator)");
  EXPECT_EQ(b.replies.back().text, "web is active on serv2");
}

TEST(Orders, ForceIsRefusedForAServiceThatFailedHere) {
  PersistedState state;
  state.services.resize(1);
  state.services.front().blocked = true;
  Bench b(state);
  b.start();
  EXPECT_EQ(order(b, Kind::kStartForce), "refused: web failed here before: `clusterctl online` first");
}

TEST(Orders, ForceIsRefusedWhileTheServiceStops) {
  Bench b;
  b.become_active();
  b.units_answer = false;
  EXPECT_EQ(order(b, Kind::kMove), "");
  b.peer_alive = false;
  b.host_answers = false;
  b.run(seconds(2));
  EXPECT_EQ(order(b, Kind::kStartForce), "refused: web has not stopped here yet");
}

TEST(Orders, ForceNamesEachServiceThatItCannotStart) {
  Bench b;
  ServiceConfig second = b.config.services.front();
  second.name = "mail";
  b.config.services.push_back(second);
  b.peer.services.resize(2);
  PersistedState& state = b.disk;
  state.services.resize(2);
  for (auto& service : state.services) service.blocked = true;
  b.start();
  EXPECT_EQ(
      order(b, Kind::kStartForce, std::nullopt),
      "refused: web failed here before: `clusterctl online` first; mail failed here before: `clusterctl "
      "online` first");
  EXPECT_EQ(order(b, Kind::kStartForce, ServiceId(1)),
            "refused: mail failed here before: `clusterctl online` first");
}

TEST(Orders, MirrorsAreOrderedOnTheActiveNodeOnly) {
  Bench b;
  b.config.services.front().mirrors = {mirror("files")};
  b.become_active();
  EXPECT_EQ(order(b, Kind::kResync), "ok: web is compared and copied to serv1");
  EXPECT_EQ(order(b, Kind::kMirrorRun), "ok: the mirrors run now");
  EXPECT_EQ(order(b, Kind::kMirrorConfirm, Bench::web, std::nullopt, "files"),
            "refused: web has no halted mirror files");
  EXPECT_EQ(order(b, Kind::kMove), "refused: the files of web are not completely on serv1 yet");
  Bench standby;
  follow(standby);
  EXPECT_EQ(order(standby, Kind::kMirrorRun),
            "refused: web is standby on serv2: mirrors run on the active node");
  Bench none;
  none.become_active();
  EXPECT_EQ(order(none, Kind::kMirrorRun), "refused: web has no mirrors");
}

// S8.
TEST(Orders, AMirrorRunIsReceivedOnlyFromTheActiveNodeOfTheNewestEpoch) {
  const auto receive = [](Bench& b, const std::string& name, uint64_t epoch) {
    return order(b, Kind::kMirrorReceive, Bench::web, std::nullopt, name, Epoch{epoch});
  };
  Bench active;
  active.config.services.front().mirrors = {mirror("files")};
  active.become_active();
  const uint64_t own = active.disk.services.at(0).epoch.value;
  EXPECT_EQ(receive(active, "files", own + 1),
            "refused: web is active on this node: nothing is mirrored to it");

  Bench b;
  b.config.services.front().mirrors = {mirror("files"), mirror("off-site")};
  b.config.services.front().mirrors.back().to = "user@host:/copy/";
  follow(b);
  EXPECT_EQ(receive(b, "files", 2), "ok: ");
  EXPECT_EQ(receive(b, "other", 2), "refused: web has no mirror other");
  EXPECT_EQ(receive(b, "off-site", 2), "refused: web has no mirror off-site");
  EXPECT_EQ(receive(b, "files", 1), "refused: epoch 1 is older than 2, which this node knows of");
  EXPECT_EQ(receive(b, "files", 4), "refused: serv1 does not say that it is active at epoch 4");
  b.peer_web().role = Role::kFailed;
  b.hear();
  EXPECT_EQ(receive(b, "files", 2), "refused: serv1 does not say that it is active at epoch 2");

  Bench alone;
  alone.config.services.front().mirrors = {mirror("files")};
  alone.start();
  EXPECT_EQ(receive(alone, "files", 2), "refused: serv1 does not say that it is active at epoch 2");
}

TEST(Orders, ADivergenceIsNotedAsSeen) {
  PersistedState state;
  state.services.resize(1);
  state.services.front().diverged = true;
  Bench b(state);
  b.start();
  EXPECT_TRUE(b.node->status().services.front().wants_human);
  EXPECT_EQ(order(b, Kind::kAcceptDiverged), "ok: the divergence of web is noted as seen");
  EXPECT_FALSE(b.disk.services.at(0).diverged);
  EXPECT_FALSE(b.node->status().services.front().wants_human);
  EXPECT_EQ(order(b, Kind::kAcceptDiverged), "refused: web is not diverged here");
}

TEST(Orders, ARestartIsPreparedOnce) {
  Bench b;
  b.become_active();
  EXPECT_EQ(order(b, Kind::kPrepareRestart), "");
  EXPECT_TRUE(b.own.promise_wanted);
  EXPECT_EQ(order(b, Kind::kPrepareRestart), "refused: a restart is under way already");
  b.peer.promise_given = true;
  b.hear();
  EXPECT_EQ(b.replies.back().text, "ready");
  EXPECT_GT(b.gate, b.now + seconds(4));
}

TEST(Orders, ARestartDoesNotWaitForAPeerThatPromisesNothing) {
  Bench b;
  b.become_active();
  EXPECT_EQ(order(b, Kind::kPrepareRestart), "");
  b.run(milliseconds(1900));
  EXPECT_EQ(b.replies.size(), 0U);
  b.run(milliseconds(200));
  ASSERT_EQ(b.replies.size(), 1U);
  EXPECT_EQ(b.replies.back().text, "without the peer's promise");
  EXPECT_LE(b.gate, b.now + b.config.timing.lease);
}

TEST(Orders, ARestartOfANodeThatServesNothingIsReadyAtOnce) {
  Bench b;
  follow(b);
  EXPECT_EQ(order(b, Kind::kPrepareRestart), "ok: ready");
  // It decides nothing any more.
  b.peer_alive = false;
  b.step(Tick{});
  EXPECT_EQ(b.node->next_deadline(), kNever);
}

}  // namespace
}  // namespace clusterd::testing
