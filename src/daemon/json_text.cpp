#include "daemon/json_text.hpp"

#include <fmt/format.h>

#include <cmath>

namespace clusterd {

namespace json = boost::json;

namespace {

void write(const json::value& value, std::string& out) {
  if (value.is_object()) {
    char between = '{';
    for (const auto& member : value.get_object()) {
      out += between;
      out += json::serialize(json::string(member.key())) + ":";
      write(member.value(), out);
      between = ',';
    }
    out += between == '{' ? "{}" : "}";
  } else if (value.is_array()) {
    char between = '[';
    for (const json::value& element : value.get_array()) {
      out += between;
      write(element, out);
      between = ',';
    }
    out += between == '[' ? "[]" : "]";
  } else if (value.is_double()) {
    // JSON knows neither infinity nor "not a number".
    out += std::isfinite(value.get_double()) ? fmt::format("{}", value.get_double()) : "null";
  } else {
    out += json::serialize(value);
  }
}

}  // namespace

std::string json_text(const json::value& value) {
  std::string out;
  write(value, out);
  return out;
}

}  // namespace clusterd
