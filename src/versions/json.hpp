// JSON as versions and messages about them are written. Internal to src/versions and src/keep: whatever was
// read is of the kind that is asked for, or empty.
#pragma once

#include <boost/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "versions/record.hpp"

namespace clusterd::versions {

namespace json = boost::json;

inline constexpr uint64_t kMaxNumber = 1'000'000'000;  // of versions
inline constexpr size_t kMaxText = 4096;               // of a text that is no file

class Members {
 public:
  explicit Members(const json::value& value) : object_(value.if_object()) {}

  [[nodiscard]] bool has(std::string_view key) const { return object_ != nullptr && object_->contains(key); }
  [[nodiscard]] const json::value& at(std::string_view key) const {
    static const json::value kNothing;
    const json::value* found = object_ == nullptr ? nullptr : object_->if_contains(key);
    return found == nullptr ? kNothing : *found;
  }
  [[nodiscard]] std::string text(std::string_view key) const {
    const json::string* found = at(key).if_string();
    return found == nullptr ? "" : std::string(found->data(), std::min(found->size(), kMaxText));
  }
  [[nodiscard]] int64_t number(std::string_view key) const {
    const json::value& value = at(key);
    if (value.is_int64()) return value.get_int64();
    return value.is_uint64() ? INT64_MAX : 0;
  }
  [[nodiscard]] uint64_t unsigned_number(std::string_view key) const {
    const json::value& value = at(key);
    if (value.is_uint64()) return value.get_uint64();
    return value.is_int64() && value.get_int64() > 0 ? static_cast<uint64_t>(value.get_int64()) : 0;
  }
  [[nodiscard]] bool yes(std::string_view key) const { return at(key).is_bool() && at(key).get_bool(); }

 private:
  const json::object* object_;
};

[[nodiscard]] inline std::optional<json::value> parsed(const std::string& text) {
  json::error_code error;
  json::parse_options options;
  options.max_depth = 8;
  json::value value = json::parse(text, error, {}, options);
  if (error || !value.is_object()) return std::nullopt;
  return value;
}

[[nodiscard]] json::object object_of(const Version& version);
[[nodiscard]] std::optional<Version> version_from(const json::value& value);

}  // namespace clusterd::versions
