#include "mirror/live/plan.hpp"

namespace clusterd::mirror::live {
namespace {

using Kind = Step::Kind;

Kind plan_both(const SourceName& here, const Listed& there) {
  const bool unchanged = !here.changed && !there.changed;
  const bool same = same_attributes(here.status, there.status);
  if (here.status.type != 'f') {
    if (here.status.type != 'd' && here.leader != there.leader)
      return here.leader.empty() ? Kind::kSplit : Kind::kLink;
    return unchanged && same && here.leader == there.leader ? Kind::kEqual : Kind::kMake;
  }
  if (there.status.type != 'f') return here.leader.empty() ? Kind::kContents : Kind::kLink;
  // A name that was split off, or joined, is made anew; the file itself is looked at under its first name.
  if (here.leader != there.leader) return here.leader.empty() ? Kind::kContents : Kind::kLink;
  if (!here.leader.empty()) return Kind::kEqual;
  if (here.status.size != there.status.size) return Kind::kContents;
  if (unchanged) {
    if (same) return Kind::kEqual;
    return here.status.mtime_ns == there.status.mtime_ns ? Kind::kAttributes : Kind::kHash;
  }
  return here.status.mtime_ns == there.status.mtime_ns ? Kind::kHash : Kind::kContents;
}

Kind plan_new(const SourceName& here) {
  if (!here.leader.empty()) return Kind::kLink;
  return here.status.type == 'f' ? Kind::kContents : Kind::kMake;
}

}  // namespace

std::vector<Step> plan_directory(const std::vector<SourceName>& source, const std::vector<Listed>& target) {
  std::vector<Step> steps;
  size_t s = 0, t = 0;
  while (s < source.size() || t < target.size()) {
    const bool take_s =
        s < source.size() && (t == target.size() || !path_before(target[t].name, source[s].name));
    const bool take_t =
        t < target.size() && (s == source.size() || !path_before(source[s].name, target[t].name));
    if (take_s && take_t) {
      steps.push_back({plan_both(source[s], target[t]), source[s].name});
    } else if (take_s) {
      steps.push_back({plan_new(source[s]), source[s].name});
    } else {
      steps.push_back({Kind::kRemove, target[t].name});
    }
    s += take_s ? 1 : 0;
    t += take_t ? 1 : 0;
  }
  return steps;
}

}  // namespace clusterd::mirror::live
