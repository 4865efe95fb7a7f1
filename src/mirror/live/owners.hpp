// Owners by name (`ids = "name"`): which number of this node is meant by a number of the other one.
//
// The numbers on the wire are the source's, in operations as in digests and listings. The source tells its
// table of names, and the target translates: what it is told to do into its own numbers, what it says of
// itself into the source's. So nothing of the source's half knows of it, and each node's records hold its own
// numbers.
//
// A name that the target does not know gets no number at all: whatever needs it is refused. A number that has
// no name on either node means the same on both, as it does for `ids = "numeric"`; 0 always does.
//
// Pure. Threading: immutable once made.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "mirror/live/entry.hpp"

namespace clusterd::mirror::live {

inline constexpr size_t kMaxIdName = 255;         // bytes
inline constexpr size_t kMaxIds = 64 * 1024;      // users of one node, and as many groups
inline constexpr uint32_t kNobodys = UINT32_MAX;  // no file's owner: chown(2) takes it for "leave it"

struct NamedId {
  uint32_t number = 0;
  std::string name;
  bool operator==(const NamedId&) const = default;
};
// A node's, in the order in which it looks them up: of several with one number or one name the first counts.
struct IdTable {
  std::vector<NamedId> users, groups;
  bool operator==(const IdTable&) const = default;
};

// 1 to kMaxIdName bytes, none of which is a control character, a blank, ':', ',' or '/'.
[[nodiscard]] bool is_id_name(std::string_view name);
// The lines of /etc/passwd or /etc/group. What is none (a comment, an entry of NIS) is passed over. At most
// one more than kMaxIds, which shows that there are too many.
[[nodiscard]] std::vector<NamedId> parse_ids(std::string_view text);

// Of users, or of groups.
class IdMap {
 public:
  IdMap() = default;
  IdMap(const std::vector<NamedId>& theirs, const std::vector<NamedId>& ours);

  [[nodiscard]] std::optional<uint32_t> to_ours(uint32_t theirs) const;
  // kNobodys: none of theirs is meant by it.
  [[nodiscard]] uint32_t to_theirs(uint32_t ours) const;
  // The first name of a number, or "".
  [[nodiscard]] const std::string& their_name(uint32_t number) const;
  [[nodiscard]] const std::string& our_name(uint32_t number) const;

 private:
  std::unordered_map<uint32_t, std::string> their_names_, our_names_;
  std::unordered_map<uint32_t, uint32_t> to_ours_, to_theirs_;
};

class OwnerMap {
 public:
  OwnerMap() = default;
  OwnerMap(const IdTable& theirs, const IdTable& ours);

  // The source's owner, group and ACLs become this node's. nullopt: they have; else, in words, whom this node
  // does not know, and `status` and `traits` are as they were.
  [[nodiscard]] std::optional<std::string> to_ours(Status& status, Traits& traits, std::string_view source,
                                                   std::string_view here) const;
  // This node's owner and group as the source's numbers.
  void to_theirs(Status& status) const;

 private:
  IdMap users_, groups_;
};

}  // namespace clusterd::mirror::live
