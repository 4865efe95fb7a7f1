#include "mirror/live/owners.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "mirror/escape.hpp"

namespace clusterd::mirror::live {
namespace {

// linux/posix_acl_xattr.h: a version, then entries of tag, permissions and id, all little-endian.
constexpr size_t kAclHeader = 4, kAclEntry = 8;
constexpr uint16_t kAclUser = 0x02, kAclGroup = 0x08;

bool is_acl(std::string_view xattr) {
  return xattr == "system.posix_acl_access" || xattr == "system.posix_acl_default";
}

uint32_t little(std::string_view bytes, size_t at, size_t count) {
  uint32_t value = 0;
  for (size_t i = 0; i < count; ++i) value |= uint32_t{static_cast<uint8_t>(bytes[at + i])} << (8 * i);
  return value;
}

void put_little(std::string& bytes, size_t at, uint32_t value) {
  for (size_t i = 0; i < 4; ++i) bytes[at + i] = static_cast<char>(static_cast<uint8_t>(value >> (8 * i)));
}

std::optional<NamedId> parse_line(std::string_view line) {
  const size_t first = line.find(':');
  const size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  const size_t third = std::min(line.find(':', second + 1), line.size());
  const std::string_view name = line.substr(0, first), digits = line.substr(second + 1, third - second - 1);
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  const bool whole = error == std::errc() && end == digits.data() + digits.size();
  const bool nis = !name.empty() && (name.front() == '+' || name.front() == '-');
  if (!whole || number == kNobodys || nis || !is_id_name(name)) return std::nullopt;
  return NamedId{number, std::string(name)};
}

// Whom this node does not know, in words.
std::string unknown(const char* kind, const IdMap& map, uint32_t number, std::string_view source,
                    std::string_view here) {
  if (const std::string& name = map.their_name(number); !name.empty())
    return fmt::format("{} {} does not exist on {}: create it there, or write ids = \"numeric\"", kind,
                       escape(name), here);
  return fmt::format(
      "{} {} has no name on {}, and is {} on {}: give it a name there, or write ids = \"numeric\"", kind,
      number, source, escape(map.our_name(number)), here);
}

}  // namespace

bool is_id_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxIdName) return false;
  return std::ranges::all_of(name, [](char c) {
    const auto byte = static_cast<uint8_t>(c);
    return byte > 0x20 && byte != 0x7f && c != ':' && c != ',' && c != '/';
  });
}

std::vector<NamedId> parse_ids(std::string_view text) {
  std::vector<NamedId> out;
  while (!text.empty() && out.size() <= kMaxIds) {
    const size_t end = std::min(text.find('\n'), text.size());
    if (auto id = parse_line(text.substr(0, end))) out.push_back(std::move(*id));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

IdMap::IdMap(const std::vector<NamedId>& theirs, const std::vector<NamedId>& ours) {
  std::unordered_map<std::string_view, uint32_t> our_numbers;
  for (const NamedId& id : ours) {
    our_names_.try_emplace(id.number, id.name);
    our_numbers.try_emplace(id.name, id.number);
  }
  to_ours_[0] = to_theirs_[0] = 0;
  std::unordered_set<std::string_view> taken;
  for (const NamedId& id : theirs) {
    their_names_.try_emplace(id.number, id.name);
    const auto known = taken.insert(id.name).second ? our_numbers.find(id.name) : our_numbers.end();
    // Of several names of a number the first one that is known here.
    if (known == our_numbers.end() || (known->second == 0) != (id.number == 0)) continue;
    if (to_ours_.try_emplace(id.number, known->second).second)
      to_theirs_.try_emplace(known->second, id.number);
  }
}

std::optional<uint32_t> IdMap::to_ours(uint32_t theirs) const {
  if (const auto known = to_ours_.find(theirs); known != to_ours_.end()) return known->second;
  if (their_names_.contains(theirs) || our_names_.contains(theirs)) return std::nullopt;
  return theirs;
}

uint32_t IdMap::to_theirs(uint32_t ours) const {
  if (const auto known = to_theirs_.find(ours); known != to_theirs_.end()) return known->second;
  return their_names_.contains(ours) || our_names_.contains(ours) ? kNobodys : ours;
}

const std::string& IdMap::their_name(uint32_t number) const {
  static const std::string kNone;
  const auto known = their_names_.find(number);
  return known == their_names_.end() ? kNone : known->second;
}

const std::string& IdMap::our_name(uint32_t number) const {
  static const std::string kNone;
  const auto known = our_names_.find(number);
  return known == our_names_.end() ? kNone : known->second;
}

OwnerMap::OwnerMap(const IdTable& theirs, const IdTable& ours)
    : users_(theirs.users, ours.users), groups_(theirs.groups, ours.groups) {}

std::optional<std::string> OwnerMap::to_ours(Status& status, Traits& traits, std::string_view source,
                                             std::string_view here) const {
  const auto uid = users_.to_ours(status.uid), gid = groups_.to_ours(status.gid);
  if (!uid) return unknown("user", users_, status.uid, source, here);
  if (!gid) return unknown("group", groups_, status.gid, source, here);
  std::vector<std::pair<std::string, std::string>> acls;
  for (const auto& xattr : traits.xattrs)
    if (is_acl(xattr.first)) acls.push_back(xattr);
  for (auto& [name, value] : acls) {
    for (size_t at = kAclHeader; at + kAclEntry <= value.size(); at += kAclEntry) {
      const uint32_t tag = little(value, at, 2), number = little(value, at + 4, 4);
      if (tag != kAclUser && tag != kAclGroup) continue;
      const IdMap& map = tag == kAclUser ? users_ : groups_;
      const auto known = map.to_ours(number);
      if (!known)
        return "in its ACL: " + unknown(tag == kAclUser ? "user" : "group", map, number, source, here);
      put_little(value, at + 4, *known);
    }
  }
  status.uid = *uid;
  status.gid = *gid;
  for (auto& [name, value] : traits.xattrs)
    for (auto& [acl, mapped] : acls)
      if (acl == name) value = mapped;
  return std::nullopt;
}

void OwnerMap::to_theirs(Status& status) const {
  status.uid = users_.to_theirs(status.uid);
  status.gid = groups_.to_theirs(status.gid);
}

}  // namespace clusterd::mirror::live
