#include "config/problems.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace clusterd {

std::string describe(const ConfigProblem& problem) {
  std::string where = problem.file;
  if (problem.line > 0) where += fmt::format(":{}:{}", problem.line, problem.column);
  if (problem.remedy.empty()) return fmt::format("{}: {}", where, problem.text);
  return fmt::format("{}: {}\n    remedy: {}", where, problem.text, problem.remedy);
}

namespace config {

namespace {

std::vector<ConfigProblem> in_order(std::vector<ConfigProblem> problems) {
  std::stable_sort(problems.begin(), problems.end());
  problems.erase(std::unique(problems.begin(), problems.end()), problems.end());
  return problems;
}

}  // namespace

std::string Place::brief() const {
  const size_t slash = file.rfind('/');
  return fmt::format("{}:{}", slash == std::string::npos ? file : file.substr(slash + 1), line);
}

void Problems::error(const Place& place, std::string text, std::string remedy) {
  errors_.push_back({place.file, place.line, place.column, std::move(text), std::move(remedy)});
}

void Problems::warning(const Place& place, std::string text, std::string remedy) {
  warnings_.push_back({place.file, place.line, place.column, std::move(text), std::move(remedy)});
}

std::vector<ConfigProblem> Problems::take_errors() { return in_order(std::exchange(errors_, {})); }
std::vector<ConfigProblem> Problems::take_warnings() { return in_order(std::exchange(warnings_, {})); }

}  // namespace config
}  // namespace clusterd
