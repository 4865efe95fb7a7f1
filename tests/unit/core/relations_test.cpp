// What the configuration says of services to each other: groups, apartness, and the order of their starts.
#include "core/relations.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace clusterd {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

using List = std::vector<size_t>;

std::vector<ServiceId> ids(const List& list) {
  std::vector<ServiceId> out;
  for (const size_t id : list) out.emplace_back(id);
  return out;
}

List numbers(const std::vector<ServiceId>& list) {
  List out;
  for (const ServiceId id : list) out.push_back(id.at());
  return out;
}

std::vector<ServiceConfig> services(size_t count) { return std::vector<ServiceConfig>(count); }

std::vector<List> with(const std::vector<ServiceConfig>& services) {
  std::vector<List> out;
  for (const auto& service : services) out.push_back(numbers(service.with));
  return out;
}

std::vector<List> apart(const std::vector<ServiceConfig>& services) {
  std::vector<List> out;
  for (const auto& service : services) out.push_back(numbers(service.apart_from));
  return out;
}

TEST(RelationsTest, AGroupIsWholeWhoeverNamesIt) {
  auto all = services(6);
  // 0, 2, 4 and 5 by a chain that is written from its far end; 3 names itself.
  all[5].with = ids({4, 4});
  all[4].with = ids({2});
  all[2].with = ids({0});
  all[3].with = ids({3});
  complete_relations(all);
  EXPECT_THAT(with(all),
              ElementsAre(List{2, 4, 5}, List{}, List{0, 4, 5}, List{}, List{0, 2, 5}, List{0, 2, 4}));
  const auto once = with(all);
  complete_relations(all);
  EXPECT_EQ(with(all), once);
}

TEST(RelationsTest, TwoGroupsThatAreNamedTogetherAreOne) {
  auto all = services(4);
  all[0].with = ids({1});
  all[2].with = ids({3});
  complete_relations(all);
  EXPECT_THAT(with(all), ElementsAre(List{1}, List{0}, List{3}, List{2}));
  all[3].with.emplace_back(1);
  complete_relations(all);
  EXPECT_THAT(with(all), ElementsAre(List{1, 2, 3}, List{0, 2, 3}, List{0, 1, 3}, List{0, 1, 2}));
}

TEST(RelationsTest, ApartFromOneIsApartFromItsGroup) {
  auto all = services(5);
  all[0].with = ids({1});
  all[2].with = ids({3});
  all[1].apart_from = ids({3});
  complete_relations(all);
  EXPECT_THAT(apart(all), ElementsAre(List{2, 3}, List{2, 3}, List{0, 1}, List{0, 1}, List{}));
  EXPECT_THAT(with(all), ElementsAre(List{1}, List{0}, List{3}, List{2}, List{}));
}

TEST(RelationsTest, ApartIsNotHandedOn) {
  auto all = services(3);
  all[1].apart_from = ids({0, 2, 2});
  complete_relations(all);
  EXPECT_THAT(apart(all), ElementsAre(List{1}, List{0, 2}, List{1}));
}

TEST(RelationsTest, AGroupHasThePreferenceOfItsMember) {
  auto all = services(5);
  all[0].with = ids({1});
  all[1].prefer = NodeId(1);
  all[2].with = ids({3});
  all[3].prefer = NodeId(0);
  all[2].prefer = NodeId(1);
  complete_relations(all);
  EXPECT_EQ(all[0].prefer, NodeId(1));
  EXPECT_EQ(all[1].prefer, NodeId(1));
  EXPECT_EQ(all[2].prefer, NodeId(1));  // its own stands
  EXPECT_EQ(all[3].prefer, NodeId(0));
  EXPECT_EQ(all[4].prefer, std::nullopt);
}

TEST(RelationsTest, AfterIsTidiedAndNothingIsAddedToIt) {
  auto all = services(4);
  all[3].after = ids({2, 0, 2, 3});
  all[2].after = ids({1});
  complete_relations(all);
  EXPECT_EQ(numbers(all[3].after), (List{0, 2}));
  EXPECT_EQ(numbers(all[2].after), List{1});
}

TEST(RelationsTest, ACycleOfAfterIsShownAsItGoesRound) {
  auto all = services(5);
  all[0].after = ids({1});
  all[1].after = ids({2, 3});
  all[3].after = ids({4});
  EXPECT_THAT(cycle_of_after(all), IsEmpty());
  // 0 leads into the cycle and is no part of it.
  all[4].after = ids({1});
  EXPECT_EQ(numbers(cycle_of_after(all)), (List{1, 3, 4, 1}));
  all[4].after = ids({2});
  EXPECT_THAT(cycle_of_after(all), IsEmpty());
}

TEST(RelationsTest, TwoWaysToOneForerunnerAreNoCycle) {
  auto all = services(4);
  all[0].after = ids({1, 2});
  all[1].after = ids({3});
  all[2].after = ids({3});
  EXPECT_THAT(cycle_of_after(all), IsEmpty());
  all[3].after = ids({3});
  EXPECT_EQ(numbers(cycle_of_after(all)), (List{3, 3}));
}

TEST(RelationsTest, OneRelationIsEnoughToHaveAny) {
  EXPECT_FALSE(any_relation({}));
  EXPECT_FALSE(any_relation(services(2)));
  for (auto list : {&ServiceConfig::with, &ServiceConfig::apart_from, &ServiceConfig::after}) {
    auto all = services(2);
    (all[1].*list).emplace_back(0);
    EXPECT_TRUE(any_relation(all));
  }
}

}  // namespace
}  // namespace clusterd
