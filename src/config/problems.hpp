// Where things stand in the files, and the collection of everything that is wrong with them. Internal to
// src/config.
#pragma once

#include <string>
#include <vector>

#include "config/load.hpp"

namespace clusterd::config {

// A position in a file of the configuration directory.
struct Place {
  std::string file;
  int line = 0;
  int column = 0;

  // "cluster.toml:12" or, from within the same folder, "web.toml:3": short, for use inside a message.
  [[nodiscard]] std::string brief() const;
};

class Problems {
 public:
  void error(const Place& place, std::string text, std::string remedy);
  void warning(const Place& place, std::string text, std::string remedy);

  [[nodiscard]] bool any() const { return !errors_.empty(); }
  [[nodiscard]] size_t count() const { return errors_.size(); }
  // Both in the order of the files and lines, without repetitions.
  [[nodiscard]] std::vector<ConfigProblem> take_errors();
  [[nodiscard]] std::vector<ConfigProblem> take_warnings();

 private:
  std::vector<ConfigProblem> errors_, warnings_;
};

}  // namespace clusterd::config
