// Reads /etc/cluster.d into a validated, immutable `Config`.
//
// Layout: `cluster.toml` and one `services/NAME.toml` per service; docs/configuration.md is the reference of
// every key. All problems of all files are collected and returned at once, each with its file, line, column
// and remedy; there is no partly valid configuration. Warnings never prevent loading.
//
// Every byte of the files is taken as hostile: sizes, counts, depths and lengths are limited, and nothing
// here throws. No name is ever looked up in DNS. The secret file is not read, only its path is checked.
//
// Reads files, so it blocks: called once at start and by `clusterctl check`, never by a running reactor.
#pragma once

#include <map>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "core/config.hpp"

namespace clusterd {

struct ConfigProblem {
  std::string file;  // full path
  int line = 0;      // from 1; 0 = the problem is with the whole file
  int column = 0;
  std::string text;    // what is wrong
  std::string remedy;  // what to do about it
  auto operator<=>(const ConfigProblem&) const = default;
};

// For tools to which it makes no difference which node they are.
inline constexpr const char* kAnyNode = "*";

// The content of the files by their names within the folder: "cluster.toml", "services/web.toml".
using ConfigTexts = std::map<std::string, std::string>;

// `self_name` is this node's name, one of the [node.NAME] tables, or kAnyNode. `warnings`, where given,
// receives what is allowed but probably not meant (no reference host, a stray file, …), whether or not
// loading succeeds. `texts`, where given, receives what was read, as it was read.
[[nodiscard]] tl::expected<Config, std::vector<ConfigProblem>> load_config(
    const std::string& dir, const std::string& self_name, std::vector<ConfigProblem>* warnings = nullptr,
    ConfigTexts* texts = nullptr);

// The same for texts instead of files; opens nothing. `dir` is where they are said to stand: it goes into the
// places of problems and into the secret's path.
[[nodiscard]] tl::expected<Config, std::vector<ConfigProblem>> parse_config(
    const ConfigTexts& texts, const std::string& dir, const std::string& self_name,
    std::vector<ConfigProblem>* warnings = nullptr);

// Adapts the configuration to a node without a gate: a second more for the window and for the gate's latency,
// still satisfying the inequality of S2; and another hash.
void lengthen_window_without_gate(Config& config);

// "/etc/cluster.d/cluster.toml:4:11: what is wrong\n    remedy: what to do"
[[nodiscard]] std::string describe(const ConfigProblem& problem);

// Limits of a configuration directory, beside those of core/config.hpp.
inline constexpr size_t kMaxConfigFileBytes = 1024 * 1024;
inline constexpr size_t kMaxConfigFiles = 1000;

}  // namespace clusterd
