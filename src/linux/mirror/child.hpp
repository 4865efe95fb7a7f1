// Runs one program and waits for it, with its output line by line: for the mirror process, whose threads may
// block.
#pragma once

#include <sys/types.h>

#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace clusterd {

// Lets another thread end whatever a run is doing. Thread-safe.
class RunControl {
 public:
  void cancel();  // kills the child's process group, now and for every child to come
  [[nodiscard]] bool cancelled() const;

 private:
  friend Result<int> run_child(const std::vector<std::string>&, RunControl&,
                               const std::function<void(std::string_view)>&,
                               const std::function<void(std::string_view)>&);
  mutable std::mutex mutex_;
  bool cancelled_ = false;
  pid_t group_ = 0;
};

// The exit code (128 + signal for a child that was killed). The child leads its own process group, gets no
// input, and is terminated if the calling thread ends.
Result<int> run_child(const std::vector<std::string>& arguments, RunControl& control,
                      const std::function<void(std::string_view)>& on_output,
                      const std::function<void(std::string_view)>& on_error);

}  // namespace clusterd
