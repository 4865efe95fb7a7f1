// Which files a systemd unit consists of and which programs it executes, asked of systemd. Blocks, for at
// most ten seconds per question: not for the daemon, which has SystemdBus.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.hpp"

struct sd_bus;

namespace clusterd::alike {

struct UnitFiles {
  std::string load;                   // "loaded", "not-found", "masked", …
  std::string fragment, source;       // paths; empty: it has none. `source`: of what a generator has made
  std::vector<std::string> drop_ins;  // paths
  struct Program {
    std::string path;
    bool may_fail = false;  // "-" stands before it
  };
  std::vector<Program> programs;  // of ExecStartPre, ExecStart and ExecStartPost
};

class SystemdFiles {
 public:
  // Whether systemd runs this machine.
  [[nodiscard]] static bool there();

  // kRetry: systemd was not reached; the next call tries again.
  [[nodiscard]] Result<UnitFiles> of(const std::string& unit);

 private:
  struct Close {
    void operator()(sd_bus* bus) const;
  };
  std::unique_ptr<sd_bus, Close> bus_;
};

}  // namespace clusterd::alike
