// Whether the owners of a service's files mean the same on both nodes, where its mirrors carry numbers
// (`ids = "numeric"`). Pure.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/config.hpp"

namespace clusterd::alike {

struct Difference;  // list.hpp

inline constexpr size_t kMaxOwners = 200;      // users that own files of one service, and as many groups
inline constexpr size_t kMaxNumbers = 2000;    // users of a node, and as many groups: more are not compared
inline constexpr size_t kMaxNumberName = 255;  // bytes of a name

// The numbers that own files of a service, as this node has them.
struct Owners {
  std::set<uint32_t> users, groups;
  bool operator==(const Owners&) const = default;
};

// What the names of a node stand for there.
struct Numbers {
  bool known = false;
  std::map<std::string, uint32_t> users, groups;
  bool operator==(const Numbers&) const = default;
};

// What is carried by number: paths and excludes of one mirror.
struct Tree {
  std::vector<std::string> paths, exclude;
  bool operator==(const Tree&) const = default;
};
[[nodiscard]] std::vector<Tree> trees_by_number(const ServiceConfig& service);

struct OwnersOf {
  const Owners& owners;
  const Numbers& numbers;
};
// Each owner whose name or number is another one on the other node. None if a node's names are not known.
[[nodiscard]] std::vector<Difference> compare(const OwnersOf& mine, const OwnersOf& theirs);

// "user web is number 1001 on serv1, and 1005 on serv2", or "number 1001 is user web on serv1, and no user on
// serv2". Of printable characters only.
[[nodiscard]] std::string owner_text(const Difference& difference, const std::string& my_name,
                                     const std::string& their_name);

}  // namespace clusterd::alike
