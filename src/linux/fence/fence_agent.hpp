// One call of a fence agent: the standard interface of the Debian package fence-agents.
//
//   stdin    "action=off" and one "name=value" per line
//   action   off, status, monitor, …
//   exit     0: done (`status`: the machine is on); 2: `status` says off; 1 and all else: an error
//
// An agent that does not end within its timeout is killed with its process group, and that is an error too.
// What it prints is kept for the administrator, without the values of parameters that may be passwords.
//
// Event loop's thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/config.hpp"
#include "linux/event_loop.hpp"
#include "linux/units/process.hpp"

namespace clusterd {

struct AgentAnswer {
  bool done = false;  // exit code 0
  bool off = false;   // exit code 2: of `status` only
  std::string text;   // for people
};

using AgentDone = std::function<void(const AgentAnswer&)>;

// Calls back once, unless the child is destroyed before: then the agent is killed.
[[nodiscard]] std::unique_ptr<ChildProcess> run_agent(EventLoop& loop, const FenceConfig& config,
                                                      const std::string& action, AgentDone done);

// What the agent reads.
[[nodiscard]] std::string agent_input(const FenceConfig& config, const std::string& action);
// The text with "***" for each value that may be a password; nothing of it where such a value is too short
// to be found for certain.
[[nodiscard]] std::string without_secrets(const FenceConfig& config, std::string text);

}  // namespace clusterd
