// What a resource agent says of itself: XML from a program.
#include "ctl/ocf_metadata.hpp"
#include "targets.hpp"

namespace clusterd::fuzz {

void fuzz_ocf(Bytes input) {
  const std::string_view text = text_of(input);
  if (const auto time = ctl::parse_ocf_time(text)) require(time->count() >= 0, "no time before now");
  const auto metadata = ctl::parse_ocf_metadata(text);
  if (!metadata) {
    require(!metadata.error().empty(), "a refusal says why");
    return;
  }
  for (const auto& parameter : metadata->parameters) {
    require(metadata->parameter(parameter.name) != nullptr, "a parameter is found by its name");
  }
  UnitConfig unit;
  unit.kind = UnitConfig::Kind::kOcf;
  unit.name = "thing";
  for (const auto& finding : ctl::judge_ocf(unit, *metadata, "web", "web.toml"))
    require(!finding.text.empty(), "a finding has words");
}

}  // namespace clusterd::fuzz
