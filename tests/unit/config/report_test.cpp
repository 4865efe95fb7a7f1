#include "config/report.hpp"

#include <gmock/gmock.h>

#include "files.hpp"

namespace clusterd {
namespace {

using test::Files;
using testing::HasSubstr;

std::string report(Files& files) {
  const auto loaded = files.load();
  EXPECT_TRUE(loaded) << files.complaints();
  return loaded ? timing_report(*loaded) : "";
}

TEST(Report, ShowsTheInequalityWithItsNumbers) {
  Files files;
  EXPECT_THAT(report(files),
              HasSubstr("W = 700 ms ≥ 1.01·(L 600 + F 5) + 2 = 613.05 ms: holds, 86.95 ms to spare\n"));
  files.change("cluster.toml", "steady", "realtime");
  EXPECT_THAT(report(files),
              HasSubstr("W = 40 ms ≥ 1.01·(L 30 + F 1) + 2 = 33.31 ms: holds, 6.69 ms to spare\n"));
}

TEST(Report, AdmitsAWindowThatIsTooShort) {
  Files files;
  auto config = *files.load();
  config.timing.window = std::chrono::milliseconds(600);
  EXPECT_THAT(timing_report(config),
              HasSubstr("W = 600 ms < 1.01·(L 600 + F 5) + 2 = 613.05 ms: DOES NOT HOLD"));
}

TEST(Report, ShowsSetsAndRelays) {
  Files files;
  const std::string text = report(files);
  EXPECT_THAT(text, HasSubstr("Reference hosts (S2): 3."));
  EXPECT_THAT(text, HasSubstr("Third source of information: reference hosts (3)."));
  EXPECT_THAT(text, HasSubstr("192.168.1.1: on the network of the link service"));
  EXPECT_THAT(text, HasSubstr("tcp://10.9.9.9:53: on no link's network, cannot relay"));
  files.change("cluster.toml", "relay = \"auto\"", "relay = \"off\"");
  EXPECT_THAT(report(files), HasSubstr("Relayed heartbeats (S2a): off."));
}

TEST(Report, SaysThatWithoutReferenceHostsAHumanDecides) {
  Files files;
  files.change("cluster.toml", "reference_hosts", "# reference_hosts");
  const std::string text = report(files);
  EXPECT_THAT(text, HasSubstr("Third source of information: a human."));
  EXPECT_THAT(text, HasSubstr("Reference hosts (S2): none."));
}

}  // namespace
}  // namespace clusterd
