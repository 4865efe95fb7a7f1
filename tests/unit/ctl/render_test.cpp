// What clusterctl prints, against fixed answers of a daemon. To renew the golden texts after a wanted change:
// GOLDEN=write test_ctl
#include "ctl/render.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "ctl/client.hpp"
#include "ctl/findings.hpp"
#include "ctl/order.hpp"
#include "ctl/shell.hpp"
#include "ctl/table.hpp"

namespace clusterd::ctl {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::string read(const std::string& name) {
  const std::ifstream file(std::string(TESTDATA) + "/" + name);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void expect_golden(const std::string& name, const std::string& text) {
  if (std::getenv("GOLDEN") != nullptr) {
    std::ofstream(std::string(TESTDATA) + "/" + name) << text;
  }
  EXPECT_EQ(text, read(name)) << name;
}

void expect_fits(const std::string& text, size_t width) {
  std::stringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("!! ", 0) == 0 || line.rfind("    because", 0) == 0) continue;  // never cut what matters
    EXPECT_LE(display_width(line), width) << line;
  }
}

TEST(RenderStatus, QuietCluster) {
  const std::string text = render_status(read("quiet.json"), Look{false, 100});
  expect_golden("quiet.txt", text);
  expect_fits(text, 100);
  EXPECT_THAT(alarms(read("quiet.json")), IsEmpty());
}

TEST(RenderStatus, SaysWhichStandbyIsGuarded) {
  const auto text = [](const char* guarded, const char* guard) {
    return render_status(
        fmt::format(
            R"({{"node":"serv1","peer":"serv2","services":[{{"name":"web","active_on":"serv1",)"
            R"("roles":{{"serv1":"active","serv2":"standby"}},"ready":{{"serv1":false,"serv2":true}},)"
            R"("takes_over":{{"serv1":false,"serv2":true}},"guarded":{},"mirrors":[{{"name":"1",)"
            R"("state":"idle","synced":true,"paths":["/srv/"],"guard":{}}}]}}]}})",
            guarded, guard),
        Look{false, 200});
  };
  EXPECT_THAT(text("null", "null"), Not(HasSubstr("guarded")));
  EXPECT_THAT(text(R"({"serv1":false,"serv2":true})", R"({"state":"lifted","detail":""})"),
              HasSubstr("standby, ready, guarded"));
  EXPECT_THAT(
      text(R"({"serv1":false,"serv2":false})", R"({"state":"failed","detail":"refused"})"),
      testing::AllOf(Not(HasSubstr("ready, guarded")), HasSubstr("/srv/; NOT guarded here: refused")));
  EXPECT_THAT(text(R"({"serv1":false,"serv2":false})", R"j({"state":"set","detail":"process 7 (vim)"})j"),
              HasSubstr("not guarded from process 7 (vim)"));
}

TEST(RenderStatus, ClusterThatNeedsHelp) {
  const std::string text = render_status(read("trouble.json"), Look{false, 100});
  expect_golden("trouble.txt", text);
  expect_fits(text, 100);
  EXPECT_EQ(alarms(read("trouble.json")).size(), 7U);
}

TEST(RenderStatus, AStandbyThatCouldOnlyBeMovedTo) {
  const std::string service = R"("services":[{"name":"web","active_on":"serv1",
      "roles":{"serv1":"active","serv2":"standby"},"ready":{"serv1":false,"serv2":true},
      "takes_over":{"serv1":false,"serv2":false}}]})";
  const std::string text = render_status(
      R"({"node":"serv1","peer":"serv2","mode":"reference hosts",)" + service, Look{false, 160});
  EXPECT_THAT(text, HasSubstr("standby, for moves only"));
  EXPECT_THAT(text, HasSubstr("!  web: its standby could not take over by itself"));
  // Where a human decides anyway it says nothing new.
  EXPECT_THAT(render_status(R"({"node":"serv1","peer":"serv2","mode":"manual",)" + service, Look{false, 160}),
              HasSubstr("standby, ready"));
}

TEST(RenderStatus, AStandbyWhoseMachineLacksSomething) {
  const std::string service =
      R"("services":[{"name":"web","active_on":"serv1","lacks":"/srv has only 20 MiB left",
      "roles":{"serv1":"active","serv2":"standby"},"ready":{"serv1":false,"serv2":true},
      "takes_over":{"serv1":false,"serv2":true},"prepared":{"serv1":true,"serv2":false}}]})";
  const std::string there =
      render_status(R"({"node":"serv1","peer":"serv2","mode":"reference",)" + service, Look{false, 160});
  EXPECT_THAT(there, HasSubstr("standby, NOT prepared"));
  EXPECT_THAT(there,
              HasSubstr("!  web: its standby could not run it as it is: `clusterctl status` on serv2"));
  const std::string here =
      render_status(R"({"node":"serv2","peer":"serv1","mode":"reference",)" + service, Look{false, 160});
  EXPECT_THAT(here, HasSubstr("!  web: its standby could not run it as it is: /srv has only 20 MiB left"));
}

TEST(RenderStatus, WhatTheTargetOfALiveMirrorRefusesIsToldInFull) {
  const auto shown = [](const std::string& mode, const std::string& state, const std::string& detail) {
    return render_status(R"({"node":"serv1","services":[{"name":"web","mirrors":[{"name":"1","mode":")" +
                             mode + R"(","state":")" + state + R"(","detail":")" + detail + R"("}]}]})",
                         Look{false, 60});
  };
  const std::string why =
      "2 files wait at serv2: /srv/web/of-alice: user alice does not exist on serv2: create";
  for (const char* state : {"following", "failed"})
    EXPECT_THAT(shown("live", state, why), HasSubstr("!! mirror web 1: " + why));
  EXPECT_THAT(shown("interval", "failed", why), Not(HasSubstr("!! mirror")));
  EXPECT_THAT(shown("live", "following", "it is compared again and again"), Not(HasSubstr("!! mirror")));
}

TEST(RenderStatus, AStandbyThatIsNotAlike) {
  const auto shown = [](const std::string& node, const std::string& differences, int differ) {
    return render_status(
        fmt::format(
            R"({{"node":"{}","peer":"{}","mode":"reference","services":[{{"name":"web","active_on":"serv1",)"
            R"("roles":{{"serv1":"active","serv2":"standby"}},"ready":{{"serv1":false,"serv2":true}},)"
            R"("takes_over":{{"serv1":false,"serv2":true}},"prepared":{{"serv1":true,"serv2":true}},"lacks":"",)"
            R"("likeness":{{"compared":true,"differ":{},"differences":[{}]}}}}]}})",
            node, node == "serv1" ? "serv2" : "serv1", differ, differences),
        Look{false, 160});
  };
  const std::string nginx = R"({"text":"/usr/sbin/nginx differs","lacking":[]})";
  const std::string unit = R"({"text":"nginx.service is not installed on serv2","lacking":["serv2"]})";
  const std::string ours = R"({"text":"/a is not on serv1","lacking":["serv1"]})";
  for (const char* node : {"serv1", "serv2"}) {
    EXPECT_THAT(shown(node, "", 0), Not(HasSubstr("!  web")));
    EXPECT_THAT(shown(node, nginx, 1),
                HasSubstr("!  web: serv2 could take it over, but: /usr/sbin/nginx differs\n"));
    EXPECT_THAT(
        shown(node, unit + "," + nginx, 2),
        AllOf(HasSubstr(
                  "!  web: its standby could not run it as it is: nginx.service is not installed on serv2\n"),
              HasSubstr("!  web: serv2 could take it over, but: /usr/sbin/nginx differs\n")));
    EXPECT_THAT(shown(node, ours, 1), HasSubstr("serv2 could take it over, but: /a is not on serv1"))
        << "what the active node lacks is no fault of the standby";
  }
  const std::string many = nginx + "," + nginx + "," + nginx + "," + nginx;
  EXPECT_THAT(shown("serv1", many, 9), HasSubstr("; and 6 more → clusterctl check\n"));
  EXPECT_THAT(shown("serv1", R"({"text":"\u001b[2J","lacking":7},7)", 2), Not(HasSubstr("\033")));
}

TEST(RenderStatus, NumbersThatNoProgramOfOursWrites) {
  for (const char* number :
       {"1e300", "-1e300", "-1", "18446744073709551615", "18446744073709551616", "1.5"}) {
    const std::string json = std::string("{\"services\":[{\"name\":\"web\",\"epoch\":") + number + "}]}";
    EXPECT_THAT(render_status(json, Look{}), HasSubstr("web")) << number;
  }
  EXPECT_THAT(render_status(R"({"services":[{"name":"web","epoch":9007199254740993}]})", Look{}),
              HasSubstr(" 9007199254740993"));
  EXPECT_THAT(render_status(R"({"services":[{"name":"web","epoch":1e300}]})", Look{}),
              HasSubstr(" 18446744073709551615"));
}

TEST(RenderStatus, ColoursOnlyWhereWanted) {
  EXPECT_THAT(render_status(read("trouble.json"), Look{false, 100}), Not(HasSubstr("\033")));
  EXPECT_THAT(render_status(read("trouble.json"), Look{true, 100}), HasSubstr("\033[1;31m!! "));
}

TEST(RenderStatus, NarrowTerminal) { expect_fits(render_status(read("quiet.json"), Look{false, 60}), 60); }

TEST(RenderStatus, AnswersOfOtherVersionsAreNoError) {
  for (const char* json : {"", "{}", "[]", "{\"nodes\":7,\"links\":{},\"services\":[1,{}],\"hosts\":[{}]}"}) {
    EXPECT_THAT(render_status(json, Look{}), HasSubstr("cluster ?"));
    EXPECT_THAT(alarms(json), IsEmpty());
  }
}

TEST(RenderStatus, LetsNothingReachTheTerminal) {
  const std::string text = render_status(
      "{\"cluster\":\"\\u001b[2Jevil\",\"services\":[{\"name\":\"a\\nb\",\"detail\":\"\\u0007\"}]}",
      Look{false, 100});
  EXPECT_THAT(text, Not(HasSubstr("\033")));
  EXPECT_EQ(printable("a\xc2\x9b"
                      "2Jb\x9b\xff\xc3\xa4\xe2\x82"),
            "a 2Jb??\xc3\xa4??");
  EXPECT_THAT(text, Not(HasSubstr("\007")));
  EXPECT_THAT(text, HasSubstr("a b"));
}

TEST(RenderDecisions, PlainWords) {
  EXPECT_EQ(render_decisions(R"({"decisions":[{"time":"2026-11-22T18:01:03.123Z","age_s":4.0,"service":"web",
      "what":"serv2 takes over web at epoch 8","evidence":["serv1 was silent for 702 ms","192.168.1.1 answers"]}]})",
                             Look{}),
            "2026-11-22 18:01:03  web: serv2 takes over web at epoch 8\n"
            "    because  serv1 was silent for 702 ms\n"
            "             192.168.1.1 answers\n");
  EXPECT_EQ(render_decisions("{}", Look{}), "nothing was decided since clusterd was started\n");
}

TEST(RenderEvents, RemembersTheLastNumber) {
  unsigned long long last = 3;
  const std::string text = render_events(
      R"({"events":[{"sequence":4,"time":"2026-11-22T18:01:03.123Z","kind":"takeover","severity":"warning",
          "service":"web","text":"serv2 took over"}],"last":4})",
      Look{}, last);
  EXPECT_EQ(text, "2026-11-22 18:01:03  #4    warning  web: takeover: serv2 took over\n");
  EXPECT_EQ(last, 4U);
}

TEST(Findings, SurviveTheWayThroughJson) {
  const std::vector<Finding> before = {{Level::kWarning, "clock", "differs by 5 s", "use chrony", ""},
                                       {Level::kOk, "gate", "works", "", ""}};
  const auto after = findings_from_json(findings_to_json(before), "serv2");
  ASSERT_EQ(after.size(), 2U);
  EXPECT_EQ(render_findings(after, Look{}),
            "WARN   serv2: clock: differs by 5 s\n"
            "       → use chrony\n"
            "ok     serv2: gate: works\n"
            "\n0 errors, 1 warnings\n");
}

TEST(Findings, ComparesConfigurations) {
  EXPECT_THAT(differing_lines({"a", "b"}, {"b", "c"}), ElementsAre("- a", "+ c"));
  EXPECT_THAT(differing_lines({"a"}, {"a"}), IsEmpty());
}

TEST(Table, AlignsByCharactersNotBytes) {
  Table table({"A", "B"});
  table.row({{"ü"}, {"x"}});
  table.row({{"long"}, {"y"}});
  EXPECT_EQ(table.text(Look{false, 80}), "A     B\nü     x\nlong  y\n");
  EXPECT_EQ(cut("äöüß", 3), "äö…");
  EXPECT_EQ(cut("abc", 3), "abc");
}

TEST(Span, ReadsWell) {
  EXPECT_EQ(span_text(0.25), "250 ms");
  EXPECT_EQ(span_text(3.42), "3.4 s");
  EXPECT_EQ(span_text(90), "90 s");
  EXPECT_EQ(span_text(600), "10 min");
  EXPECT_EQ(span_text(86400), "24 h");
}

TEST(Order, WritesOnlyWhatWasSaid) {
  EXPECT_EQ(order_json({"move", "web", "", ""}), R"({"kind":"move","service":"web"})");
  EXPECT_EQ(order_json({"mirror-confirm", "web", "", "a\"b"}),
            R"({"kind":"mirror-confirm","service":"web","text":"a\"b"})");
  EXPECT_EQ(answer_text(R"({"ok":false,"text":"why not"})"), "why not");
  EXPECT_EQ(answer_text("no JSON"), "no JSON");
}

TEST(Client, ReadsAnswers) {
  const auto answer = parse_answer("HTTP/1.1 409 Conflict\r\nA: b\r\n\r\nbody");
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status, 409);
  EXPECT_EQ(answer->body, "body");
  EXPECT_FALSE(parse_answer("").has_value());
  EXPECT_FALSE(parse_answer("HTTP/1.1 200 OK\r\n").has_value());
  EXPECT_FALSE(parse_answer("HTTP/1.1 many\r\n\r\n").has_value());
}

TEST(Client, SaysHowToStartTheDaemon) {
  const auto answer = Client("/nonexistent").get("/v1/status");
  ASSERT_FALSE(answer.has_value());
  EXPECT_THAT(answer.error(), HasSubstr("systemctl start clusterd"));
}

TEST(Shell, QuotesForTheOtherEnd) {
  const std::string nasty = "a'b $(id) \"; rm";
  const Ran ran = run_program({"/bin/sh", "-c", "printf %s " + quoted(nasty)}, true);
  EXPECT_EQ(ran.code, 0);
  EXPECT_EQ(ran.output, nasty);
  EXPECT_EQ(run_program({"/nonexistent/program"}, true).code, 127);
}

#ifdef CLUSTERCTL
int exit_code(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), CLUSTERCTL);
  return run_program(arguments, true).code;
}

TEST(Program, ExitCodes) {
  EXPECT_EQ(exit_code({"--help"}), 0);
  EXPECT_EQ(exit_code({"move", "--help"}), 0);
  EXPECT_EQ(exit_code({}), 2);
  EXPECT_EQ(exit_code({"explode"}), 2);
  EXPECT_EQ(exit_code({"move"}), 2);
  EXPECT_EQ(exit_code({"start", "web"}), 2);  // without --force
  EXPECT_EQ(exit_code({"why", "-n", "many"}), 2);
  EXPECT_EQ(exit_code({"backups", "show", "web"}), 2);
  EXPECT_EQ(exit_code({"status", "--run-dir", "/nonexistent"}), 3);
  EXPECT_EQ(exit_code({"--run-dir", "/nonexistent", "move", "web"}), 3);
  EXPECT_EQ(exit_code({"check", "--local", "--config-dir", "/nonexistent", "--run-dir", "/nonexistent"}), 78);
}

TEST(Program, EveryVerbHasHelpWithAnExample) {
  for (const char* verb :
       {"status", "why", "events", "move", "standby", "online", "start", "resync", "stop-services", "check",
        "keygen", "diverged", "config-lines", "replay", "whatif"}) {
    EXPECT_THAT(run_program({CLUSTERCTL, verb, "--help"}, true).output, HasSubstr("Example: clusterctl "))
        << verb;
  }
}

TEST(Program, KeygenNeverOverwrites) {
  char folder[] = "/tmp/cdt-daemon-XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  const std::string file = std::string(folder) + "/secret.key";
  EXPECT_EQ(exit_code({"keygen", "--out", file}), 0);
  std::ifstream stream(file);
  std::string before;
  std::getline(stream, before);
  EXPECT_EQ(before.size(), 64U);
  EXPECT_EQ(exit_code({"keygen", "--out", file}), 1);
  std::ifstream again(file);
  std::string after;
  std::getline(again, after);
  EXPECT_EQ(before, after);
  EXPECT_EQ(run_program({"stat", "-c", "%a", file}, true).output, "600\n");
  (void)run_program({"rm", "-r", folder}, true);
}
#endif

}  // namespace
}  // namespace clusterd::ctl
