// Whether the owners of files that are mirrored by number are the same users on both nodes.
#include "alike/owners.hpp"

#include <gmock/gmock.h>

#include "alike/words.hpp"
#include "items.hpp"
#include "versions/json.hpp"

namespace clusterd::alike {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Word word(Owners owners, Numbers numbers) {
  Word out;
  out.services["web"] = service({});
  out.services["web"].owners = std::move(owners);
  out.numbers = std::move(numbers);
  return out;
}
Numbers users(std::map<std::string, uint32_t> names) { return {true, std::move(names), {}}; }

std::vector<std::string> texts(const Word& mine, const Word& theirs) {
  std::vector<std::string> out;
  const Likeness likeness = compare("web", mine, &theirs);
  for (const Difference& one : likeness.differences) out.push_back(text(one, "serv1", "serv2"));
  EXPECT_EQ(likeness.differ, out.size());
  return out;
}

TEST(AlikeOwners, OnlyWhoOwnsSomethingMatters) {
  const Numbers here = users({{"root", 0}, {"web", 1001}, {"other", 7}});
  const Numbers there = users({{"root", 0}, {"web", 1005}, {"other", 8}});
  EXPECT_THAT(texts(word({{0}, {}}, here), word({{0}, {}}, there)), IsEmpty());
  EXPECT_THAT(texts(word({{0, 1001}, {}}, here), word({}, there)),
              ElementsAre("user web is number 1001 on serv1, and 1005 on serv2"));
  EXPECT_THAT(texts(word({}, here), word({{1001}, {}}, there)),
              ElementsAre("user web is number 1001 on serv1, and 1005 on serv2"))
      << "on whichever node the files are";
}

TEST(AlikeOwners, TheSameNumberWithAnotherNameIsTold) {
  EXPECT_THAT(texts(word({{1001}, {}}, users({{"web", 1001}})), word({{1001}, {}}, users({{"bob", 1001}}))),
              ElementsAre("number 1001 is user web on serv1, and user bob on serv2"));
  EXPECT_THAT(texts(word({{1001}, {}}, users({{"web", 1001}})), word({{1001}, {}}, users({}))),
              ElementsAre("number 1001 is user web on serv1, and no user on serv2"));
  EXPECT_THAT(texts(word({{1001}, {}}, users({})), word({{1001}, {}}, users({}))), IsEmpty())
      << "it has no name on either";
}

TEST(AlikeOwners, ExchangedNumbersAreToldOnceForEachName) {
  EXPECT_THAT(texts(word({{1, 2}, {}}, users({{"a", 1}, {"b", 2}})), word({}, users({{"a", 2}, {"b", 1}}))),
              ElementsAre("user a is number 1 on serv1, and 2 on serv2",
                          "user b is number 2 on serv1, and 1 on serv2"));
}

TEST(AlikeOwners, OneNameInCommonIsEnough) {
  EXPECT_THAT(texts(word({{5}, {}}, users({{"a", 5}, {"b", 5}})), word({}, users({{"b", 5}, {"c", 5}}))),
              IsEmpty());
}

TEST(AlikeOwners, GroupsAreTold) {
  EXPECT_THAT(texts(word({{}, {50}}, {true, {}, {{"staff", 50}}}), word({}, {true, {}, {{"staff", 51}}})),
              ElementsAre("group staff is number 50 on serv1, and 51 on serv2"));
}

TEST(AlikeOwners, OfANodeWhoseNamesAreNotKnownNothingIsSaid) {
  EXPECT_THAT(texts(word({{1001}, {}}, users({{"web", 1001}})), word({{1001}, {}}, {})), IsEmpty());
}

TEST(AlikeOwners, ByNameOrToAnotherHostNothingIsLookedAt) {
  ServiceConfig service;
  service.mirrors.resize(3);
  service.mirrors[0].paths = {"/srv/a/"};
  service.mirrors[0].exclude = {"*.tmp"};
  service.mirrors[1].paths = {"/srv/b/"};
  service.mirrors[1].ids = Ids::kName;
  service.mirrors[2].paths = {"/srv/c/"};
  service.mirrors[2].to = "a@b:/c/";
  EXPECT_THAT(trees_by_number(service), ElementsAre(Tree{{"/srv/a/"}, {"*.tmp"}}));
}

TEST(AlikeOwners, WordsAndReportsCarryThem) {
  const Word said = word({{0, 1001, UINT32_MAX}, {50}}, {true, {{"w\xc3\xbc\n", 1001}}, {{"staff", 50}}});
  EXPECT_EQ(word_from(*versions::parsed(encoded(said))), said);
  const Word other = word({}, users({{"web", 5}}));
  const Report report{{"web", compare("web", word({{1}, {}}, users({{"web", 1}, {"x", 3}})), &other)}};
  EXPECT_EQ(report_from(encoded(report)), report);
}

TEST(AlikeOwners, HostileNumbersAreNoWord) {
  const auto reads = [](const std::string& owners, const std::string& all) {
    const std::string text = R"({"services":{"web":{"wanted":")" + always::digest_of("x") +
                             R"(","items":{})" + owners + "}}" + all + "}";
    const auto value = versions::parsed(text);
    return value && word_from(*value).has_value();
  };
  EXPECT_TRUE(reads("", "")) << "of an older version";
  EXPECT_TRUE(reads(R"(,"users":[1],"groups":[])", R"(,"users":{"a":1},"groups":{})"));
  for (const char* owners : {R"(,"users":{})", R"(,"users":[-1])", R"(,"users":["a"])",
                             R"(,"users":[4294967296])", R"(,"groups":7)"})
    EXPECT_FALSE(reads(owners, "")) << owners;
  for (const char* all :
       {R"(,"users":[])", R"(,"users":{"a":-1},"groups":{})", R"(,"users":{"":1},"groups":{})",
        R"(,"users":{})", R"(,"users":{},"groups":{"a":"b"})"})
    EXPECT_FALSE(reads("", all)) << all;
  EXPECT_FALSE(reads("", ",\"users\":{\"" + std::string(300, 'a') + "\":1},\"groups\":{}"));
  std::string many, names;
  for (size_t i = 0; i <= kMaxOwners; ++i) many += (i == 0 ? "" : ",") + std::to_string(i);
  for (size_t i = 0; i <= kMaxNumbers; ++i) names += (i == 0 ? "\"n" : ",\"n") + std::to_string(i) + "\":1";
  EXPECT_FALSE(reads(",\"users\":[" + many + "]", ""));
  EXPECT_FALSE(reads("", ",\"users\":{" + names + "},\"groups\":{}"));
}

}  // namespace
}  // namespace clusterd::alike
