// The daemon's child clusterd-config, which keeps the versions of the configuration (docs/decisions/0012).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "linux/event_loop.hpp"

namespace clusterd {

// Runs, and is started again when it ends, until the handle is gone. `words`: the program and its arguments.
[[nodiscard]] std::shared_ptr<void> run_config_child(EventLoop& loop, std::vector<std::string> words);

}  // namespace clusterd
