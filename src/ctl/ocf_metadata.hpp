// What a resource agent says of itself (`meta-data`, API 1.0 and 1.1), and what it means for a unit.
//
// The XML comes from a program and is taken as hostile: its size, the number of its elements and the length
// of its texts are limited, entities of a DTD are not expanded, and what is not understood is passed over.
// Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "core/config.hpp"
#include "ctl/findings.hpp"

namespace clusterd::ctl {

struct OcfParameter {
  std::string name;
  std::string text;                  // the short description
  std::string type;                  // "string", "integer", "boolean", "select", …; empty = not said
  std::vector<std::string> choices;  // of a select
  bool required = false;
  bool deprecated = false;
  std::string replaced_with;
};

struct OcfMetadata {
  std::string name, text;
  std::vector<OcfParameter> parameters;
  std::map<std::string, Duration> timeouts;  // per action, the least that the agent advises
  std::vector<unsigned> depths;              // of its monitors

  [[nodiscard]] const OcfParameter* parameter(std::string_view wanted) const;
};

inline constexpr size_t kMaxMetadataBytes = 1024 * 1024;

// The error says what is wrong with the XML.
[[nodiscard]] tl::expected<OcfMetadata, std::string> parse_ocf_metadata(std::string_view xml);

// "20", "20s", "500ms", "1min": a time as agents write it; without a unit, seconds.
[[nodiscard]] std::optional<Duration> parse_ocf_time(std::string_view text);

// What is wrong with a unit, as far as its agent's metadata can show it. `file` is where it is configured,
// for the remedies.
[[nodiscard]] std::vector<Finding> judge_ocf(const UnitConfig& unit, const OcfMetadata& metadata,
                                             const std::string& topic, const std::string& file);

}  // namespace clusterd::ctl
