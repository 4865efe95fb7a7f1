// The JSON of the control socket: names, ages, and the shape that tools rely on.
#include "daemon/status_json.hpp"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "config/load.hpp"
#include "core/timing.hpp"
#include "daemon/daemon_backend.hpp"
#include "daemon/json_text.hpp"

namespace clusterd {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

Config example_config() {
  Config config;
  config.cluster = "office";
  config.self = NodeId(size_t{0});
  config.nodes[0].name = "serv1";
  config.nodes[1].name = "serv2";
  config.timing = *timing_profile("steady");
  LinkConfig link;
  link.name = "service";
  link.ends[0] = {"eth0", *Prefix::parse("192.168.1.11/24")};
  link.ends[1] = {"eth0", *Prefix::parse("192.168.1.12/24")};
  config.links.push_back(link);
  HostConfig host;
  host.text = "192.168.1.1";
  config.hosts.push_back(host);
  ServiceConfig service;
  service.name = "web";
  service.link = LinkId(size_t{0});
  service.addresses.push_back(*Prefix::parse("192.168.1.20/24"));
  UnitConfig unit;
  unit.name = "nginx.service";
  service.units.push_back(unit);
  CheckConfig check;
  check.text = "tcp 80";
  service.checks.push_back(check);
  MirrorConfig mirror;
  mirror.name = "1";
  mirror.paths = {"/srv/web/"};
  service.mirrors.push_back(mirror);
  config.services.push_back(service);
  return config;
}

const Instant kNow{std::chrono::hours(1)};

Status example_status() {
  Status status;
  status.self = NodeId(size_t{0});
  status.nodes[1] = {false, true, true, "judged faulty", false, kNow - milliseconds(40), milliseconds(3)};
  status.links.push_back({true, kNow - milliseconds(40)});
  status.hosts.emplace_back();
  status.lease = kNow + milliseconds(500);
  ServiceStatus service;
  service.here = Role::kActive;
  service.at_peer = Role::kStandby;
  service.peer_known = true;
  service.epoch = Epoch{7};
  service.ready_at_peer = true;
  service.units = {UnitReport::Outcome::kStarted};
  service.checks = {true};
  MirrorStatus mirror;
  mirror.state = MirrorStatus::State::kIdle;
  mirror.synced = true;
  mirror.last_success = kNow - seconds(12);
  mirror.next_run = kNow + seconds(48);
  service.mirrors = {mirror};
  status.services.push_back(service);
  return status;
}

DaemonFacts example_facts() {
  DaemonFacts facts;
  facts.now = kNow;
  facts.wall = WallTime{std::chrono::seconds(1'800'000'000) + milliseconds(123)};
  facts.gate_deadlines = {kNow + milliseconds(500)};
  facts.transport = {{"sent", 5}};
  return facts;
}

json::value parsed(const std::string& text) { return json::parse(text); }

TEST(StatusJson, SaysWhatIsGuardedAndWhere) {
  Config config = example_config();
  Status status = example_status();
  const auto service = [&] {
    return parsed(status_json(config, status, example_facts())).at("services").at(0);
  };
  EXPECT_TRUE(service().at("guarded").is_null());
  EXPECT_TRUE(service().at("mirrors").at(0).at("guard").is_null());
  config.services.front().mirrors.front().guard = true;
  status.services.front().mirrors.front().guard = MirrorGuard{};
  status.services.front().guarded_at_peer = true;
  const std::string here = config.node(config.self).name, there = config.node(config.peer()).name;
  EXPECT_EQ(service().at("guarded").at(here), json::value(false));
  EXPECT_EQ(service().at("guarded").at(there), json::value(true));
  EXPECT_EQ(service().at("mirrors").at(0).at("guard").at("state"), "lifted");
  status.services.front().mirrors.front().guard = MirrorGuard{MirrorGuard::State::kFailed, "refused"};
  EXPECT_EQ(service().at("mirrors").at(0).at("guard").at("state"), "failed");
  EXPECT_EQ(service().at("mirrors").at(0).at("guard").at("detail"), "refused");
  status.services.front().peer_known = false;
  EXPECT_TRUE(service().at("guarded").at(there).is_null());
}

// serv1 (this node) has a newer nginx, and serv2 no unit.
alike::Report example_likeness() {
  always::Entry nginx;
  nginx.kind = always::Kind::kFile;
  nginx.mode = 0755;
  nginx.content = always::digest_of("1");
  nginx.size = 1;
  alike::Service mine{
      "",
      {{"/usr/sbin/nginx", {alike::What::kProgram, nginx}}, {"nginx.service", {alike::What::kUnit, nginx}}}};
  alike::Service theirs = mine;
  theirs.items["/usr/sbin/nginx"].entry.content = always::digest_of("2");
  theirs.items["nginx.service"].entry = {};
  return {{"web", compare(mine, &theirs)}};
}

TEST(StatusJson, SaysWhatIsNotAlike) {
  DaemonFacts facts = example_facts();
  const auto likeness = [&] {
    return parsed(status_json(example_config(), example_status(), facts)).at("services").at(0).at("likeness");
  };
  EXPECT_TRUE(likeness().is_null()) << "nobody has looked yet";
  facts.likeness = example_likeness();
  EXPECT_EQ(likeness().at("differ").to_number<int>(), 2);
  const json::value unit = likeness().at("differences").at(0), nginx = likeness().at("differences").at(1);
  EXPECT_EQ(unit.at("text"), "nginx.service is not installed on serv2");
  EXPECT_EQ(unit.at("lacking"), json::value({"serv2"}));
  EXPECT_TRUE(unit.at("serv2").is_null());
  EXPECT_EQ(nginx.at("what"), "program");
  EXPECT_EQ(nginx.at("lacking"), json::array());
  EXPECT_EQ(nginx.at("serv1").at("size").to_number<int>(), 1);
  EXPECT_FALSE(nginx.at("serv1").as_object().contains("digest")) << "of a file that not everybody may read";
}

TEST(CheckJson, NamesEachDifference) {
  DaemonFacts facts = example_facts();
  Status status = example_status();
  const auto says = [&] {
    std::string all;
    const json::value check = parsed(check_json(example_config(), status, facts));
    for (const json::value& finding : check.at("findings").as_array())
      if (finding.at("topic") == "likeness")
        all += std::string(finding.at("level").as_string()) + ": " +
               std::string(finding.at("text").as_string()) + "\n";
    return all;
  };
  EXPECT_EQ(says(), "");
  facts.likeness = example_likeness();
  EXPECT_EQ(
      says(),
      "warning: web: nginx.service is not installed on serv2\n"
      "warning: web: /usr/sbin/nginx differs (serv1: 1 bytes of 1970-01-01, serv2: 1 bytes of 1970-01-01)\n");
  facts.likeness["web"].differ = 7;
  EXPECT_NE(says().find("warning: web: and 5 more differences\n"), std::string::npos);
  facts.likeness["web"] = {true, "", 4, 0, {}, {}};
  EXPECT_EQ(says(), "ok: web: what it needs is alike on both nodes (4 compared)\n");
  facts.likeness["web"] = {false, "it is of another version", 0, 0, {}, {}};
  EXPECT_EQ(says(), "warning: web: not compared with serv2 yet: it is of another version\n");
  status.nodes[1].heard = false;
  EXPECT_EQ(says(), "") << "that the peer is gone is said elsewhere";
}

TEST(CheckJson, NamesWhatIsNotGuardedAsItShouldBe) {
  Config config = example_config();
  Status status = example_status();
  auto& guard = status.services.front().mirrors.front().guard;
  const auto says = [&](const std::string& level, const std::string& text) {
    const json::value check = parsed(check_json(config, status, example_facts()));
    for (const json::value& finding : check.at("findings").as_array()) {
      if (finding.at("topic") == "guard")
        return finding.at("level").as_string() == level &&
               finding.at("text").as_string().find(text) != std::string::npos;
    }
    return text.empty();
  };
  EXPECT_TRUE(says("", ""));
  guard = MirrorGuard{};
  EXPECT_TRUE(says("ok", "is not guarded here now"));
  guard = MirrorGuard{MirrorGuard::State::kAwaited, "/srv is no directory yet"};
  EXPECT_TRUE(says("ok", "will be guarded: /srv is no directory yet"));
  guard = MirrorGuard{MirrorGuard::State::kSet, ""};
  EXPECT_TRUE(says("ok", "its folders are read-only here"));
  guard = MirrorGuard{MirrorGuard::State::kSet, "process 7 (vim)"};
  EXPECT_TRUE(says("warning", "not from who was there before: process 7 (vim)"));
  guard = MirrorGuard{MirrorGuard::State::kFailed, "refused"};
  EXPECT_TRUE(says("warning", "is not guarded here: refused"));
}

TEST(StatusJson, SaysHowFarTheTargetOfALiveMirrorIsBehindNow) {
  Config config = example_config();
  config.services.front().mirrors.front().live = true;
  Status status = example_status();
  MirrorStatus& mirror = status.services.front().mirrors.front();
  mirror.state = MirrorStatus::State::kFollowing;
  mirror.lag = MirrorLag{3, 4096, milliseconds(200)};
  mirror.lag_at = kNow - milliseconds(300);
  json::value value =
      parsed(status_json(config, status, example_facts())).at("services").at(0).at("mirrors").at(0);
  EXPECT_EQ(value.at("mode"), "live");
  EXPECT_EQ(value.at("state"), "following");
  EXPECT_EQ(value.at("behind").at("files"), 3);
  EXPECT_EQ(value.at("behind").at("age_s").to_number<double>(), 0.5);
  mirror.lag = MirrorLag{};
  value = parsed(status_json(config, status, example_facts())).at("services").at(0).at("mirrors").at(0);
  EXPECT_EQ(value.at("behind").at("age_s").to_number<double>(), 0.0);
}

TEST(StatusJson, SaysWhatTheMachinesLack) {
  Status status = example_status();
  status.services.front().lacks_here = "web.service does not exist";
  status.services.front().lacks_at_peer = true;
  const json::value value = parsed(status_json(example_config(), status, example_facts()));
  const json::value& web = value.at("services").at(0);
  EXPECT_FALSE(web.at("prepared").at("serv1").as_bool());
  EXPECT_FALSE(web.at("prepared").at("serv2").as_bool());
  EXPECT_EQ(web.at("lacks"), "web.service does not exist");
}

TEST(StatusJson, NamesEverything) {
  const json::value value = parsed(status_json(example_config(), example_status(), example_facts()));
  EXPECT_EQ(value.at("node"), "serv1");
  EXPECT_EQ(value.at("time"), "2027-01-15T08:00:00.123Z");
  EXPECT_EQ(value.at("lease_remaining_ms").to_number<double>(), 500.0);
  EXPECT_EQ(value.at("nodes").at("serv2").at("last_heard_ms").to_number<double>(), 40.0);
  EXPECT_EQ(value.at("nodes").at("serv2").at("lock_reason"), "judged faulty");
  EXPECT_TRUE(value.at("nodes").at("serv1").at("heard").as_bool());
  EXPECT_EQ(value.at("links").at(0).at("ends").at("serv2").at("address"), "192.168.1.12/24");
  EXPECT_TRUE(value.at("hosts").at(0).at("last_answer_ms").is_null());
  const json::value& web = value.at("services").at(0);
  EXPECT_EQ(web.at("active_on"), "serv1");
  EXPECT_EQ(web.at("roles").at("serv2"), "standby");
  EXPECT_TRUE(web.at("ready").at("serv2").as_bool());
  EXPECT_FALSE(web.at("takes_over").at("serv2").as_bool());  // no host counts there in this picture
  EXPECT_TRUE(web.at("prepared").at("serv1").as_bool());
  EXPECT_TRUE(web.at("prepared").at("serv2").as_bool());
  EXPECT_EQ(web.at("lacks"), "");
  EXPECT_TRUE(web.at("gate").at("open").as_bool());
  EXPECT_EQ(web.at("mirrors").at(0).at("lag_s").to_number<double>(), 12.0);
  EXPECT_EQ(web.at("mirrors").at(0).at("next_run_s").to_number<double>(), 48.0);
  EXPECT_EQ(value.at("transport").at("sent"), 5);
  EXPECT_TRUE(value.at("last_decision").is_null());
}

TEST(StatusJson, SaysUnknownInsteadOfGuessing) {
  Status status = example_status();
  status.services[0].peer_known = false;
  status.services[0].here = Role::kStandby;
  DaemonFacts facts = example_facts();
  facts.gate_deadlines = {kLongAgo};
  const json::value value = parsed(status_json(example_config(), status, facts));
  const json::value& web = value.at("services").at(0);
  EXPECT_TRUE(web.at("active_on").is_null());
  EXPECT_TRUE(web.at("roles").at("serv2").is_null());
  EXPECT_FALSE(web.at("gate").at("open").as_bool());
}

TEST(StatusJson, StandsAnEmptyStatus) {
  const json::value value = parsed(status_json(example_config(), Status{}, DaemonFacts{}));
  EXPECT_EQ(value.at("services").at(0).at("units").at(0).at("state"), "unknown");
}

TEST(StatusJson, ChoosesTheNewestDecisionsOfAService) {
  const Config config = example_config();
  std::deque<DatedDecision> history;
  for (int i = 0; i < 5; ++i) {
    DatedDecision entry;
    entry.decision.at = kNow;
    entry.decision.what = std::to_string(i);
    if (i == 1) entry.decision.service = ServiceId(size_t{0});
    history.push_back(entry);
  }
  const json::value all = parsed(decisions_json(config, history, std::nullopt, 2, kNow));
  ASSERT_EQ(all.at("decisions").as_array().size(), 2U);
  EXPECT_EQ(all.at("decisions").at(0).at("what"), "3");
  const json::value web = parsed(decisions_json(config, history, ServiceId(size_t{0}), 10, kNow));
  EXPECT_EQ(web.at("decisions").as_array().size(), 5U);  // what concerns the node concerns its services
}

TEST(StatusJson, PassesEventsOnAndSkipsDamage) {
  const json::value value =
      parsed(events_json({R"({"sequence":4,"text":"a"})", "damage", R"({"sequence":5})"}, 3));
  EXPECT_EQ(value.at("events").as_array().size(), 2U);
  EXPECT_EQ(value.at("last"), 5);
  EXPECT_EQ(parsed(events_json({}, 3)).at("last"), 3);
}

TEST(StatusJson, WritesNumbersAsPeopleDo) {
  EXPECT_EQ(json_text(json::parse(R"({"a":12.5,"b":[1,-0.25,true,null,"x\"\n"],"c":{},"d":[]})")),
            R"({"a":12.5,"b":[1,-0.25,true,null,"x\"\n"],"c":{},"d":[]})");
}

TEST(CheckJson, FindsWhatIsWrong) {
  Status status = example_status();
  status.nodes[1].clock_skew = seconds(-5);
  status.config_differs = true;
  status.always_stuck = "/etc/hosts: it differs";
  DaemonFacts facts = example_facts();
  facts.has_gate = false;
  const std::string text = check_json(example_config(), status, facts);
  EXPECT_NE(text.find("the clock of serv2 differs by -5.0 s"), std::string::npos);
  EXPECT_NE(text.find("serv2 has a different configuration"), std::string::npos);
  EXPECT_NE(text.find("/etc/hosts: it differs"), std::string::npos);
  EXPECT_NE(text.find("192.168.1.1 does not answer"), std::string::npos);
  EXPECT_NE(text.find("without the kernel's gate"), std::string::npos);
}

TEST(ResolveCommand, TurnsNamesIntoIndices) {
  const Config config = example_config();
  std::string error;
  Command command = resolve_command(config, {Command::Kind::kMove, "web", "serv2", "", 0}, error);
  EXPECT_EQ(error, "");
  EXPECT_EQ(command.service, ServiceId(size_t{0}));
  EXPECT_EQ(command.node, NodeId(size_t{1}));
  command = resolve_command(config, {Command::Kind::kStandby, "", "", "", 0}, error);
  EXPECT_EQ(command.node, config.self);
}

TEST(ResolveCommand, NamesWhatThereIs) {
  const Config config = example_config();
  std::string error;
  (void)resolve_command(config, {Command::Kind::kMove, "mail", "", "", 0}, error);
  EXPECT_EQ(error, "there is no service \"mail\"; services: web");
  error.clear();
  (void)resolve_command(config, {Command::Kind::kResync, "", "", "", 0}, error);
  EXPECT_EQ(error, "which service? Services: web");
  error.clear();
  (void)resolve_command(config, {Command::Kind::kOnline, "", "serv3", "", 0}, error);
  EXPECT_EQ(error, "there is no node \"serv3\"; nodes: serv1, serv2");
}

TEST(WithoutGate, KeepsTheWindowSafeAndChangesTheHash) {
  for (const char* profile : {"steady", "fast", "realtime"}) {
    Config config = example_config();
    config.timing = *timing_profile(profile);
    const uint64_t before = config.hash;
    lengthen_window_without_gate(config);
    EXPECT_TRUE(window_is_safe(config.timing)) << profile;
    EXPECT_NE(config.hash, before);
    EXPECT_FALSE(config.hashed_lines.empty());
  }
}

}  // namespace
}  // namespace clusterd
