#include "linux/mirror/live/owners.hpp"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <utility>

#include "mirror/escape.hpp"

namespace clusterd::live {

namespace ml = mirror::live;

namespace {

bool has_an_owner(const ml::SourceFrame& frame) {
  return std::holds_alternative<ml::Make>(frame) || std::holds_alternative<ml::WholeFile>(frame) ||
         std::holds_alternative<ml::FileBegin>(frame) || std::holds_alternative<ml::Check>(frame) ||
         std::holds_alternative<ml::CompareBegin>(frame);
}

std::vector<ml::NamedId> part_of(const std::vector<ml::NamedId>& all, size_t from) {
  const size_t begin = std::min(from, all.size()), end = std::min(from + ml::kMaxNames, all.size());
  return {all.begin() + static_cast<ptrdiff_t>(begin), all.begin() + static_cast<ptrdiff_t>(end)};
}

// False: that is more than a node may have.
bool append(std::vector<ml::NamedId>& all, const std::vector<ml::NamedId>& part) {
  if (all.size() + part.size() > ml::kMaxIds) return false;
  std::copy(part.begin(), part.end(), std::back_inserter(all));
  return true;
}

}  // namespace

Result<std::vector<ml::SourceFrame>> NamesToTell::before(const ml::SourceFrame& next) {
  std::vector<ml::SourceFrame> out;
  if (std::holds_alternative<ml::Hello>(next) || (told_ && !has_an_owner(next))) return out;
  const auto changed = files_.refresh();
  if (!changed) return tl::unexpected(changed.error());
  if (told_ && !*changed) return out;
  told_ = true;
  const ml::IdTable& table = files_.table();
  const size_t most = std::max(table.users.size(), table.groups.size());
  for (size_t at = 0; at == 0 || at < most; at += ml::kMaxNames) {
    out.emplace_back(ml::Names{
        at == 0, at + ml::kMaxNames >= most, {part_of(table.users, at), part_of(table.groups, at)}});
  }
  return out;
}

Result<void> OwnersHere::take(const ml::Names& names) {
  if (names.first) coming_ = {};
  if (names.first == begun_) return fail(Code::kCorrupt, "a table of names without its beginning or its end");
  begun_ = !names.last;
  if (!append(coming_.users, names.table.users) || !append(coming_.groups, names.table.groups))
    return fail(Code::kCorrupt, "more names than a node may have");
  if (!names.last) return {};
  theirs_ = std::exchange(coming_, {});
  complete_ = changed_ = true;
  return {};
}

Result<void> OwnersHere::refresh() {
  if (!complete_) return fail(Code::kCorrupt, "owners before their names");
  const auto other = files_.refresh();
  if (!other) return tl::unexpected(other.error());
  if (*other || std::exchange(changed_, false)) map_ = {theirs_, files_.table()};
  return {};
}

Outcome<void> OwnersHere::to_ours(const std::string& path, Status& status, Traits& traits) {
  const auto refused = [&](const std::string& why) {
    return tl::unexpected(Failure{EPERM, mirror::escape(path) + ": " + why});
  };
  if (auto ok = refresh(); !ok) return refused(ok.error().message);
  if (const auto why = map_.to_ours(status, traits, source_, here_)) return refused(*why);
  return {};
}

Result<ml::OwnerMap> OwnersHere::now() {
  if (auto ok = refresh(); !ok) return tl::unexpected(ok.error());
  return map_;
}

}  // namespace clusterd::live
