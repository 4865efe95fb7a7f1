#include "alike/words.hpp"

#include <algorithm>
#include <array>

#include "mirror/escape.hpp"
#include "versions/json.hpp"

namespace clusterd::alike {

namespace {

using always::Entry;
using always::Kind;
using versions::Members;

constexpr std::array kAll{What::kUnit, What::kDropIn, What::kProgram, What::kAgent,
                          What::kFile, What::kUser,   What::kGroup};
constexpr size_t kMaxUnitName = 256, kMaxServiceName = 64;
constexpr size_t kMaxNumberText = 4 * kMaxNumberName;  // escaped
constexpr size_t kMaxLacks = 64, kMaxWhy = 400;

std::optional<What> what_from(const Members& members) {
  const std::string word = members.text("what");
  const auto found = std::ranges::find_if(kAll, [&](What what) { return word == name(what); });
  return found == kAll.end() ? std::nullopt : std::optional(*found);
}

// A unit's name, or an absolute path that leads nowhere else than it says.
bool is_name_of(What what, const std::string& name) {
  if (what == What::kUser || what == What::kGroup) return !name.empty() && name.size() <= kMaxNumberName;
  if (what == What::kUnit)
    return !name.empty() && name.size() <= kMaxUnitName && name.find('/') == std::string::npos;
  return always::is_plain(name);
}

std::optional<std::string> name_from(const json::string& text, What what) {
  if (text.size() > 4 * kMaxNameBytes) return std::nullopt;
  auto name = mirror::unescape({text.data(), text.size()});
  return name && is_name_of(what, *name) ? name : std::nullopt;
}

std::optional<Entry> entry_of(const json::value& value) {
  auto entry = always::entry_from(value);
  if (!entry || (entry->kind == Kind::kFile && !always::is_digest(entry->content))) return std::nullopt;
  return entry;
}

std::optional<Items> items_from(const json::value& value, size_t& left) {
  const json::object* object = value.if_object();
  if (object == nullptr || object->size() > left) return std::nullopt;
  left -= object->size();
  Items out;
  for (const auto& member : *object) {
    const Members members(member.value());
    const auto what = what_from(members);
    const auto name = what ? name_from(json::string(member.key()), *what) : std::nullopt;
    auto entry = entry_of(members.at("entry"));
    if (what == What::kUser || what == What::kGroup) return std::nullopt;
    if (!name || !entry) return std::nullopt;
    out.emplace(*name, Item{*what, std::move(*entry)});
  }
  return out;
}

json::array encoded(const std::set<uint32_t>& owners) {
  json::array out;
  for (const uint32_t number : owners) out.emplace_back(number);
  return out;
}

json::object encoded(const std::map<std::string, uint32_t>& numbers) {
  json::object out;
  for (const auto& [name, number] : numbers) out[mirror::escape(name)] = number;
  return out;
}

std::optional<uint32_t> number_from(const json::value& value) {
  if (value.is_int64() && value.get_int64() >= 0 && value.get_int64() <= int64_t{UINT32_MAX})
    return static_cast<uint32_t>(value.get_int64());
  return std::nullopt;
}

// Nothing at all is an older version's.
bool read_owners(const json::value& value, std::set<uint32_t>& out) {
  if (value.is_null()) return true;
  const json::array* numbers = value.if_array();
  if (numbers == nullptr || numbers->size() > kMaxOwners) return false;
  for (const json::value& one : *numbers) {
    const auto number = number_from(one);
    if (!number) return false;
    out.insert(*number);
  }
  return true;
}

bool read_numbers(const json::value& value, std::map<std::string, uint32_t>& out) {
  const json::object* numbers = value.if_object();
  if (numbers == nullptr || numbers->size() > kMaxNumbers) return false;
  for (const auto& member : *numbers) {
    const auto number = number_from(member.value());
    if (!number || member.key().size() > kMaxNumberText) return false;
    const auto name = mirror::unescape({member.key().data(), member.key().size()});
    if (!name || !is_name_of(What::kUser, *name)) return false;
    out.emplace(*name, *number);
  }
  return true;
}

json::object object_of(const Difference& one) {
  return {{"what", name(one.what)},
          {"name", mirror::escape(one.name)},
          {"mine", always::encoded(one.mine)},
          {"theirs", always::encoded(one.theirs)}};
}

std::optional<Difference> difference_from(const json::value& value) {
  const Members members(value);
  const auto what = what_from(members);
  const json::string* text = members.at("name").if_string();
  const auto name = what && text != nullptr ? name_from(*text, *what) : std::nullopt;
  auto mine = entry_of(members.at("mine")), theirs = entry_of(members.at("theirs"));
  if (!name || !mine || !theirs) return std::nullopt;
  return Difference{*what, *name, std::move(*mine), std::move(*theirs)};
}

std::optional<Likeness> likeness_from(const json::value& value) {
  const Members members(value);
  const json::array* differences = members.at("differences").if_array();
  const json::array* lacks = members.at("lacks").if_array();
  if (differences == nullptr || lacks == nullptr || lacks->size() > kMaxLacks) return std::nullopt;
  Likeness out;
  out.compared = members.yes("compared");
  out.why = members.text("why");
  out.same = members.unsigned_number("same");
  out.differ = members.unsigned_number("differ");
  for (const json::value& one : *differences) {
    auto difference = difference_from(one);
    if (!difference) return std::nullopt;
    out.differences.push_back(std::move(*difference));
  }
  for (const json::value& one : *lacks) {
    if (!one.is_string()) return std::nullopt;
    out.lacks.emplace_back(one.get_string());
  }
  if (out.differ < out.differences.size() || (!out.compared && out.differ > 0)) return std::nullopt;
  return out;
}

}  // namespace

std::string encoded(const Word& word) {
  json::object services;
  for (const auto& [service, one] : word.services) {
    json::object items;
    for (const auto& [name_of_it, item] : one.items)
      items[mirror::escape(name_of_it)] =
          json::object{{"what", name(item.what)}, {"entry", always::encoded(item.entry)}};
    services[service] = json::object{{"wanted", one.wanted},
                                     {"items", std::move(items)},
                                     {"users", encoded(one.owners.users)},
                                     {"groups", encoded(one.owners.groups)}};
  }
  json::object out{{"services", std::move(services)}};
  if (word.numbers.known) {
    out["users"] = encoded(word.numbers.users);
    out["groups"] = encoded(word.numbers.groups);
  }
  return json::serialize(out);
}

std::optional<Word> word_from(const json::value& value) {
  const json::object* services = Members(value).at("services").if_object();
  if (services == nullptr || services->size() > kMaxServices) return std::nullopt;
  Word word;
  size_t left = kMaxItems;
  for (const auto& member : *services) {
    const Members members(member.value());
    Service service;
    service.wanted = members.text("wanted");
    auto items = items_from(members.at("items"), left);
    if (!items || !always::is_digest(service.wanted) || member.key().size() > kMaxServiceName)
      return std::nullopt;
    service.items = std::move(*items);
    if (!read_owners(members.at("users"), service.owners.users) ||
        !read_owners(members.at("groups"), service.owners.groups))
      return std::nullopt;
    word.services.emplace(std::string(member.key().data(), member.key().size()), std::move(service));
  }
  const Members all(value);
  word.numbers.known = all.has("users");
  if (word.numbers.known && (!read_numbers(all.at("users"), word.numbers.users) ||
                             !read_numbers(all.at("groups"), word.numbers.groups)))
    return std::nullopt;
  return word;
}

std::string asked_to_look(const std::string& known, const std::string& mine) {
  return json::serialize(json::object{{"do", "alike-look"}, {"known", known}, {"mine", mine}});
}

std::string encoded(const Report& report) {
  json::object services;
  size_t bytes = 0;
  for (const auto& [service, likeness] : report) {
    json::array differences, lacks;
    for (size_t i = 0; i < std::min(likeness.lacks.size(), kMaxLacks); ++i)
      lacks.emplace_back(likeness.lacks[i]);
    bytes += 512 + json::serialize(lacks).size();
    for (const Difference& one : likeness.differences) {
      json::object object = object_of(one);
      const size_t more = json::serialize(object).size() + 1;
      if (bytes + more > kMaxReportBytes) break;
      bytes += more;
      differences.push_back(std::move(object));
    }
    services[service] = json::object{{"compared", likeness.compared},
                                     {"why", short_text(likeness.why, kMaxWhy)},
                                     {"same", likeness.same},
                                     {"differ", likeness.differ},
                                     {"differences", std::move(differences)},
                                     {"lacks", std::move(lacks)}};
  }
  return json::serialize(json::object{{"services", std::move(services)}});
}

std::optional<Report> report_from(const std::string& text) {
  const auto value = versions::parsed(text);
  const json::object* services = value ? Members(*value).at("services").if_object() : nullptr;
  if (services == nullptr || services->size() > kMaxServices) return std::nullopt;
  Report report;
  for (const auto& member : *services) {
    auto likeness = likeness_from(member.value());
    if (!likeness || member.key().size() > kMaxServiceName) return std::nullopt;
    report.emplace(std::string(member.key().data(), member.key().size()), std::move(*likeness));
  }
  return report;
}

}  // namespace clusterd::alike
