#include "config/section.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "config/scalar.hpp"

namespace clusterd::config {

namespace {

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({substituted, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& candidates) {
  if (word.size() > 64) return std::nullopt;
  std::optional<std::string> best;
  size_t best_distance = std::max<size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const size_t distance = edit_distance(word, candidate);
    if (distance >= best_distance || distance >= candidate.size()) continue;
    best_distance = distance;
    best = candidate;
  }
  return best;
}

std::string listed(const std::vector<std::string>& words) {
  std::string out;
  for (size_t i = 0; i < words.size(); ++i) {
    if (i > 0) out += i + 1 == words.size() ? " and " : ", ";
    out += words[i];
  }
  return out;
}

Section::Section(const Value& table, std::string name, Problems& problems)
    : table_(table), name_(std::move(name)), problems_(problems) {}

const Value* Section::find(std::string_view key) {
  known_.emplace_back(key);
  return table_.find(key);
}

const Value* Section::typed(std::string_view key, Value::Kind kind) {
  const Value* value = find(key);
  if (value == nullptr || value->kind == kind) return value;
  std::string remedy;
  switch (kind) {
    case Value::Kind::kString:
      remedy = fmt::format("write {} = \"…\"", key);
      break;
    case Value::Kind::kInteger:
      remedy = fmt::format("write a number without quotes, as in {} = 3", key);
      break;
    case Value::Kind::kBool:
      remedy = fmt::format("write {0} = true or {0} = false, without quotes", key);
      break;
    case Value::Kind::kArray:
      remedy = fmt::format("write {} = [\"…\"]", key);
      break;
    case Value::Kind::kTable:
      remedy = fmt::format("write {} = {{ … }}", key);
      break;
    case Value::Kind::kOther:
      break;
  }
  problems_.error(value->place,
                  fmt::format("{} in {} must be {}, but is {}", key, name_, config::name(kind),
                              config::name(value->kind)),
                  std::move(remedy));
  return nullptr;
}

const Value* Section::table(std::string_view key) { return typed(key, Value::Kind::kTable); }

const Value* Section::list(std::string_view key, size_t most) {
  const Value* value = typed(key, Value::Kind::kArray);
  if (value == nullptr || value->items.size() <= most) return value;
  problems_.error(
      value->place,
      fmt::format("{} in {} has {} entries; at most {} are allowed", key, name_, value->items.size(), most),
      fmt::format("remove {}", value->items.size() - most));
  return nullptr;
}

// Control characters have no place in any setting, and would garble logs and command lines.
bool Section::text_is_sane(const Value& value, std::string_view key) {
  const bool control = std::any_of(value.text.begin(), value.text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) == 0x7f;
  });
  if (control) {
    problems_.error(value.place, fmt::format("{} in {} contains a control character", key, name_),
                    "write it on one line, without tabs and line breaks");
    return false;
  }
  if (value.text.empty()) {
    problems_.error(value.place, fmt::format("{} in {} is empty", key, name_),
                    "give it a value, or remove the key");
    return false;
  }
  if (value.text.size() > kMaxTextBytes) {
    problems_.error(value.place, fmt::format("{} in {} is longer than {} bytes", key, name_, kMaxTextBytes),
                    "shorten it");
    return false;
  }
  return true;
}

std::optional<Text> Section::text(std::string_view key) {
  const Value* value = typed(key, Value::Kind::kString);
  if (value == nullptr || !text_is_sane(*value, key)) return std::nullopt;
  return Text{value->text, value->place};
}

std::optional<Text> Section::required_text(std::string_view key, std::string_view example) {
  if (!has(key)) {
    known_.emplace_back(key);
    problems_.error(table_.place, fmt::format("{} lacks the key {}", name_, key),
                    fmt::format("add {} = \"{}\"", key, example));
    return std::nullopt;
  }
  return text(key);
}

std::vector<Text> Section::texts(std::string_view key, size_t most) {
  std::vector<Text> out;
  const Value* value = list(key, most);
  if (value == nullptr) return out;
  for (const Value& item : value->items) {
    if (item.kind != Value::Kind::kString) {
      problems_.error(item.place,
                      fmt::format("every entry of {} in {} must be a text in quotes, but this is {}", key,
                                  name_, config::name(item.kind)),
                      fmt::format("write {} = [\"…\", \"…\"]", key));
    } else if (text_is_sane(item, key)) {
      out.push_back({item.text, item.place});
    }
  }
  return out;
}

void Section::flag(std::string_view key, bool& target) {
  if (const Value* value = typed(key, Value::Kind::kBool)) target = value->boolean;
}

std::optional<int64_t> Section::whole_number(std::string_view key, int64_t least, int64_t most) {
  const Value* value = typed(key, Value::Kind::kInteger);
  if (value == nullptr) return std::nullopt;
  if (value->integer >= least && value->integer <= most) return value->integer;
  problems_.error(value->place, fmt::format("{} in {} is {}", key, name_, value->integer),
                  fmt::format("choose a number from {} to {}", least, most));
  return std::nullopt;
}

void Section::duration(std::string_view key, Duration& target, Duration least, Duration most) {
  const Value* value = find(key);
  if (value == nullptr) return;
  const std::string range = fmt::format("from {} to {}, with a unit: {} = \"{}\"", duration_text(least),
                                        duration_text(most), key, duration_text(target));
  if (value->kind == Value::Kind::kInteger) {
    problems_.error(value->place, fmt::format("{} in {} lacks its unit", key, name_),
                    "write a duration " + range + "; units are us, ms, s, min, h, d");
    return;
  }
  if (typed(key, Value::Kind::kString) == nullptr) return;
  const auto parsed = parse_duration(value->text);
  if (!parsed) {
    problems_.error(value->place, fmt::format("{} in {} is no duration: \"{:.40}\"", key, name_, value->text),
                    "write a duration " + range + "; units are us, ms, s, min, h, d");
  } else if (*parsed < least || *parsed > most) {
    problems_.error(value->place, fmt::format("{} in {} is {}", key, name_, value->text),
                    "choose a duration " + range);
  } else {
    target = *parsed;
  }
}

void Section::size(std::string_view key, uint64_t& target) {
  const auto value = text(key);
  if (!value) return;
  const auto parsed = parse_size(value->value);
  if (!parsed) {
    problems_.error(
        value->place, fmt::format("{} in {} is no size: \"{:.40}\"", key, name_, value->value),
        fmt::format("write a number with its unit: {} = \"10GiB\"; units are B, kB, MB, GB, TB, KiB, "
                    "MiB, GiB, TiB",
                    key));
    return;
  }
  target = *parsed;
}

void Section::bandwidth(std::string_view key, uint64_t& target) {
  const auto value = text(key);
  if (!value) return;
  const auto parsed = parse_bandwidth(value->value);
  if (!parsed || *parsed < 1024) {
    problems_.error(value->place,
                    fmt::format("{} in {} is no bandwidth: \"{:.40}\"", key, name_, value->value),
                    fmt::format("write a size of at least 1KiB per second: {} = \"1MiB/s\"", key));
    return;
  }
  target = *parsed;
}

std::optional<size_t> Section::choose(std::string_view key, const std::vector<std::string_view>& allowed) {
  const auto value = text(key);
  if (!value) return std::nullopt;
  const auto at = std::find(allowed.begin(), allowed.end(), value->value);
  if (at != allowed.end()) return static_cast<size_t>(at - allowed.begin());
  std::string words;
  for (const std::string_view word : allowed)
    words += fmt::format("{}\"{}\"", words.empty() ? "" : " or ", word);
  problems_.error(value->place, fmt::format("{} in {} cannot be \"{:.60}\"", key, name_, value->value),
                  fmt::format("write {} = {}", key, words));
  return std::nullopt;
}

const Place& Section::place(std::string_view key) const {
  const Value* value = table_.find(key);
  return value == nullptr ? table_.place : value->place;
}

void Section::finish() {
  for (const Entry& entry : table_.entries) {
    if (std::find(known_.begin(), known_.end(), entry.key) != known_.end()) continue;
    std::vector<std::string> unused;
    for (const std::string& key : known_)
      if (!has(key)) unused.push_back(key);
    const auto suggestion = nearest(entry.key, unused);
    std::sort(known_.begin(), known_.end());
    problems_.error(entry.place, fmt::format("unknown key \"{:.60}\" in {}", entry.key, name_),
                    suggestion ? fmt::format("did you mean {}?", *suggestion)
                               : fmt::format("remove it; known here: {}", listed(known_)));
  }
}

}  // namespace clusterd::config
