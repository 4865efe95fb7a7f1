// The flight recorder's settings: `record = "off"` before the first table, or [record] with its keys.
#include "config/draft.hpp"
#include "config/record.hpp"

namespace clusterd {

namespace config {

namespace {
constexpr uint64_t kLeastRecord = uint64_t{1} << 20U;
}

RecordConfig read_record(const Value& value, Problems& problems) {
  RecordConfig out;
  if (value.kind == Value::Kind::kString && (value.text == "on" || value.text == "off")) {
    out.on = value.text == "on";
    return out;
  }
  if (value.kind != Value::Kind::kTable) {
    problems.error(value.place, "record is neither \"on\" nor \"off\" nor a table",
                   "write record = \"off\" before the first table, or [record] with max = \"64MiB\"");
    return out;
  }
  Section section(value, "[record]", problems);
  section.size("max", out.max);
  if (out.max < kLeastRecord) {
    problems.error(section.place("max"), "max in [record] is less than 1MiB",
                   "write max = \"64MiB\", or record = \"off\" before the first table");
  }
  section.finish();
  return out;
}

}  // namespace config

RecordConfig record_config(const ConfigTexts& texts) {
  const auto text = texts.find("cluster.toml");
  if (text == texts.end()) return {};
  const auto root = config::parse_toml(text->second, "cluster.toml");
  const config::Value* value = root ? root->find("record") : nullptr;
  config::Problems unheard;
  return value != nullptr ? config::read_record(*value, unheard) : RecordConfig{};
}

}  // namespace clusterd
