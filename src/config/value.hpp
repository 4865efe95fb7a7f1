// A parsed TOML file as a plain tree: keeps the slow-to-compile parser out of every file but toml.cpp.
// Internal to src/config.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "config/problems.hpp"

namespace clusterd::config {

struct Entry;

struct Value {
  // kOther is whatever no setting of ours can be: dates, times, fractions.
  enum class Kind : uint8_t { kString, kInteger, kBool, kArray, kTable, kOther };
  Kind kind = Kind::kOther;
  Place place;
  std::string text;            // kString
  int64_t integer = 0;         // kInteger
  bool boolean = false;        // kBool
  std::vector<Value> items;    // kArray
  std::vector<Entry> entries;  // kTable, sorted by key

  [[nodiscard]] const Value* find(std::string_view key) const;  // kTable
};

struct Entry {
  std::string key;
  Place place;  // of the key
  Value value;
};

// "text", "whole number", …: how a message calls a kind.
[[nodiscard]] const char* name(Value::Kind kind);

// The file's root table, or what is wrong with its syntax. `file` only goes into the places.
[[nodiscard]] tl::expected<Value, ConfigProblem> parse_toml(std::string_view content,
                                                            const std::string& file);

}  // namespace clusterd::config
