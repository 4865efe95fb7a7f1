// The flight recorder: every step of the node, in rotated files under STATE_DIR/record (format:
// record/format.hpp).
//
// Costs. The reactor's thread encodes a step into memory (about a microsecond), and now and then hands a
// block to the recorder's own thread, which compresses and writes it at ordinary priority. The reactor never
// waits: if the thread is behind by kMaxWaiting bytes, blocks are dropped.
//
// Losses. What was dropped stands in the recording as a gap with the number of steps, followed by a snapshot
// of the node, from which a replay goes on. If a file cannot be written (or less than kLeastFree would be
// left on the disk), recording pauses, the log says so once, and every kRetry a new file is tried, whose head
// says how many steps are missing and why. Nothing is synced to disk: a loss of power takes the last seconds
// with it.
//
// Room. A file is closed at an eighth of `max_bytes`; the next one begins with a snapshot. The oldest files
// go, so that all together stay within `max_bytes`, across all lives of the daemon. Names:
// 000012-20261122T204500Z.rec; the number grows, the time is for people.
//
// When a block is written: at 64 KiB; a second after something worth noting; at the latest after ten seconds.
//
// Threading: the event loop's thread, but for `say`, which is called on the recorder's own.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "record/file.hpp"
#include "record/step_recorder.hpp"

namespace clusterd {

struct RecorderOptions {
  std::string folder;
  uint64_t max_bytes = 0;
  record::Head head;  // without times, snapshot and what the recorder knows itself
};

class Recorder final : public StepRecorder {
 public:
  static constexpr size_t kMaxWaiting = size_t{4} << 20U;
  static constexpr uint64_t kLeastFree = uint64_t{16} << 20U;
  static constexpr Duration kRetry = std::chrono::seconds(10);

  using TakeSnapshot = std::function<std::vector<uint8_t>()>;
  using Wall = std::function<WallTime()>;
  using Say = std::function<void(Severity, const std::string&)>;

  Recorder(RecorderOptions options, TakeSnapshot snapshot, Wall wall, Say say);
  // Writes what is there, and gives that a second: a disk that hangs does not hold the daemon back.
  ~Recorder() override;
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  void event(Instant now, const Event& event) override;
  void outcome(const Actions& actions) override;

  // Hands over what is in memory now.
  void flush();
  // The process is about to end by abort(): writes what is there, the step included in which it happened, and
  // gives that kLastWords. Called from a signal handler, although it allocates: whoever calls it sees to it
  // that a deadlock ends the process, too.
  void last_words();
  static constexpr std::chrono::milliseconds kLastWords{300};

  // For tests: until all that was handed over has been dealt with.
  void wait();

 private:
  struct Shared;
  void begin_part();
  void begin_block();

  RecorderOptions options_;
  TakeSnapshot snapshot_;
  Wall wall_;
  std::shared_ptr<Shared> shared_;
  record::ItemWriter items_;
  Instant now_{};
  Instant block_began_{};
  Instant retry_at_ = kLongAgo;
  bool started_ = false;
  bool noteworthy_ = false;
  bool in_step_ = false;
  size_t step_at_ = 0;      // where the present step begins in the block
  bool too_large_ = false;  // the block holds a step that no reader would take
  uint64_t lost_ = 0;       // steps since the last block that was handed over
};

}  // namespace clusterd
