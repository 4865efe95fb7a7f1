#include "config/scalar.hpp"

#include <gtest/gtest.h>

namespace clusterd::config {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

TEST(Scalar, Durations) {
  EXPECT_EQ(parse_duration("100ms"), milliseconds(100));
  EXPECT_EQ(parse_duration("250us"), microseconds(250));
  EXPECT_EQ(parse_duration("2s"), seconds(2));
  EXPECT_EQ(parse_duration("5min"), minutes(5));
  EXPECT_EQ(parse_duration("1h"), hours(1));
  EXPECT_EQ(parse_duration("30d"), hours(720));
  EXPECT_EQ(parse_duration("0.5s"), milliseconds(500));
  EXPECT_EQ(parse_duration("0s"), seconds(0));
  for (const char* bad :
       {"",     "s",   "1",      "1 s",  " 1s", "1s ",   "-1s",        "+1s",   "1e3s",
        ".5s",  "1.s", "1.2.3s", "1sec", "1S",  "0x10s", "1.1234567s", "4000d", "99999999999999999999d",
        "nans", "infs"})
    EXPECT_EQ(parse_duration(bad), std::nullopt) << bad;
}

TEST(Scalar, DurationTextsRoundTrip) {
  for (const char* text : {"0s", "1us", "700ms", "2s", "90s", "5min", "1h", "30d", "613050us"})
    EXPECT_EQ(duration_text(*parse_duration(text)), text);
  EXPECT_EQ(duration_text(seconds(60)), "1min");
}

TEST(Scalar, Sizes) {
  EXPECT_EQ(parse_size("10GiB"), 10ULL << 30);
  EXPECT_EQ(parse_size("500MB"), 500'000'000U);
  EXPECT_EQ(parse_size("1.5KiB"), 1536U);
  EXPECT_EQ(parse_size("0B"), 0U);
  EXPECT_EQ(parse_bandwidth("1MiB/s"), 1ULL << 20);
  for (const char* bad : {"", "10", "10G", "10gib", "-1B", "1MiB/s", "99999999999TiB"})
    EXPECT_EQ(parse_size(bad), std::nullopt) << bad;
  for (const char* bad : {"", "/s", "1MiB", "1MiB/h"}) EXPECT_EQ(parse_bandwidth(bad), std::nullopt) << bad;
}

TEST(Scalar, Ports) {
  EXPECT_EQ(parse_port("1"), 1);
  EXPECT_EQ(parse_port("65535"), 65535);
  for (const char* bad : {"", "0", "65536", "-1", "+1", " 1", "1 ", "http", "99999999999999"})
    EXPECT_EQ(parse_port(bad), std::nullopt) << bad;
}

}  // namespace
}  // namespace clusterd::config
