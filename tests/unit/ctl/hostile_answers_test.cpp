// Answers that are cut, changed or made by something else than a daemon of ours.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "ctl/client.hpp"
#include "ctl/findings.hpp"
#include "ctl/order.hpp"
#include "ctl/render.hpp"
#include "unit/damage.hpp"

namespace clusterd::ctl {
namespace {

using clusterd::testing::for_each_flip;
using clusterd::testing::for_each_truncation;

void harmless(const std::string& text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    ASSERT_TRUE((byte >= 0x20 && byte != 0x7f) || byte == '\n') << i;
    ASSERT_TRUE(i == 0 || static_cast<unsigned char>(text[i - 1]) != 0xc2 || byte >= 0xa0) << i;
  }
}

void show(const std::string& body, size_t at) {
  SCOPED_TRACE(at);
  harmless(render_status(body, Look{}));
  for (const std::string& alarm : alarms(body)) harmless(alarm);
  harmless(render_mirrors(body, Look{}));
  harmless(answer_text(body));
}

TEST(HostileAnswers, ACutStatusIsShownAsUnknown) {
  // Small enough to try each place, and with a table of each kind.
  const std::string status =
      R"({"cluster":"office","node":"serv1","peer":"serv2","nodes":{"serv1":{"self":true}},)"
      R"("links":[{"name":"l","up":true,"ends":{"serv1":{"nic":"e"}}}],"hosts":[{"host":"h","answers":true}],)"
      R"("services":[{"name":"web","epoch":7,"roles":{"serv1":"active"},"mirrors":[{"name":"1","lag_s":2.5}]}]})";
  for_each_truncation(status, show);
  for_each_flip(status, show);
}

TEST(HostileAnswers, EveryTruncationOfAnHttpAnswerIsNoAnswerOrHasAStatus) {
  const std::string answer =
      "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\n\r\n{\"text\":\"no\"}";
  for_each_truncation(answer, [](const std::string& cut, size_t length) {
    const auto parsed = parse_answer(cut);
    if (parsed) {
      ASSERT_EQ(parsed->status, 403) << length;
    }
  });
  for (const char* other : {"", "HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 x\r\n\r\n",
                            "HTTP/1.1 99999999999\r\n\r\n", "ICY 200 OK\r\n\r\n"}) {
    EXPECT_FALSE(parse_answer(other).has_value()) << other;
  }
}

TEST(HostileAnswers, DeepJsonIsNoJson) {
  std::string deep = "{\"services\":";
  for (int i = 0; i < 200'000; ++i) deep += "[";
  show(deep, 0);
  EXPECT_TRUE(findings_from_json(deep, "").empty());
}

TEST(HostileAnswers, BytesThatAreNoTextDoNotReachTheTerminal) {
  for (const std::string& body : {std::string("\x9b"
                                              "2J\xff"),
                                  std::string("\0\x1b[2J", 5), std::string(R"({"text":"\u009b2J\u0000"})")}) {
    harmless(answer_text(body));
  }
}

}  // namespace
}  // namespace clusterd::ctl
