// An exploration as text and as JSON. Pure.
#pragma once

#include <string>

#include "whatif/explore.hpp"

namespace clusterd::whatif {

// From the worst on.
enum class Grade : uint8_t {
  kBoth,       // two nodes answered at once
  kNoService,  // a service is not there at the end
  kAssumed,    // all is served, and that nobody else serves rests on an assumption
  kServed,
};
[[nodiscard]] Grade grade_of(const Run& run);

struct Counts {
  size_t runs = 0, both = 0, no_service = 0, assumed = 0, served = 0;
};
[[nodiscard]] Counts count(const std::vector<Run>& runs);

// A line for each service that a fault alone touches; then, worst first, what ends without a service or rests
// on an assumption; then a summary. A pair is listed only if it is worse than its two faults are alone; its
// worst timing stands for it.
[[nodiscard]] std::string report_text(const Config& config, const Exploration& all);
[[nodiscard]] std::string summary_text(const Exploration& all);
// The pairs that are listed, worst first.
[[nodiscard]] std::vector<const Run*> notable_pairs(const Exploration& all);
// "serv1 loses its power + reference host 192.168.1.1 (only at once)": the run, and its pair's other timings
// that end no better.
[[nodiscard]] std::string faults_text(const Exploration& all, const Run& run);

[[nodiscard]] std::string report_json(const Config& config, const Exploration& all);

}  // namespace clusterd::whatif
