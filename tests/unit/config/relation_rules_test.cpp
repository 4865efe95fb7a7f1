// Relations between services: what is understood, and what is refused where.
#include "core/relations.hpp"
#include "rules.hpp"

namespace clusterd {
namespace {

using namespace test;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string service(int number, const std::string& more) {
  return "addresses = [\"192.168.1." + std::to_string(30 + number) + "/24\"]\n" + more;
}

// web prefers serv1; shop and db prefer what `more` says.
struct Three : Files {
  Three(const std::string& db, const std::string& shop, const std::string& web = "") {
    write("services/db.toml", service(1, db));
    write("services/shop.toml", service(2, shop));
    if (!web.empty()) change(kS, "mac =", web + "\nmac =");
  }
};
const ServiceId kDb(0), kShop(1), kWeb(2);

void expect_refused(Three files, const std::string& file, int line, const std::string& text,
                    const std::string& remedy) {
  const auto loaded = files.load();
  ASSERT_FALSE(loaded) << text;
  EXPECT_EQ(loaded.error().size(), 1U) << files.complaints();
  const ConfigProblem& problem = loaded.error().front();
  EXPECT_EQ(problem.file, files.path(file));
  EXPECT_EQ(problem.line, line) << problem.text;
  EXPECT_THAT(problem.text, HasSubstr(text));
  EXPECT_THAT(problem.remedy, HasSubstr(remedy));
}

TEST(Relations, AreCompletedForWholeGroups) {
  Three files("", "with = [\"db\"]\nafter = [\"db\"]", "with = [\"shop\"]");
  const auto config = files.load();
  ASSERT_TRUE(config) << files.complaints();
  EXPECT_THAT(config->service(kDb).with, ElementsAre(kShop, kWeb));
  EXPECT_THAT(config->service(kWeb).with, ElementsAre(kDb, kShop));
  EXPECT_THAT(config->service(kShop).after, ElementsAre(kDb));
  EXPECT_THAT(config->service(kWeb).after, IsEmpty());
  EXPECT_EQ(config->service(kDb).prefer, NodeId(0)) << "a group prefers what one of it prefers";
  EXPECT_TRUE(any_relation(config->services));

  Three apart("with = [\"shop\"]", "", "apart_from = [\"db\"]");
  const auto config2 = apart.load();
  ASSERT_TRUE(config2) << apart.complaints();
  EXPECT_THAT(config2->service(kWeb).apart_from, ElementsAre(kDb, kShop));
  EXPECT_THAT(config2->service(kShop).apart_from, ElementsAre(kWeb));
}

TEST(Relations, AreComparedBetweenTheNodesWhereThereAreSome) {
  Three without("", "");
  const auto before = without.load();
  ASSERT_TRUE(before);
  EXPECT_FALSE(any_relation(before->services));
  EXPECT_THAT(before->hashed_lines, Not(Contains(HasSubstr(": after ="))));
  Three with("", "after = [\"db\"]");
  const auto after = with.load();
  ASSERT_TRUE(after);
  EXPECT_THAT(after->hashed_lines, Contains("services/shop.toml: after = db"));
  EXPECT_NE(before->hash, after->hash);
}

TEST(Relations, UnknownNames) {
  expect_refused(Three("", "with = [\"wed\"]"), "services/shop.toml", 2,
                 "with names \"wed\", which is no service", "did you mean web?");
  expect_refused(Three("", "after = [\"database\"]"), "services/shop.toml", 2,
                 "after names \"database\", which is no service", "the other services: db and web");
  expect_refused(Three("", "\napart_from = [\"shop\"]"), "services/shop.toml", 3,
                 "apart_from names the service itself", "the other services");
}

TEST(Relations, NoneIsMissedBecauseOfAFileThatCannotBeRead) {
  Three files("this is no toml", "after = [\"db\"]");
  const auto loaded = files.load();
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().size(), 1U) << files.complaints();
}

TEST(Relations, Circles) {
  expect_refused(Three("after = [\"web\"]", "after = [\"db\"]", "after = [\"shop\"]"), "services/db.toml", 2,
                 "after leads in a circle: db after web after shop after db", "remove one of them");
}

TEST(Relations, Contradictions) {
  expect_refused(Three("prefer = \"serv2\"", "", "with = [\"db\"]"), kS, 1,
                 "web runs with db, which prefers another node (db.toml:2)", "let both prefer the same node");
  expect_refused(Three("apart_from = [\"web\"]", "with = [\"db\"]", "with = [\"shop\"]"), "services/db.toml",
                 2, "db is to run apart from web, and on the same node with it (with: db, shop, web)",
                 "remove one of the two relations");
  expect_refused(Three("", "units = [\"a.service\"]\nhot = true\nafter = [\"db\"]"), "services/shop.toml", 4,
                 "hot = true", "remove one of the two");
}

TEST(Relations, ServicesThatAreToBeApartAndPreferTheSameNode) {
  Three files("prefer = \"serv1\"\napart_from = [\"web\"]", "");
  EXPECT_EQ(files.complaints(), "");
  EXPECT_THAT(files.warned(), HasSubstr("db and web are to run apart, and both prefer the same node"));
}

}  // namespace
}  // namespace clusterd
