// The files of the flight recorder in their folder: numbered, bounded all together. Internal to this folder.
// Not thread-safe; blocks on the disk.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"
#include "linux/fd.hpp"

namespace clusterd {

class PartFiles {
 public:
  PartFiles(std::string folder, uint64_t max_bytes, uint64_t least_free);

  // Closes the present file and begins the next one with these bytes. Makes room first.
  Result<void> begin(std::span<const uint8_t> bytes, WallTime wall);
  // All or nothing: what was written of it in vain is cut off again, and the file is closed.
  Result<void> append(std::span<const uint8_t> bytes);
  // The present file has its share; the next block should begin another one.
  [[nodiscard]] bool full() const { return size_ >= share_; }

 private:
  Result<void> make_room(size_t bytes);
  std::string folder_;
  uint64_t max_bytes_;
  uint64_t least_free_;
  uint64_t share_;
  std::string file_;
  Fd fd_;
  uint64_t size_ = 0;
};

// Runs `work` on a thread of its own: ordinary priority whatever the caller has, a little nice, no signals.
void start_quiet_thread(std::function<void()> work);

}  // namespace clusterd
