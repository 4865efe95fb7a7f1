// Reading JSON that may lack anything: every access has an answer.
#pragma once

#include <boost/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "ctl/table.hpp"

namespace clusterd::ctl {

class View {
 public:
  View() = default;
  explicit View(const boost::json::value* value) : value_(value) {}

  [[nodiscard]] View operator[](std::string_view key) const {
    if (value_ == nullptr || !value_->is_object()) return View();
    return View(value_->get_object().if_contains({key.data(), key.size()}));
  }
  [[nodiscard]] boost::json::value value() const { return value_ ? *value_ : boost::json::value(); }
  [[nodiscard]] bool known() const { return value_ != nullptr && !value_->is_null(); }
  [[nodiscard]] bool yes() const { return value_ != nullptr && value_->is_bool() && value_->get_bool(); }
  [[nodiscard]] std::string text(std::string_view otherwise = "") const {
    if (value_ == nullptr || !value_->is_string()) return std::string(otherwise);
    return std::string(value_->get_string());
  }
  [[nodiscard]] std::optional<double> number() const {
    if (value_ == nullptr || !value_->is_number()) return std::nullopt;
    if (value_->is_int64()) return static_cast<double>(value_->get_int64());
    if (value_->is_uint64()) return static_cast<double>(value_->get_uint64());
    return value_->get_double();
  }
  [[nodiscard]] uint64_t count() const {
    if (value_ != nullptr && value_->is_uint64()) return value_->get_uint64();
    if (value_ != nullptr && value_->is_int64()) {
      return value_->get_int64() > 0 ? static_cast<uint64_t>(value_->get_int64()) : 0;
    }
    const auto n = number();
    if (!n || !(*n > 0)) return 0;
    // What no 64 bits hold is shown as the most that they do.
    constexpr double kTooMuch = 18446744073709551616.0;
    return *n < kTooMuch ? static_cast<uint64_t>(*n) : UINT64_MAX;
  }
  template <class Visit>
  void each(Visit visit) const {  // elements of an array
    if (value_ == nullptr || !value_->is_array()) return;
    for (const auto& element : value_->get_array()) visit(View(&element));
  }
  template <class Visit>
  void members(Visit visit) const {  // of an object, in its order
    if (value_ == nullptr || !value_->is_object()) return;
    for (const auto& member : value_->get_object()) {
      visit(std::string(member.key().data(), member.key().size()), View(&member.value()));
    }
  }

 private:
  const boost::json::value* value_ = nullptr;
};

// Fit for a terminal.
[[nodiscard]] inline std::string clean(View text, std::string_view otherwise = "") {
  return printable(text.text(otherwise));
}

// Null for what is not JSON.
[[nodiscard]] inline boost::json::value parse_or_null(const std::string& text) {
  boost::json::error_code error;
  boost::json::value value = boost::json::parse(text, error);
  return error ? boost::json::value() : value;
}

}  // namespace clusterd::ctl
