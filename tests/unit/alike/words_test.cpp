// What two nodes say to each other of what has to be alike, and what the daemon is told.
#include "alike/words.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "items.hpp"
#include "versions/json.hpp"

namespace clusterd::alike {
namespace {

using always::Kind;

Word word() {
  Word word;
  word.services["web"] =
      service({{"nginx.service", {What::kUnit, file("[Unit]")}},
               {"/usr/sbin/nginx", {What::kProgram, {}}},
               {"/etc/\xff\"\\name\n", {What::kFile, of_kind(Kind::kLink, "/nowhere\xfe")}},
               {"/etc/x", {What::kFile, of_kind(Kind::kOpaque, "why")}}});
  word.services["mail"] = service({});
  return word;
}

std::string word_with(const std::string& items) {
  return fmt::format(R"({{"services":{{"web":{{"wanted":"{}","items":{}}}}}}})", always::digest_of("x"),
                     items);
}

TEST(AlikeWords, AWordIsReadBackAsItWasSaid) {
  const auto value = versions::parsed(fmt::format(R"({{"digest":"x","word":{}}})", encoded(word())));
  ASSERT_TRUE(value) << "also within an answer: not nested too deeply";
  EXPECT_EQ(word_from(versions::Members(*value).at("word")), word());
}

TEST(AlikeWords, WhatIsNoWordIsNone) {
  const std::string file = R"({"what":"file","entry":{"kind":"absent"}})";
  ASSERT_TRUE(word_from(*versions::parsed(word_with(R"({"/etc/a":)" + file + "}")))) << "the rest is a word";
  for (const std::string& text : {
           std::string("{}"),
           std::string(R"({"services":[]})"),
           std::string(R"({"services":{"web":{}}})"),
           std::string(R"({"services":{"web":{"wanted":"..","items":{}}}})"),
           word_with("[]"),
           word_with(R"({"/etc/a":7})"),
           word_with(R"({"/etc/a":{"what":"file"}})"),
           word_with(R"({"/etc/a":{"what":"door","entry":{"kind":"absent"}}})"),
           word_with(R"({"/etc/a":{"what":"file","entry":{"kind":"file","content":"short"}}})"),
           word_with(R"({"/etc/a":{"what":"file","entry":{"kind":"file","content":7}}})"),
           word_with(R"({"etc/a":)" + file + "}"),
           word_with(R"({"/":)" + file + "}"),
           word_with(R"({"/etc/../shadow":)" + file + "}"),
           word_with(R"({"/etc/..":)" + file + "}"),
           word_with(R"({"/etc//a":)" + file + "}"),
           word_with(R"({"/etc/a/":)" + file + "}"),
           word_with(R"({"/etc/./a":)" + file + "}"),
           word_with(R"({"/etc/\\x0":)" + file + "}"),
           word_with(R"({"/etc/\u0000":)" + file + "}"),
           word_with(R"({"../a.service":{"what":"unit","entry":{"kind":"absent"}}})"),
           word_with(R"({"":{"what":"unit","entry":{"kind":"absent"}}})"),
           word_with("{\"/" + std::string(kMaxNameBytes, 'a') + "\":" + file + "}"),
           word_with("{\"" + std::string(300, 'a') +
                     "\":{\"what\":\"unit\",\"entry\":{\"kind\":\"absent\"}}}"),
       }) {
    const auto value = versions::parsed(text);
    ASSERT_TRUE(value) << text;
    EXPECT_FALSE(word_from(*value)) << text.substr(0, 200);
  }
}

TEST(AlikeWords, NeitherMoreItemsNorMoreServicesThanThereMayBe) {
  const auto many = [](size_t services, size_t items) {
    Word word;
    for (size_t s = 0; s < services; ++s) {
      Service& one = word.services[fmt::format("s{}", s)] = service({});
      for (size_t i = 0; i < items; ++i) one.items[fmt::format("/f{}", i)] = {};
    }
    return versions::parsed(encoded(word));
  };
  EXPECT_TRUE(word_from(*many(4, kMaxItems / 4)));
  EXPECT_FALSE(word_from(*many(4, kMaxItems / 4 + 1))) << "of all services together";
  EXPECT_TRUE(word_from(*many(kMaxServices, 1)));
  EXPECT_FALSE(word_from(*many(kMaxServices + 1, 1)));
}

TEST(AlikeWords, AReportIsReadBackAsItWasTold) {
  const Service theirs = service({{"nginx.service", {What::kUnit, {}}}});
  const Word mine = word();
  Report report{{"web", compare(mine.services.at("web"), &theirs)},
                {"mail", compare(mine.services.at("mail"), nullptr)}};
  ASSERT_EQ(report.at("web").differ, 1U);
  ASSERT_EQ(report.at("web").lacks.size(), 1U);
  EXPECT_EQ(report_from(encoded(report)), report);
}

TEST(AlikeWords, AReportFitsTheControlSocketWhateverDiffers) {
  Service mine = service({}), theirs = service({});
  for (size_t i = 0; i < kMaxItems; ++i) {
    const std::string name = fmt::format("/{:0999}", i);
    mine.items[name] = {What::kFile, file("a")};
    theirs.items[name] = {What::kFile, file("b")};
  }
  const Likeness likeness = compare(mine, &theirs);
  Report report;
  for (size_t s = 0; s < kMaxServices; ++s) report[fmt::format("s{}", s)] = {true, "", 0, 0, {}, {}};
  report["s0"] = report["s1"] = likeness;
  report["s0"].why = std::string(100'000, '\xff');
  const std::string text = encoded(report);
  EXPECT_LT(text.size(), 64U * 1024);
  const auto read = report_from(text);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->at("s0").differ, kMaxItems);
  EXPECT_GT(read->at("s0").differences.size(), 0U);
  EXPECT_LT(read->at("s0").differences.size(), 60U) << "the rest is only counted";
}

TEST(AlikeWords, WhatIsNoReportIsNone) {
  for (
      const char* text :
      {"", "7", "{}", R"({"services":7})", R"({"services":{"web":{}}})",
       R"({"services":{"web":{"differences":[7],"lacks":[]}}})",
       R"({"services":{"web":{"differences":[],"lacks":[7]}}})",
       R"({"services":{"web":{"compared":false,"differ":1,"differences":[],"lacks":[]}}})",
       R"({"services":{"web":{"compared":true,"differ":0,"differences":[{"what":"file","name":"/a","mine":{"kind":"absent"},"theirs":{"kind":"absent"}}],"lacks":[]}}})",
       R"({"services":{"web":{"compared":true,"differ":1,"differences":[{"what":"file","name":"/../a","mine":{"kind":"absent"},"theirs":{"kind":"absent"}}],"lacks":[]}}})"})
    EXPECT_FALSE(report_from(text)) << text;
}

}  // namespace
}  // namespace clusterd::alike
