// Running other programs and asking the peer over ssh. Blocks; for clusterctl only.
#pragma once

#include <string>
#include <vector>

#include "core/config.hpp"

namespace clusterd::ctl {

struct Ran {
  int code = -1;       // exit code; 127 = could not be started; 128 + n = ended by signal n
  std::string output;  // stdout, when it was captured; at most 4 MiB
};

// Runs argv[0] (looked up in PATH). With `capture` its output is kept and stderr dropped, otherwise both go
// where ours go.
[[nodiscard]] Ran run_program(const std::vector<std::string>& argv, bool capture);

// Whether a program is found, in PATH and in the folders of system programs.
[[nodiscard]] bool program_exists(const std::string& name);

// systemctl's word for a unit's start at boot: "enabled", "disabled", "not-found", …; empty if it gives none.
[[nodiscard]] std::string unit_file_state(const std::string& unit);

// The ssh command for the peer at its address on `link`, without a command to run there.
[[nodiscard]] std::vector<std::string> ssh_argv(const Config& config, LinkId link);

// One argument for the shell at the other end of ssh.
[[nodiscard]] std::string quoted(const std::string& argument);

// Runs `clusterctl arguments…` on the peer, by the first link that leads there: private links first, then the
// ones that carry service addresses. Exit code 255: no link led there.
[[nodiscard]] Ran run_on_peer(const Config& config, const std::vector<std::string>& arguments, bool capture);

}  // namespace clusterd::ctl
