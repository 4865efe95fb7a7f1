// Notices: in order, one at a time, to file, hook and mail; nothing in a text can become anything else.
#include "linux/state/child_notifier.hpp"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <vector>

#include "linux/state/event_log.hpp"
#include "linux/state/text.hpp"
#include "unit/state/temporary_folder.hpp"

namespace clusterd {
namespace {

using namespace std::chrono_literals;

Config make_config() {
  Config config;
  config.cluster = "office";
  config.self = NodeId(0);
  config.nodes[0].name = "serv1";
  config.services.emplace_back().name = "web";
  return config;
}

Notice make_notice(uint64_t sequence, std::string text, bool of_service = true) {
  Notice notice{sequence, "takeover", Severity::kWarning, std::nullopt, std::move(text)};
  if (of_service) notice.service = ServiceId(0);
  return notice;
}

size_t count_lines(const std::string& text) {
  return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

class NotifierTest : public testing::Test {
 protected:
  // Waits until `name` in the folder has `lines` lines.
  bool wait_lines(const std::string& name, size_t lines) {
    return loop_.run_until([&] { return count_lines(folder_.read(name)) >= lines; }, 30s);
  }
  const TemporaryFolder folder_;
  EventLoop loop_;
  Config config_ = make_config();
};

TEST_F(NotifierTest, WritesEveryNoticeAsALine) {
  ChildNotifier notifier(loop_, config_, folder_.path());
  notifier.notify(make_notice(7, "quotes \" and\nlines, and \xff"));
  notifier.notify(make_notice(8, "of none", false));
  ASSERT_TRUE(wait_lines("events.jsonl", 2));
  std::stringstream lines(folder_.read("events.jsonl"));
  std::string line;
  std::getline(lines, line);
  const auto first = boost::json::parse(line).as_object();
  EXPECT_EQ(first.at("sequence"), 7);
  EXPECT_EQ(first.at("kind"), "takeover");
  EXPECT_EQ(first.at("severity"), "warning");
  EXPECT_EQ(first.at("service"), "web");
  EXPECT_EQ(first.at("text"), "quotes \" and\nlines, and ?");
  EXPECT_EQ(first.at("time").as_string().size(), 24U);
  EXPECT_EQ(first.at("time").as_string().back(), 'Z');
  std::getline(lines, line);
  EXPECT_TRUE(boost::json::parse(line).as_object().at("service").is_null());
  EXPECT_EQ(notifier.recent(7).size(), 1U);
  EXPECT_EQ(notifier.recent(7)[0], line);
  EXPECT_EQ(notifier.recent(0).size(), 2U);
}

TEST_F(NotifierTest, HooksRunOneAtATimeInOrder) {
  config_.notify.command = "cd " + folder_.path() +
                           "; test -e running && echo overlap >> out; touch running; sleep 0.05;"
                           "echo \"$CLUSTERD_SEQUENCE\" >> out; rm running";
  ChildNotifier notifier(loop_, config_, folder_.path());
  for (uint64_t i = 1; i <= 5; ++i) notifier.notify(make_notice(i, "x"));
  ASSERT_TRUE(wait_lines("out", 5));
  EXPECT_EQ(folder_.read("out"), "1\n2\n3\n4\n5\n");
}

TEST_F(NotifierTest, TheHookGetsEverythingAndNothingElseHappens) {
  config_.notify.command =
      "cd " + folder_.path() +
      "; { echo \"$CLUSTERD_EVENT|$CLUSTERD_SEVERITY|$CLUSTERD_SERVICE|$CLUSTERD_TEXT|$CLUSTERD_NODE|"
      "$CLUSTERD_CLUSTER\"; cat; } > part; mv part out";
  ChildNotifier notifier(loop_, config_, folder_.path());
  const std::string text =
      "$(touch " + folder_.file("injected") + ") `touch " + folder_.file("injected") + "`; 'x'";
  notifier.notify(make_notice(1, text));
  ASSERT_TRUE(wait_lines("out", 2));
  EXPECT_EQ(folder_.read("out"), "takeover|warning|web|" + text + "|serv1|office\n" + text + "\n");
  EXPECT_FALSE(folder_.has("injected"));
}

TEST_F(NotifierTest, AHangingHookIsKilledAndTheNextFollows) {
  config_.notify.command = "cd " + folder_.path() +
                           "; echo \"$CLUSTERD_SEQUENCE\" >> out;"
                           "if [ $CLUSTERD_SEQUENCE = 1 ]; then trap '' TERM; sleep 1000; sleep 1000; fi";
  NotifierLimits limits;
  limits.timeout = 200ms;
  ChildNotifier notifier(loop_, config_, folder_.path(), limits);
  testing::internal::CaptureStderr();
  notifier.notify(make_notice(1, "x"));
  notifier.notify(make_notice(2, "x"));
  const bool both = wait_lines("out", 2);
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(both);
  EXPECT_EQ(folder_.read("out"), "1\n2\n");
  EXPECT_NE(log.find("the hook for notice 1 failed: timed out"), std::string::npos) << log;
}

TEST_F(NotifierTest, FailuresAreLogged) {
  config_.notify.command = "echo sorry >&2; exit 9";
  config_.notify.mail = "root";
  NotifierLimits limits;
  limits.sendmail = folder_.file("no-sendmail");
  ChildNotifier notifier(loop_, config_, folder_.path(), limits);
  testing::internal::CaptureStderr();
  notifier.notify(make_notice(1, "x"));
  bool ended = false;
  const auto timer = loop_.at(EventLoop::now() + 30s, [&] { ended = true; });
  std::string log;
  loop_.run_until(
      [&] {
        std::fflush(stderr);
        log += testing::internal::GetCapturedStderr();
        testing::internal::CaptureStderr();
        return ended || log.find("mail") != std::string::npos;
      },
      30s);
  testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find("the hook for notice 1 failed: exit code 9: sorry"), std::string::npos) << log;
  EXPECT_NE(log.find("the mail for notice 1 failed: cannot execute"), std::string::npos) << log;
}

TEST_F(NotifierTest, MailCannotGetHeadersFromATextOrAName) {
  folder_.write("sendmail",
                "#!/bin/sh\ncd " + folder_.path() + "; echo \"$@\" > args; cat > part; mv part mail\n");
  std::filesystem::permissions(folder_.file("sendmail"), std::filesystem::perms::owner_all);
  config_.notify.mail = "admin@example.org\nBcc: evil@example.org";
  NotifierLimits limits;
  limits.sendmail = folder_.file("sendmail");
  ChildNotifier notifier(loop_, config_, folder_.path(), limits);
  notifier.notify(make_notice(1, "first\r\nBcc: evil@example.org\n\nbody\n.\nend \xc3\xa4"));
  ASSERT_TRUE(wait_lines("mail", 1));
  EXPECT_EQ(folder_.read("args"), "-t -i\n");
  const std::string mail = folder_.read("mail");
  const std::string headers = mail.substr(0, mail.find("\n\n") + 1);
  EXPECT_EQ(headers.find("\nBcc:"), std::string::npos) << headers;
  EXPECT_EQ(headers.find('\r'), std::string::npos);
  EXPECT_NE(headers.find("To: admin@example.org Bcc: evil@example.org\n"), std::string::npos);
  EXPECT_NE(headers.find("Subject: [office] serv1: first  Bcc"), std::string::npos) << headers;
  EXPECT_EQ(count_lines(headers), 6U) << headers;
  EXPECT_NE(mail.find("end \xc3\xa4\n"), std::string::npos);
}

TEST_F(NotifierTest, TheOldestAreDroppedWhenTooManyWaitButStandInTheFile) {
  config_.notify.command =
      "cd " + folder_.path() + "; while ! test -e go; do sleep 0.02; done; echo $CLUSTERD_SEQUENCE >> out";
  NotifierLimits limits;
  limits.queue = 3;
  ChildNotifier notifier(loop_, config_, folder_.path(), limits);
  testing::internal::CaptureStderr();
  for (uint64_t i = 1; i <= 10; ++i) notifier.notify(make_notice(i, "x"));
  const std::string log = testing::internal::GetCapturedStderr();
  folder_.write("go", "");
  ASSERT_TRUE(wait_lines("out", 4));
  EXPECT_EQ(folder_.read("out"), "1\n8\n9\n10\n");
  EXPECT_NE(log.find("6 dropped so far"), std::string::npos) << log;
  EXPECT_TRUE(wait_lines("events.jsonl", 10));
}

TEST_F(NotifierTest, EarlierEventsAreRememberedAndATornLineIsSkipped) {
  {
    ChildNotifier notifier(loop_, config_, folder_.path());
    notifier.notify(make_notice(1, "one"));
  }
  ASSERT_EQ(count_lines(folder_.read("events.jsonl")), 1U) << "written before the end";
  folder_.write("events.jsonl", folder_.read("events.jsonl") + "{\"sequence\":2,\"ti");
  ChildNotifier notifier(loop_, config_, folder_.path());
  notifier.notify(make_notice(3, "three"));
  const auto recent = notifier.recent(0);
  ASSERT_EQ(recent.size(), 2U);
  ASSERT_TRUE(wait_lines("events.jsonl", 3));
  const auto lines = EventLog(folder_.path(), 1 << 20).read(100);
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[1].sequence, 3U);
  EXPECT_EQ(lines[1].text, recent[1]);
}

TEST_F(NotifierTest, TheFileIsRotated) {
  NotifierLimits limits;
  limits.log_bytes = 2000;
  ChildNotifier notifier(loop_, config_, folder_.path(), limits);
  for (uint64_t i = 1; i <= 100; ++i) notifier.notify(make_notice(i, "some text to fill the file with"));
  ASSERT_TRUE(loop_.run_until(
      [&] { return folder_.read("events.jsonl").find("\"sequence\":100,") != std::string::npos; }, 30s));
  EXPECT_LE(folder_.read("events.jsonl").size(), 2000U);
  EXPECT_LE(folder_.read("events.jsonl.1").size(), 2000U);
  const auto lines = EventLog(folder_.path(), 2000).read(1000);
  ASSERT_GT(lines.size(), 10U);
  for (size_t i = 1; i < lines.size(); ++i) EXPECT_EQ(lines[i].sequence, lines[i - 1].sequence + 1);
}

TEST(Text, OnlyValidUtf8Remains) {
  EXPECT_EQ(clean_utf8("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 100),
            "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
  EXPECT_EQ(clean_utf8("\xc0\xaf\xed\xa0\x80\xf5\x80\x80\x80\xe2\x82", 100), "???????????");
  EXPECT_EQ(clean_utf8(std::string_view("a\0b", 3), 100), "a?b");
  EXPECT_EQ(clean_utf8("abc\xe2\x82\xac", 5), "abc") << "never half a character";
}

}  // namespace
}  // namespace clusterd
