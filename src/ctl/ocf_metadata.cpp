#include "ctl/ocf_metadata.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <pugixml.hpp>

#include "config/scalar.hpp"
#include "config/section.hpp"
#include "ctl/table.hpp"

namespace clusterd::ctl {

namespace {

constexpr size_t kMaxElements = 1000;
constexpr size_t kMaxText = 200;

bool is_true(std::string_view text) {
  return text == "1" || text == "true" || text == "yes" || text == "on" || text == "True" || text == "TRUE";
}

std::string plain(const char* text) {
  std::string out = printable(std::string(text).substr(0, kMaxText));
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

OcfParameter parameter_from(const pugi::xml_node& node) {
  OcfParameter parameter;
  parameter.name = plain(node.attribute("name").value());
  parameter.text = plain(node.child("shortdesc").text().get());
  parameter.required = is_true(node.attribute("required").value());
  const pugi::xml_node deprecated = node.child("deprecated");
  parameter.deprecated = deprecated || is_true(node.attribute("deprecated").value());
  parameter.replaced_with = plain(deprecated.child("replaced-with").attribute("name").value());
  const pugi::xml_node content = node.child("content");
  parameter.type = plain(content.attribute("type").value());
  for (const pugi::xml_node& option : content.children("option")) {
    if (parameter.choices.size() < kMaxElements)
      parameter.choices.push_back(plain(option.attribute("value").value()));
  }
  return parameter;
}

void add_action(const pugi::xml_node& node, OcfMetadata& metadata) {
  const std::string action = plain(node.attribute("name").value());
  if (const auto timeout = parse_ocf_time(node.attribute("timeout").value())) {
    Duration& known = metadata.timeouts[action];
    known = std::max(known, *timeout);
  }
  if (action != "monitor") return;
  const pugi::xml_attribute depth =
      node.attribute("depth") ? node.attribute("depth") : node.attribute("OCF_CHECK_LEVEL");
  if (metadata.depths.size() < kMaxElements) metadata.depths.push_back(depth.as_uint(0));
}

bool is_integer(std::string_view text) {
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) text.remove_prefix(1);
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_boolean(std::string_view text) {
  for (const char* word : {"0", "1", "true", "false", "yes", "no", "on", "off", "True", "False", "TRUE",
                           "FALSE", "YES", "NO", "ON", "OFF"}) {
    if (text == word) return true;
  }
  return false;
}

class Judge {
 public:
  Judge(const UnitConfig& unit, const OcfMetadata& metadata, std::string topic, const std::string& file)
      : unit_(unit), metadata_(metadata), topic_(std::move(topic)), file_(file) {}

  std::vector<Finding> all() {
    for (const auto& [name, value] : unit_.ocf.parameters) given(name, value);
    for (const OcfParameter& parameter : metadata_.parameters) {
      if (parameter.required && !parameter.deprecated && !unit_.ocf.parameters.contains(parameter.name))
        add(Level::kError, fmt::format("lacks the parameter {}{}", parameter.name, explained(parameter)),
            fmt::format("add {} = \"…\" to its parameters in {}", parameter.name, file_));
    }
    timeout("start", "start_timeout", unit_.start_timeout);
    timeout("stop", "stop_timeout", unit_.stop_timeout);
    timeout("monitor", "monitor_timeout", unit_.ocf.monitor_timeout);
    const auto& depths = metadata_.depths;
    const unsigned depth = unit_.ocf.monitor_depth;
    if (depth != 0 && std::find(depths.begin(), depths.end(), depth) == depths.end())
      add(Level::kWarning, fmt::format("has monitor_depth = {}, which its agent does not mention", depth),
          fmt::format("look at `{}` whether it knows it, or remove the key", manual()));
    return std::move(findings_);
  }

 private:
  void add(Level level, const std::string& text, std::string remedy) {
    findings_.push_back({level, topic_, fmt::format("{} ({}) {}", unit_.name, unit_.ocf.text(), text),
                         std::move(remedy), ""});
  }
  static std::string explained(const OcfParameter& parameter) {
    return parameter.text.empty() ? "" : " (" + parameter.text + ")";
  }
  [[nodiscard]] std::string manual() const { return "man ocf_" + unit_.ocf.provider + "_" + unit_.ocf.type; }

  void given(const std::string& name, const std::string& value) {
    if (name == "trace_ra" || name == "trace_file") return;  // every agent has them, and none says so
    const OcfParameter* known = metadata_.parameter(name);
    if (known == nullptr) {
      std::vector<std::string> names;
      for (const OcfParameter& parameter : metadata_.parameters) names.push_back(parameter.name);
      const auto near = config::nearest(name, names);
      return add(Level::kError, fmt::format("has no parameter {}", name),
                 near ? fmt::format("did you mean {}?", *near)
                      : fmt::format("its parameters: {}",
                                    names.empty() ? std::string("none") : config::listed(names)));
    }
    if (known->deprecated)
      add(Level::kWarning, fmt::format("is given {}, which is deprecated", name),
          known->replaced_with.empty() ? fmt::format("`{}` says why", manual())
                                       : fmt::format("write {} instead", known->replaced_with));
    // Agents are not strict with their own types, so neither is this.
    if (known->type == "integer" && !is_integer(value)) {
      add(Level::kWarning, fmt::format("expects a whole number for {}", name),
          fmt::format("write {} = 3, or whatever it is", name));
    } else if (known->type == "boolean" && !is_boolean(value)) {
      add(Level::kWarning, fmt::format("expects true or false for {}", name),
          fmt::format("write {0} = true or {0} = false", name));
    } else if (known->type == "select" && !known->choices.empty() &&
               std::find(known->choices.begin(), known->choices.end(), value) == known->choices.end()) {
      add(Level::kWarning, fmt::format("does not know this value of {}", name),
          fmt::format("its values: {}", config::listed(known->choices)));
    }
  }

  void timeout(const std::string& action, const std::string& key, Duration configured) {
    const auto advised = metadata_.timeouts.find(action);
    if (advised == metadata_.timeouts.end() || configured >= advised->second) return;
    add(Level::kWarning,
        fmt::format("has {} = {}, and its agent advises {}", key, config::duration_text(configured),
                    config::duration_text(advised->second)),
        fmt::format("write {} = \"{}\" in {}", key, config::duration_text(advised->second), file_));
  }

  const UnitConfig& unit_;
  const OcfMetadata& metadata_;
  const std::string topic_;
  const std::string& file_;
  std::vector<Finding> findings_;
};

}  // namespace

const OcfParameter* OcfMetadata::parameter(std::string_view wanted) const {
  const auto at = std::find_if(parameters.begin(), parameters.end(),
                               [&](const OcfParameter& parameter) { return parameter.name == wanted; });
  return at == parameters.end() ? nullptr : &*at;
}

std::optional<Duration> parse_ocf_time(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  std::string_view unit = text.substr(static_cast<size_t>(end - text.data()));
  while (!unit.empty() && unit.back() == ' ') unit.remove_suffix(1);
  if (number > 1000000000) return std::nullopt;
  if (unit == "ms" || unit == "msec") return std::chrono::milliseconds(number);
  if (unit.empty() || unit == "s" || unit == "sec") return std::chrono::seconds(number);
  if (unit == "m" || unit == "min") return std::chrono::minutes(number % 1000000);
  if (unit == "h" || unit == "hr") return std::chrono::hours(number % 100000);
  return std::nullopt;
}

tl::expected<OcfMetadata, std::string> parse_ocf_metadata(std::string_view xml) {
  if (xml.size() > kMaxMetadataBytes) return tl::unexpected(std::string("it is longer than 1 MiB"));
  pugi::xml_document document;
  const pugi::xml_parse_result parsed = document.load_buffer(xml.data(), xml.size());
  if (!parsed)
    return tl::unexpected(fmt::format("byte {} of the XML: {}", parsed.offset, parsed.description()));
  const pugi::xml_node agent = document.child("resource-agent");
  if (!agent) return tl::unexpected(std::string("the XML has no resource-agent"));
  OcfMetadata metadata;
  metadata.name = plain(agent.attribute("name").value());
  metadata.text = plain(agent.child("shortdesc").text().get());
  for (const pugi::xml_node& node : agent.child("parameters").children("parameter")) {
    if (metadata.parameters.size() < kMaxElements) metadata.parameters.push_back(parameter_from(node));
  }
  size_t actions = 0;
  for (const pugi::xml_node& node : agent.child("actions").children("action")) {
    if (++actions <= kMaxElements) add_action(node, metadata);
  }
  return metadata;
}

std::vector<Finding> judge_ocf(const UnitConfig& unit, const OcfMetadata& metadata, const std::string& topic,
                               const std::string& file) {
  return Judge(unit, metadata, topic, file).all();
}

}  // namespace clusterd::ctl
