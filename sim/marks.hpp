// The file of reached marks: one line "NAME COUNT" for each mark that was reached, appended. Several programs
// may write to one file; tests/marks adds the lines up.
#pragma once

#include <fstream>
#include <string>

#include "base/mark.hpp"

namespace clusterd::sim {

// The marks of the calling thread. False if the file cannot be written.
[[nodiscard]] inline bool append_marks(const std::string& file) {
  std::ofstream out(file, std::ios::app);
  const auto& counts = mark_counts();
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts.at(i) > 0) out << kMarkNames.at(i) << ' ' << counts.at(i) << '\n';
  }
  out.flush();
  return static_cast<bool>(out);
}

}  // namespace clusterd::sim
