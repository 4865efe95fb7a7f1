// What a person reads of a scrub.
#include "ctl/scrub_view.hpp"

#include <gtest/gtest.h>

namespace clusterd::ctl {
namespace {

std::string note(const std::string& json) {
  const auto value = parse_or_null(json);
  return scrub_note(View(&value));
}
std::string told(const std::string& json) {
  const auto value = parse_or_null(json);
  return scrub_text(View(&value));
}

TEST(ScrubView, TheRowSaysHowFarItIsOrWhatCameOfIt) {
  EXPECT_EQ(note("null"), "");
  EXPECT_EQ(note("{}"), "");
  EXPECT_EQ(note(R"({"running":true,"bytes":50,"total_bytes":200})"), "; scrub 25 %");
  EXPECT_EQ(note(R"({"running":true,"bytes":50,"total_bytes":0})"), "; scrub 0 %");
  EXPECT_EQ(note(R"({"running":false,"differed":0,"proved_unix":1796000000})"),
            "; proved equal 2026-11-30 00:53 UTC");
  EXPECT_EQ(note(R"({"running":false,"differed":1,"proved_unix":1796000000})"),
            "; 1 file differed at the last scrub");
  EXPECT_EQ(note(R"({"proved_unix":18446744073709551615})"), "; proved equal 9999-12-31 23:59 UTC");
}

TEST(ScrubView, TheEndSaysWhatWasCompared) {
  EXPECT_EQ(told(R"({"files":3,"bytes":2048,"differed":0,"skipped":0})"),
            "3 files (2.0 KiB) compared: all equal");
  EXPECT_EQ(told(R"({"files":3,"bytes":1,"differed":2,"skipped":1,"found":"/a, /b"})"),
            "3 files (1 B) compared: 2 differed and are sent anew: /a, /b; 1 changed meanwhile and was not "
            "compared");
}

TEST(ScrubView, TheBarFitsAnyNumbers) {
  EXPECT_EQ(scrub_bar(0, 0, 0), "[------------------------------]   0 %, 0 B of 0 B");
  EXPECT_EQ(scrub_bar(1024, 4096, 2),
            "[#######-----------------------]  25 %, 1.0 KiB of 4.0 KiB, 512 B/s, 6.0 s left");
  // What has grown since it was counted.
  EXPECT_EQ(scrub_bar(4096, 1024, 2).substr(0, 40), "[##############################] 100 %, ");
}

}  // namespace
}  // namespace clusterd::ctl
