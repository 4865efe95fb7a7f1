#include "alike/owners.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "alike/list.hpp"

namespace clusterd::alike {

namespace {

using Names = std::map<uint32_t, std::set<std::string>>;

Names by_number(const std::map<std::string, uint32_t>& numbers) {
  Names out;
  for (const auto& [name, number] : numbers) out[number].insert(name);
  return out;
}

const std::set<std::string>& names_of(uint32_t number, const Names& names) {
  static const std::set<std::string> kNone;
  const auto found = names.find(number);
  return found == names.end() ? kNone : found->second;
}

// As an entry of a list: the name and its number.
always::Entry owner(const std::string& name, uint32_t number) {
  always::Entry entry;
  entry.kind = always::Kind::kSpecial;
  entry.user = name;
  entry.uid = number;
  return entry;
}

struct Side {
  const std::set<uint32_t>& owners;
  const std::map<std::string, uint32_t>& numbers;
};

void compare(What what, const Side& mine, const Side& theirs, std::vector<Difference>& out) {
  const Names here = by_number(mine.numbers), there = by_number(theirs.numbers);
  std::set<uint32_t> owners = mine.owners;
  owners.insert(theirs.owners.begin(), theirs.owners.end());
  std::set<std::string> told;
  for (const uint32_t number : owners) {
    const auto &ours = names_of(number, here), &others = names_of(number, there);
    const auto common = [&](const std::string& name) { return others.contains(name); };
    if (std::ranges::any_of(ours, common) || (ours.empty() && others.empty())) continue;
    bool elsewhere = false;
    for (const auto* names : {&ours, &others}) {
      for (const std::string& name : *names) {
        const auto a = mine.numbers.find(name), b = theirs.numbers.find(name);
        if (a == mine.numbers.end() || b == theirs.numbers.end()) continue;
        elsewhere = true;
        if (told.insert(name).second)
          out.push_back({what, name, owner(name, a->second), owner(name, b->second)});
      }
    }
    if (elsewhere) continue;
    const auto first = [](const std::set<std::string>& names) { return names.empty() ? "" : *names.begin(); };
    out.push_back({what, std::to_string(number), owner(first(ours), number), owner(first(others), number)});
  }
}

}  // namespace

std::vector<Tree> trees_by_number(const ServiceConfig& service) {
  std::vector<Tree> out;
  for (const MirrorConfig& mirror : service.mirrors)
    if (mirror.ids == Ids::kNumeric && !mirror.to) out.push_back({mirror.paths, mirror.exclude});
  return out;
}

std::vector<Difference> compare(const OwnersOf& mine, const OwnersOf& theirs) {
  std::vector<Difference> out;
  if (!mine.numbers.known || !theirs.numbers.known) return out;
  compare(What::kUser, {mine.owners.users, mine.numbers.users}, {theirs.owners.users, theirs.numbers.users},
          out);
  compare(What::kGroup, {mine.owners.groups, mine.numbers.groups},
          {theirs.owners.groups, theirs.numbers.groups}, out);
  return out;
}

std::string owner_text(const Difference& difference, const std::string& my_name,
                       const std::string& their_name) {
  const std::string kind = name(difference.what);
  const always::Entry &mine = difference.mine, &theirs = difference.theirs;
  if (mine.uid != theirs.uid)
    return fmt::format("{} {} is number {} on {}, and {} on {}", kind, short_text(mine.user), mine.uid,
                       my_name, theirs.uid, their_name);
  const auto called = [&](const std::string& user) {
    return user.empty() ? "no " + kind : kind + " " + short_text(user);
  };
  return fmt::format("number {} is {} on {}, and {} on {}", mine.uid, called(mine.user), my_name,
                     called(theirs.user), their_name);
}

}  // namespace clusterd::alike
