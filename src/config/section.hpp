// One table of a file being read: asks for keys by name and type, reports what does not fit, and, at the end,
// the keys that nobody asked for. Internal to src/config.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.hpp"
#include "config/problems.hpp"
#include "config/value.hpp"

namespace clusterd::config {

// A text and where it stands.
struct Text {
  std::string value;
  Place place;
};

inline constexpr size_t kMaxTextBytes = 4096;

class Section {
 public:
  // `name` is how messages call the table: "[cluster]". `table` must be of kind kTable and outlive the
  // section.
  Section(const Value& table, std::string name, Problems& problems);

  // Each of these marks the key as known. An absent key gives nullopt (or leaves the target alone) without a
  // problem; a present one of the wrong type or outside the limits is a problem, and nullopt.
  const Value* find(std::string_view key);
  const Value* table(std::string_view key);
  const Value* list(std::string_view key, size_t most);
  std::optional<Text> text(std::string_view key);
  std::vector<Text> texts(std::string_view key, size_t most);
  void flag(std::string_view key, bool& target);
  template <class Number>
  void number(std::string_view key, Number& target, int64_t least, int64_t most) {
    if (const auto value = whole_number(key, least, most)) target = static_cast<Number>(*value);
  }
  void duration(std::string_view key, Duration& target, Duration least, Duration most);
  void size(std::string_view key, uint64_t& target);
  void bandwidth(std::string_view key, uint64_t& target);
  // One of a few words: reports the words that are allowed.
  template <class Enum>
  void choice(std::string_view key, Enum& target,
              const std::vector<std::pair<std::string_view, Enum>>& words) {
    std::vector<std::string_view> allowed;
    for (const auto& [word, unused] : words) allowed.push_back(word);
    if (const auto index = choose(key, allowed)) target = words.at(*index).second;
  }

  // As text(), and a problem where the key is absent; `example` goes into the remedy.
  std::optional<Text> required_text(std::string_view key, std::string_view example);

  // Where the key's value stands, or the table itself where the key is absent.
  [[nodiscard]] const Place& place(std::string_view key) const;
  [[nodiscard]] const Place& place() const { return table_.place; }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] bool has(std::string_view key) const { return table_.find(key) != nullptr; }

  // Reports every key that was never asked for, with the nearest one that was.
  void finish();

 private:
  std::optional<int64_t> whole_number(std::string_view key, int64_t least, int64_t most);
  std::optional<size_t> choose(std::string_view key, const std::vector<std::string_view>& allowed);
  const Value* typed(std::string_view key, Value::Kind kind);
  bool text_is_sane(const Value& value, std::string_view key);

  const Value& table_;
  std::string name_;
  Problems& problems_;
  std::vector<std::string> known_;
};

// The candidate that a typing mistake away, or nullopt where none is near.
[[nodiscard]] std::optional<std::string> nearest(std::string_view word,
                                                 const std::vector<std::string>& candidates);

// "a, b and c"
[[nodiscard]] std::string listed(const std::vector<std::string>& words);

}  // namespace clusterd::config
