// Owners by name: what a number of one node is on the other, and what is refused because it would be somebody
// else's there.
#include <gmock/gmock.h>

#include "mirror/live/owners.hpp"

namespace clusterd::mirror::live {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Ids = std::vector<NamedId>;

TEST(LiveOwners, LinesOfPasswdAndGroupAreRead) {
  EXPECT_THAT(parse_ids("root:x:0:0:root:/root:/bin/sh\nweb42:x:1001:1001::/:\n"),
              ElementsAre(NamedId{0, "root"}, NamedId{1001, "web42"}));
  EXPECT_THAT(parse_ids("www-data:x:33:\nstaff:x:50:a,b"),
              ElementsAre(NamedId{33, "www-data"}, NamedId{50, "staff"}));
}

TEST(LiveOwners, WhatIsNoLineIsPassedOver) {
  for (const std::string& line :
       {std::string("# comment"), std::string("+::::::"), std::string("+nis:x:7:7"), std::string("-x:x:7:"),
        std::string(":x:7:7"), std::string("a"), std::string("a:x"), std::string("a:x:"),
        std::string("a:x:-1:"), std::string("a:x:7b:"), std::string("a:x:4294967295:"),
        std::string("a:x:4294967296:"), std::string("a b:x:7:"), std::string("a\0b:x:7:", 8),
        std::string(kMaxIdName + 1, 'a') + ":x:7:"}) {
    EXPECT_THAT(parse_ids(line + "\nlast:x:8:8"), ElementsAre(NamedId{8, "last"})) << line;
  }
  std::string many;
  for (size_t i = 0; i < kMaxIds + 5; ++i) many += "x:x:1:1\n";
  EXPECT_EQ(parse_ids(many).size(), kMaxIds + 1);
}

TEST(LiveOwners, ANameIsTheSameUserWhateverItsNumber) {
  const IdMap map({{0, "root"}, {1001, "web42"}, {1002, "bob"}},
                  {{0, "root"}, {1001, "bob"}, {2005, "web42"}});
  EXPECT_EQ(map.to_ours(0), 0U);
  EXPECT_EQ(map.to_ours(1001), 2005U);
  EXPECT_EQ(map.to_ours(1002), 1001U);
  EXPECT_EQ(map.to_theirs(2005), 1001U);
  EXPECT_EQ(map.to_theirs(1001), 1002U) << "the same number means somebody else";
}

TEST(LiveOwners, WhoIsNotKnownHereGetsNoNumber) {
  const IdMap map({{1001, "web42"}}, {{1002, "bob"}});
  EXPECT_EQ(map.to_ours(1001), std::nullopt);
  EXPECT_EQ(map.to_theirs(1002), kNobodys);
  EXPECT_EQ(map.to_theirs(1001), kNobodys) << "without a name here, but somebody's there";
}

TEST(LiveOwners, ANumberWithoutANameMeansTheSameOnlyIfItIsNobodysOnEither) {
  const IdMap map({{1001, "web42"}}, {{2005, "web42"}, {3000, "bob"}});
  EXPECT_EQ(map.to_ours(70'000), 70'000U);
  EXPECT_EQ(map.to_theirs(70'000), 70'000U);
  EXPECT_EQ(map.to_ours(3000), std::nullopt) << "it would be bob's";
  EXPECT_EQ(map.to_ours(2005), std::nullopt) << "it would be web42's";
}

TEST(LiveOwners, OfSeveralNamesTheFirstThatBothKnowCounts) {
  const IdMap map({{5, "one"}, {5, "two"}, {5, "three"}},
                  {{9, "three"}, {8, "two"}, {8, "other"}, {7, "two"}});
  EXPECT_EQ(map.to_ours(5), 8U);
  EXPECT_EQ(map.to_theirs(8), 5U);
  EXPECT_EQ(map.to_theirs(9), kNobodys);
}

TEST(LiveOwners, NobodyBecomesRootByHisName) {
  const IdMap map({{0, "root"}, {1000, "toor"}, {1001, "admin"}}, {{0, "root"}, {0, "admin"}, {5, "toor"}});
  EXPECT_EQ(map.to_ours(1001), std::nullopt);
  EXPECT_EQ(map.to_ours(1000), 5U);
  EXPECT_EQ(IdMap({{0, "root"}}, {{7, "root"}}).to_ours(0), 0U);
  EXPECT_EQ(IdMap({{7, "root"}}, {{0, "root"}}).to_ours(7), std::nullopt);
  EXPECT_EQ(IdMap({}, {{0, "root"}}).to_ours(0), 0U);
}

std::string acl(std::vector<std::array<uint32_t, 3>> entries) {  // tag, permissions, id
  std::string out("\x02\0\0\0", 4);
  for (const auto& [tag, permissions, id] : entries) {
    for (const uint32_t half : {tag, permissions}) {
      out += static_cast<char>(half & 0xffU);
      out += static_cast<char>(half >> 8U);
    }
    for (unsigned shift = 0; shift < 32; shift += 8) out += static_cast<char>((id >> shift) & 0xffU);
  }
  return out;
}

struct Case {
  Status status;
  Traits traits;
  std::optional<std::string> to_ours(const OwnerMap& map) {
    return map.to_ours(status, traits, "serv1", "serv2");
  }
};
Case owned_by(uint32_t uid, uint32_t gid) {
  Case out;
  out.status.uid = uid;
  out.status.gid = gid;
  return out;
}
const OwnerMap kMap({{{1001, "web42"}, {1002, "bob"}}, {{1001, "web42"}}},
                    {{{2005, "web42"}, {3000, "eve"}}, {{4000, "web42"}}});

TEST(LiveOwners, OwnerGroupAndAclsAreTranslated) {
  Case file = owned_by(1001, 1001);
  file.traits.xattrs = {{"system.posix_acl_access",
                         acl({{1, 6, 0xffffffff}, {2, 4, 1001}, {8, 4, 1001}, {2, 4, 70'000}, {4, 4, 1001}})},
                        {"user.acl", acl({{2, 4, 1001}})}};
  EXPECT_EQ(file.to_ours(kMap), std::nullopt);
  EXPECT_EQ(file.status.uid, 2005U);
  EXPECT_EQ(file.status.gid, 4000U);
  EXPECT_EQ(file.traits.xattrs[0].second,
            acl({{1, 6, 0xffffffff}, {2, 4, 2005}, {8, 4, 4000}, {2, 4, 70'000}, {4, 4, 1001}}));
  EXPECT_EQ(file.traits.xattrs[1].second, acl({{2, 4, 1001}})) << "no ACL";
  kMap.to_theirs(file.status);
  EXPECT_EQ(file.status.uid, 1001U);
  EXPECT_EQ(file.status.gid, 1001U);
}

TEST(LiveOwners, ARefusalNamesTheUserAndTheNode) {
  EXPECT_EQ(owned_by(1002, 0).to_ours(kMap),
            "user bob does not exist on serv2: create it there, or write ids = \"numeric\"");
  EXPECT_EQ(owned_by(0, 4000).to_ours(kMap),
            "group 4000 has no name on serv1, and is web42 on serv2: give it a name there, or write ids = "
            "\"numeric\"");
  Case file = owned_by(1001, 0);
  file.traits.xattrs = {{"system.posix_acl_default", acl({{2, 7, 1002}})}};
  const auto why = file.to_ours(kMap);
  ASSERT_TRUE(why);
  EXPECT_THAT(*why, HasSubstr("in its ACL: user bob does not exist on serv2"));
  EXPECT_EQ(file.status.uid, 1001U) << "as it was";
}

TEST(LiveOwners, ADamagedAclIsReadNoFurtherThanItGoes) {
  const std::string whole = acl({{2, 4, 1001}, {2, 4, 1002}});
  for (size_t n = 0; n < 20; ++n) {
    Case file = owned_by(0, 0);
    file.traits.xattrs = {{"system.posix_acl_access", whole.substr(0, n)}};
    EXPECT_EQ(file.to_ours(kMap), std::nullopt) << n;
    EXPECT_EQ(file.traits.xattrs[0].second.size(), n);
  }
}

TEST(LiveOwners, NamesOfStrangersAreShownWithoutTheirControlCharacters) {
  const OwnerMap map({{{7,
                        "\x9b"
                        "31m"}},
                      {}},
                     {});
  const auto why = owned_by(7, 0).to_ours(map);
  ASSERT_TRUE(why);
  EXPECT_EQ(why->find('\x9b'), std::string::npos) << *why;
}

}  // namespace
}  // namespace clusterd::mirror::live
