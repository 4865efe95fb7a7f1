// [[mirror]]: what is copied from the active node to the standby, or to another host.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "config/draft.hpp"
#include "config/paths.hpp"

namespace clusterd::config {

namespace {

using std::chrono::hours;
using std::chrono::seconds;

void read_paths(Section& section, MirrorConfig& mirror, std::vector<Place>& places, Problems& problems) {
  if (!section.has("paths"))
    problems.error(section.place(), "a mirror lacks the key paths", "add paths = [\"/srv/NAME/\"]");
  for (const Text& text : section.texts("paths", kMaxPathsPerMirror)) {
    if (const auto why = fault_of_path(text.value)) {
      problems.error(text.place, fmt::format("\"{:.200}\" cannot be mirrored: it {}", text.value, why->first),
                     why->second);
      continue;
    }
    mirror.paths.push_back(text.value);
    places.push_back(text.place);
  }
  if (section.has("paths") && mirror.paths.empty())
    problems.error(section.place("paths"), "a mirror has no valid path", "write paths = [\"/srv/NAME/\"]");
}

// "user@host:/path/": given to rsync and ssh as arguments, so nothing in it may look like an option.
bool is_target(std::string_view text) {
  const size_t at = text.find('@');
  if (at == std::string_view::npos || !is_name(text.substr(0, at), "._-", 32)) return false;
  const std::string_view rest = text.substr(at + 1);
  size_t colon = rest.find(':');
  if (!rest.empty() && rest.front() == '[') {
    const size_t end = rest.find("]:");
    if (end == std::string_view::npos) return false;
    const auto address = IpAddress::parse(rest.substr(1, end - 1));
    if (!address || address->is_v4()) return false;
    colon = end + 1;
  } else if (colon == std::string_view::npos || !is_name(rest.substr(0, colon), ".-", 253)) {
    return false;
  }
  const std::string_view path = rest.substr(colon + 1);
  const bool plain = std::all_of(path.begin(), path.end(), [](char c) {
    return std::string_view(" '\"\\$`;&|<>()*?[]{}!~#").find(c) == std::string_view::npos;
  });
  return plain && path.size() > 1 && path.back() == '/' && is_plain_path(path);
}

// What belongs to rsync alone. A key that would do nothing is an error, as an unknown one is.
void refuse_for_live(const Section& section, Problems& problems) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kReasons{
      {{"via", "a live mirror does not go by rsync"},
       {"to", "a live mirror goes to the peer alone"},
       {"whole_file", "a live mirror decides by itself what it sends of a file"},
       {"compress", "a live mirror compresses by itself where that pays"}}};
  for (const auto& [key, reason] : kReasons) {
    if (section.has(key))
      problems.error(section.place(key), std::string(reason),
                     fmt::format("remove {}, or write mode = \"interval\"", key));
  }
}

// rsync maps names too, but gives a file whose owner it does not know the number that he has elsewhere,
// without a word; here that may be somebody else's.
void read_ids(Section& section, MirrorConfig& mirror, Problems& problems) {
  section.choice("ids", mirror.ids, {{"numeric", Ids::kNumeric}, {"name", Ids::kName}});
  if (mirror.ids == Ids::kName && !mirror.live)
    problems.error(
        section.place("ids"),
        "ids = \"name\" needs the live mirror: rsync gives the files of a user whom the other node "
        "does not know to whoever has his number there",
        "write mode = \"live\", or remove ids and give users and groups the same numbers on both "
        "nodes");
}

void read_manner(Section& section, MirrorConfig& mirror, Problems& problems) {
  section.choice("mode", mirror.live, {{"interval", false}, {"live", true}});
  if (mirror.live) {
    refuse_for_live(section, problems);
    mirror.every = hours(1);
  }
  if (const auto via = section.text("via"); via && via->value != "rsync")
    problems.error(via->place, fmt::format("via cannot be \"{:.60}\"", via->value), "write via = \"rsync\"");
  section.duration("every", mirror.every, seconds(1), hours(24 * 30));
  section.flag("delete", mirror.remove);
  read_ids(section, mirror, problems);
  section.flag("guard", mirror.guard);
  section.flag("whole_file", mirror.whole_file);
  section.flag("compress", mirror.compress);
  section.bandwidth("bandwidth", mirror.bandwidth);
  if (const Value* table = section.table("backups")) {
    Section backups(*table, "backups", problems);
    backups.duration("keep", mirror.keep_backups, hours(1), hours(24 * 3650));
    backups.size("max", mirror.max_backups);
    backups.finish();
  }
  if (const Value* table = section.table("scrub")) {
    if (!mirror.live)
      problems.error(table->place, "only the contents of live mirrors are scrubbed",
                     "remove scrub, or write mode = \"live\"");
    Section scrub(*table, "scrub", problems);
    scrub.duration("every", mirror.scrub_every, hours(1), hours(24 * 365));
    scrub.bandwidth("rate", mirror.scrub_rate);
    scrub.finish();
  }
  if (const auto to = section.text("to")) {
    if (is_target(to->value))
      mirror.to = to->value;
    else
      problems.error(
          to->place, fmt::format("to is no target: \"{:.120}\"", to->value),
          "write to = \"user@host:/path/\"; the path is absolute, without blanks, and ends with \"/\"");
  }
}

// A mount on a single file would keep it from being replaced, by the mirror as well.
void check_guard(const Section& section, const MirrorConfig& mirror, const std::vector<Place>& places,
                 Problems& problems) {
  if (!mirror.guard) return;
  if (mirror.to)
    return problems.error(section.place("guard"),
                          "guard is for mirrors to the peer, and this one goes elsewhere",
                          "remove guard, or remove to");
  for (size_t i = 0; i < mirror.paths.size(); ++i) {
    if (mirror.paths[i].back() == '/') continue;
    problems.error(places[i], fmt::format("{} cannot be guarded: only directories can", mirror.paths[i]),
                   "write a directory with \"/\" at its end; put a single file into a [[mirror]] of its own, "
                   "without guard");
  }
}

}  // namespace

void read_mirrors(const Value& mirrors, ServiceDraft& draft, Problems& problems) {
  size_t number = 0;
  for (const Value& item : mirrors.items) {
    ++number;
    if (item.kind != Value::Kind::kTable) {
      problems.error(item.place, fmt::format("a mirror must be a table, but is {}", name(item.kind)),
                     "write [[mirror]] and its keys below it");
      continue;
    }
    Section section(item, "[[mirror]]", problems);
    MirrorConfig mirror;
    mirror.name = std::to_string(number);
    if (const auto text = section.text("name")) {
      mirror.name = text->value;
      if (!is_name(text->value, "_-", 32))
        problems.error(text->place, fmt::format("a mirror cannot be called \"{:.60}\"", text->value),
                       "use letters, digits, \"_\" and \"-\", at most 32");
    }
    std::vector<Place> places;
    read_paths(section, mirror, places, problems);
    for (const Text& text : section.texts("exclude", kMaxExcludesPerMirror))
      mirror.exclude.push_back(text.value);
    read_manner(section, mirror, problems);
    check_guard(section, mirror, places, problems);
    section.finish();
    const auto& known = draft.config.mirrors;
    if (std::any_of(known.begin(), known.end(), [&](const MirrorConfig& m) { return m.name == mirror.name; }))
      problems.error(section.place("name"), fmt::format("there are two mirrors called {}", mirror.name),
                     "give each mirror of a service its own name");
    draft.config.mirrors.push_back(std::move(mirror));
    draft.paths.push_back(std::move(places));
  }
}

// No path may lie in another one with the same target: one would delete or overwrite what the other copied.
void check_mirror_paths(const std::vector<ServiceDraft>& services, Problems& problems) {
  struct Root {
    std::string_view path;
    std::string target;
    std::string owner;
    Place place;
  };
  std::vector<Root> roots;
  for (const ServiceDraft& service : services)
    for (size_t m = 0; m < service.config.mirrors.size(); ++m)
      for (size_t p = 0; p < service.config.mirrors[m].paths.size(); ++p)
        roots.push_back({without_slash(service.config.mirrors[m].paths[p]),
                         service.config.mirrors[m].to.value_or(""), service.config.name,
                         service.paths[m][p]});
  // Sorted with "/" before every other byte, a path stands directly behind one that holds it, or behind a
  // sibling that the same one holds.
  const auto earlier = [](const Root& a, const Root& b) {
    if (a.target != b.target) return a.target < b.target;
    return std::lexicographical_compare(a.path.begin(), a.path.end(), b.path.begin(), b.path.end(),
                                        [](char x, char y) {
                                          return (x == '/' ? 0 : static_cast<unsigned char>(x) + 1) <
                                                 (y == '/' ? 0 : static_cast<unsigned char>(y) + 1);
                                        });
  };
  std::stable_sort(roots.begin(), roots.end(), earlier);
  const Root* outer = nullptr;
  for (const Root& root : roots) {
    if (outer == nullptr || outer->target != root.target || !is_under(root.path, outer->path)) {
      outer = &root;
      continue;
    }
    problems.error(root.place,
                   fmt::format("{} {} {}, which service {} mirrors at {}", root.path,
                               root.path == outer->path ? "is the same as" : "lies in", outer->path,
                               outer->owner, outer->place.brief()),
                   "mirror each file once: remove one of the two paths");
  }
}

}  // namespace clusterd::config
