#include "alike/list.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "mirror/escape.hpp"

namespace clusterd::alike {

using always::Entry;
using always::Kind;

namespace {

// "" for "/": nothing lies above it.
std::string folder_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

// The other node has listed the folder in which the path lies, or one above it: how far is the path known?
enum class Known : uint8_t { kNot, kFolder, kElse };
Known known_by_folder(const std::string& path, const Items& items) {
  for (std::string folder = folder_of(path); !folder.empty(); folder = folder_of(folder)) {
    const auto found = items.find(folder);
    if (found != items.end())
      return found->second.entry.kind == Kind::kFolder ? Known::kFolder : Known::kElse;
  }
  return Known::kNot;
}

// What only `here` has: whether it is told as absent there.
bool told_as_absent(const std::string& name, const Item& item, const Items& there) {
  if (!item.entry.there()) return false;  // nor is it here
  if (item.what == What::kDropIn) return true;
  return item.what == What::kFile && known_by_folder(name, there) == Known::kFolder;
}

// Files alone have an execute bit that matters: agents and programs are looked at where they lead.
bool may_be_executed(const Entry& entry) { return entry.kind != Kind::kFile || (entry.mode & 0111U) != 0; }

std::string day(int64_t mtime_ns) {
  constexpr int64_t kLatest = 253'402'300'799;  // of the year 9999
  const int64_t seconds = mtime_ns / 1'000'000'000;
  if (seconds < 0 || seconds > kLatest) return "?";
  return fmt::format("{:%Y-%m-%d}", fmt::gmtime(static_cast<std::time_t>(seconds)));
}

std::string owner(const std::string& name, uint32_t number) {
  return name.empty() ? std::to_string(number) : short_text(name);
}

std::string kind_text(Kind kind) {
  switch (kind) {
    case Kind::kFile:
      return "a file";
    case Kind::kFolder:
      return "a directory";
    case Kind::kLink:
      return "a symbolic link";
    case Kind::kAbsent:
    case Kind::kOpaque:
    case Kind::kSpecial:
      break;
  }
  return "something else";
}

// The first thing in which the two differ, of one of them.
std::string aspect(const Entry& one, const Entry& other) {
  if (one.kind != other.kind) return kind_text(one.kind);
  if (one.kind == Kind::kLink) return "leads to " + short_text(one.content);
  if (one.kind == Kind::kFile && one.content != other.content)
    return fmt::format("{} bytes of {}", one.size, day(one.mtime_ns));
  if (one.mode != other.mode) return fmt::format("mode {:04o}", one.mode);
  return fmt::format("owner {}:{}", owner(one.user, one.uid), owner(one.group, one.gid));
}

std::string absent(What what, const std::string& name, const std::string& node) {
  switch (what) {
    case What::kUnit:
      return fmt::format("{} is not installed on {}", name, node);
    case What::kProgram:
    case What::kAgent:
      return fmt::format("{} does not exist on {}", name, node);
    case What::kDropIn:
    case What::kFile:
    case What::kUser:
    case What::kGroup:
      break;
  }
  return fmt::format("{} is not on {}", name, node);
}

void lacks_here(const Items& items, std::vector<std::string>& out) {
  for (const auto& [name, item] : items) {
    if (item.what != What::kProgram || !is_lack(item.what, item.entry)) continue;
    out.push_back(short_text(name) + (item.entry.there() ? " may not be executed" : " does not exist"));
  }
}

}  // namespace

const char* name(What what) {
  switch (what) {
    case What::kUnit:
      return "unit";
    case What::kDropIn:
      return "drop-in";
    case What::kProgram:
      return "program";
    case What::kAgent:
      return "agent";
    case What::kFile:
      return "file";
    case What::kUser:
      return "user";
    case What::kGroup:
      return "group";
  }
  return "";
}

std::string short_text(const std::string& bytes, size_t most) {
  std::string text = mirror::escape(bytes);
  if (text.size() <= most) return text;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xC0U) == 0x80U) --most;  // UTF-8 stays whole
  text.resize(most);
  return text + "…";
}

bool is_lack(What what, const Entry& entry) {
  switch (what) {
    case What::kUnit:
      return !entry.there();
    case What::kProgram:
    case What::kAgent:
      return !entry.there() || !may_be_executed(entry);
    case What::kDropIn:
    case What::kFile:
    case What::kUser:
    case What::kGroup:
      break;
  }
  return false;
}

std::string Wanted::digest() const {
  std::string all;
  for (const auto* list : {&units, &programs, &agents, &paths}) {
    for (const std::string& one : *list) (all += one) += '\0';
    all += '\0';
  }
  return always::digest_of(all);
}

Wanted wanted(const ServiceConfig& service, const std::vector<std::string>& paths,
              const std::function<std::string(const OcfConfig&)>& agent_path) {
  Wanted out;
  for (const UnitConfig& unit : service.units) {
    switch (unit.kind) {
      case UnitConfig::Kind::kSystemd:
        out.units.push_back(unit.name);
        break;
      case UnitConfig::Kind::kOcf:
        out.agents.push_back(agent_path(unit.ocf));
        break;
      case UnitConfig::Kind::kLsb:
        out.programs.push_back(unit.script);
        break;
      case UnitConfig::Kind::kCommand:
      case UnitConfig::Kind::kRun:
        for (const std::string& command : {unit.start, unit.stop, unit.status})
          if (std::string program = program_of(command); !program.empty()) out.programs.push_back(program);
        break;
      case UnitConfig::Kind::kMount:
        break;
    }
  }
  out.paths = paths;
  out.trees = trees_by_number(service);
  for (const CheckConfig& check : service.checks)
    if (std::string program = program_of(check.command); !program.empty()) out.paths.push_back(program);
  return out;
}

std::string program_of(const std::string& command) {
  const std::string word = command.substr(0, command.find_first_of(" \t"));
  const bool plain =
      word.starts_with("/") && word.find_first_of("\"'\\$`;&|<>()*?[]{}~#=") == std::string::npos;
  return plain ? word : "";
}

Likeness compare(const Service& mine, const Service* theirs) {
  Likeness out;
  lacks_here(mine.items, out.lacks);
  if (theirs == nullptr || theirs->wanted != mine.wanted) {
    out.why = theirs == nullptr ? "it has no such service" : "it has another configuration of the service";
    return out;
  }
  out.compared = true;
  for (const auto& [name, item] : mine.items) {
    const auto other = theirs->items.find(name);
    if (other == theirs->items.end()) {
      if (told_as_absent(name, item, theirs->items))
        out.differences.push_back({item.what, name, item.entry, {}});
    } else if (same(item.entry, other->second.entry)) {
      ++out.same;
    } else {
      out.differences.push_back({item.what, name, item.entry, other->second.entry});
    }
  }
  for (const auto& [name, item] : theirs->items)
    if (!mine.items.contains(name) && told_as_absent(name, item, mine.items))
      out.differences.push_back({item.what, name, {}, item.entry});
  // Without which nothing starts comes first; then the rest, as both nodes list it.
  std::ranges::sort(out.differences, {}, [](const Difference& one) {
    const bool lack = is_lack(one.what, one.mine) || is_lack(one.what, one.theirs);
    return std::tuple<bool, What, const std::string&>(!lack, one.what, one.name);
  });
  out.differ = out.differences.size();
  return out;
}

Likeness compare(const std::string& service, const Word& mine, const Word* theirs) {
  const Service& here = mine.services.at(service);
  const auto found = theirs == nullptr ? mine.services.end() : theirs->services.find(service);
  const Service* there = theirs == nullptr || found == theirs->services.end() ? nullptr : &found->second;
  Likeness out = compare(here, there);
  if (!out.compared) return out;
  for (Difference& one : compare({here.owners, mine.numbers}, {there->owners, theirs->numbers}))
    out.differences.push_back(std::move(one));
  out.differ = out.differences.size();
  return out;
}

std::string text(const Difference& difference, const std::string& my_name, const std::string& their_name) {
  if (difference.what == What::kUser || difference.what == What::kGroup)
    return owner_text(difference, my_name, their_name);
  const std::string name = short_text(difference.name);
  const Entry &mine = difference.mine, &theirs = difference.theirs;
  if (!mine.there()) return absent(difference.what, name, my_name);
  if (!theirs.there()) return absent(difference.what, name, their_name);
  const auto opaque = [&](const Entry& entry, const std::string& node) {
    return fmt::format("{} cannot be compared: on {} {}", name, node,
                       entry.kind == Kind::kOpaque ? short_text(entry.content)
                                                   : "it is no file, directory or symbolic link");
  };
  if (mine.kind == Kind::kOpaque || mine.kind == Kind::kSpecial) return opaque(mine, my_name);
  if (theirs.kind == Kind::kOpaque || theirs.kind == Kind::kSpecial) return opaque(theirs, their_name);
  for (const auto& [entry, node] : {std::pair(&mine, &my_name), std::pair(&theirs, &their_name)})
    if (is_lack(difference.what, *entry)) return fmt::format("{} may not be executed on {}", name, *node);
  return fmt::format("{} differs ({}: {}, {}: {})", name, my_name, aspect(mine, theirs), their_name,
                     aspect(theirs, mine));
}

}  // namespace clusterd::alike
