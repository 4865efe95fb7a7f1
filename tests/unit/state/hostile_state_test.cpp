// State files that this version did not write: another format, other members, texts that are no texts.
#include <gtest/gtest.h>
#include <sodium.h>

#include "linux/state/state_file.hpp"

namespace clusterd {
namespace {

constexpr const char* kBody =
    R"({"services":{"web":{"epoch":7,"data_epoch":7,"claimed":0,"active":true,"lineage":[7,5],"diverged":false,)"
    R"("blocked":false,"halted_mirrors":["1"]}},"hosts":{"h":{"in_active_set":true,"in_standby_set":true}},)"
    R"("locked":false,"lock_reason":"","peer_faulty":false,"takeovers":[],"notice_sequence":1,"kernel_boot_id":"ab"})";

// With a right checksum: nothing but the contents speaks against it.
std::string file(const std::string& body, const std::string& format = "1") {
  unsigned char hash[32];
  crypto_generichash(hash, sizeof hash, reinterpret_cast<const unsigned char*>(body.data()), body.size(),
                     nullptr, 0);
  std::string sum(65, '\0');
  sodium_bin2hex(sum.data(), sum.size(), hash, sizeof hash);
  sum.pop_back();
  return "{\"format\":" + format + ",\"checksum\":\"" + sum + "\",\"body\":" + body + "}\n";
}

std::string with(const std::string& from, const std::string& to) {
  std::string body = kBody;
  const size_t at = body.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return body.replace(at, from.size(), to);
}

TEST(HostileState, OtherFormatsAreRefusedOldAndNew) {
  ASSERT_TRUE(decode_state(file(kBody)).has_value()) << decode_state(file(kBody)).error().message;
  for (const char* format : {"0", "2", "10", "-1", "1.0", "\"1\"", "null", ""}) {
    const auto decoded = decode_state(file(kBody, format));
    ASSERT_FALSE(decoded.has_value()) << format;
    EXPECT_EQ(decoded.error().code, Code::kCorrupt);
  }
}

TEST(HostileState, MembersOfOtherVersionsAndKindsAreRefusedByName) {
  for (const auto& [from, to, cause] : std::vector<std::array<std::string, 3>>{
           {"\"locked\":false", "\"locked\":false,\"colour\":1", "unknown"},
           {"\"locked\":false,", "", "missing"},
           {"\"locked\":false", "\"locked\":0", "locked"},
           {"\"epoch\":7", "\"epoch\":-7", "epoch"},
           {"\"epoch\":7", "\"epoch\":7.0", "epoch"},
           {"\"epoch\":7", "\"epoch\":18446744073709551616", "epoch"},
           {"[7,5]", "[7,\"5\"]", "lineage"},
           {"[7,5]", "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]", "lineage"},
           {"[\"1\"]", "{}", "halted_mirrors"},
           {"\"takeovers\":[]", "\"takeovers\":[1e3]", "takeovers"},
           {"\"lock_reason\":\"\"", R"("lock_reason":"\u0000")", "lock_reason"},
           {"\"kernel_boot_id\":\"ab\"", R"("kernel_boot_id":["ab"])", "kernel_boot_id"}}) {
    const auto decoded = decode_state(file(with(from, to)));
    ASSERT_FALSE(decoded.has_value()) << to;
    EXPECT_EQ(decoded.error().code, Code::kCorrupt);
    EXPECT_NE(decoded.error().message.find(cause), std::string::npos)
        << to << ": " << decoded.error().message;
  }
}

TEST(HostileState, BodiesThatAreNoJsonAreRefused) {
  std::string deep = "{\"services\":";
  for (int i = 0; i < 100'000; ++i) deep += "[";
  for (const std::string& body : {deep, std::string(), std::string("null"), std::string("[]"),
                                  with("\"ab\"", "\"\xff\""), with("\"ab\"", "\"\xed\xa0\x80\""),
                                  with("\"ab\"", std::string("\"a\0b\"", 5)), std::string(kBody) + " {}"}) {
    EXPECT_FALSE(decode_state(file(body)).has_value()) << body.substr(0, 40);
  }
  std::string many = "{";
  for (int i = 0; i < 300; ++i)
    many += (i ? ",\"" : "\"") + std::to_string(i) + R"(":{"in_active_set":true,"in_standby_set":true})";
  EXPECT_FALSE(decode_state(file(with(R"({"h":{"in_active_set":true,"in_standby_set":true}})", many + "}")))
                   .has_value())
      << "more hosts than a state has";
}

}  // namespace
}  // namespace clusterd
