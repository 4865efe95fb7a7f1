#include "linux/record/recorder.hpp"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "base/version.hpp"
#include "linux/record/part_files.hpp"

namespace clusterd {

namespace {

constexpr size_t kFullBlock = size_t{64} * 1024;
constexpr Duration kSoon = std::chrono::seconds(1);
constexpr Duration kLatest = std::chrono::seconds(10);

// What happens all the time when nothing happens.
bool is_routine(const Event& event) {
  return std::holds_alternative<HeartbeatReceived>(event) || std::holds_alternative<Tick>(event) ||
         std::holds_alternative<SignOfLife>(event) || std::holds_alternative<ProbeAnswered>(event);
}

}  // namespace

// Shared with the thread, which may outlive the recorder when the disk hangs for good.
struct Recorder::Shared {
  struct Job {
    std::optional<record::Head> new_part;
    std::vector<uint8_t> block;
    uint64_t steps = 0;
  };
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Job> jobs;
  size_t waiting = 0;  // bytes in `jobs`
  bool busy = false;
  bool closing = false;
  bool done = false;
  // What the thread tells the recorder.
  bool part_full = false;
  bool broken = false;
  uint64_t lost = 0;  // steps of blocks that could not be written
  std::string why;

  void push(Job job) {
    const std::lock_guard lock(mutex);
    waiting += job.block.size();
    jobs.push_back(std::move(job));
    changed.notify_all();
  }
};

namespace {

// The thread's work: one job after the other.
class Writer {
 public:
  Writer(PartFiles files, Recorder::Say say) : files_(std::move(files)), say_(std::move(say)) {}

  // Empty if it was written, else why not.
  Result<void> begin(const record::Head& head) {
    auto begun = files_.begin(encoder_.begin(head), head.wall);
    open_ = begun.has_value();
    return tell(std::move(begun));
  }
  Result<void> block(std::span<const uint8_t> raw) {
    if (!open_) return fail(Code::kRetry, "there is no file");
    auto written = files_.append(encoder_.items(raw));
    open_ = written.has_value();
    return tell(std::move(written));
  }
  [[nodiscard]] bool full() const { return files_.full(); }

 private:
  Result<void> tell(Result<void> result) {
    if (!result && !told_) {
      say_(Severity::kWarning, "the flight recorder pauses: " + result.error().message);
    } else if (result && told_) {
      say_(Severity::kNotice, "the flight recorder goes on");
    }
    told_ = !result;
    return result;
  }
  PartFiles files_;
  Recorder::Say say_;
  record::FileWriter encoder_;
  bool open_ = false;
  bool told_ = false;
};

template <class Shared>
void work(Shared& shared, Writer& writer) {
  std::unique_lock lock(shared.mutex);
  while (true) {
    shared.busy = false;
    shared.changed.notify_all();
    shared.changed.wait(lock, [&] { return shared.closing || !shared.jobs.empty(); });
    if (shared.jobs.empty()) break;
    const auto job = std::move(shared.jobs.front());
    shared.jobs.pop_front();
    shared.waiting -= job.block.size();
    shared.busy = true;
    const bool skip = shared.broken && !job.new_part;
    lock.unlock();
    Result<void> result;
    if (job.new_part) {
      result = writer.begin(*job.new_part);
    } else if (!skip) {
      result = writer.block(job.block);
    }
    const bool full = !skip && result && writer.full();
    lock.lock();
    if (job.new_part) shared.broken = false;
    if (!result) {
      shared.broken = true;
      shared.why = result.error().message;
    }
    if (skip || !result) shared.lost += job.steps;
    if (full) shared.part_full = true;
  }
  shared.done = true;
  shared.changed.notify_all();
}

}  // namespace

Recorder::Recorder(RecorderOptions options, TakeSnapshot snapshot, Wall wall, Say say)
    : options_(std::move(options)),
      snapshot_(std::move(snapshot)),
      wall_(std::move(wall)),
      shared_(std::make_shared<Shared>()) {
  options_.head.version = kVersion;
  options_.head.core = record::core_hash();
  options_.head.layout = record::event_layout();
  start_quiet_thread([shared = shared_, writer = std::make_shared<Writer>(
                                            PartFiles(options_.folder, options_.max_bytes, kLeastFree),
                                            std::move(say))] { work(*shared, *writer); });
}

Recorder::~Recorder() {
  flush();
  std::unique_lock lock(shared_->mutex);
  shared_->closing = true;
  shared_->changed.notify_all();
  shared_->changed.wait_for(lock, std::chrono::seconds(1), [this] { return shared_->done; });
}

void Recorder::event(Instant now, const Event& event) {
  now_ = now;
  if (!started_) {
    started_ = true;
    begin_part();
    begin_block();
  }
  step_at_ = items_.size();
  items_.event(now, event);
  in_step_ = true;
  noteworthy_ = noteworthy_ || !is_routine(event);
}

void Recorder::outcome(const Actions& actions) {
  if (!in_step_) return;
  in_step_ = false;
  const record::Outcome outcome = record::outcome_of(actions);
  noteworthy_ = noteworthy_ || !outcome.told.empty();
  items_.outcome(outcome);
  const Duration age = now_ - block_began_;
  too_large_ = items_.size() - step_at_ > record::kMaxStep;
  if (too_large_ || items_.size() >= kFullBlock || age >= kLatest || (noteworthy_ && age >= kSoon)) flush();
}

void Recorder::flush() {
  if (!started_ || in_step_) return;
  bool part_full = false;
  bool broken = false;
  bool room = true;
  {
    const std::lock_guard lock(shared_->mutex);
    broken = shared_->broken;
    part_full = std::exchange(shared_->part_full, false);
    room = shared_->waiting + items_.size() <= kMaxWaiting && !std::exchange(too_large_, false);
    lost_ += std::exchange(shared_->lost, 0);
  }
  const uint64_t steps = items_.steps();
  if (broken || !room) {
    lost_ += steps;
  } else if (!items_.empty()) {
    shared_->push({std::nullopt, items_.take(), steps});
  }
  if (broken ? now_ >= retry_at_ : part_full) begin_part();
  begin_block();
}

// A new file. The first one begins with the daemon's life, the others with the node as it is now.
void Recorder::begin_part() {
  retry_at_ = now_ + kRetry;
  record::Head head = options_.head;
  head.now = now_;
  head.wall = wall_();
  head.lost_before = std::exchange(lost_, 0);
  if (head.part > 0) {
    head.snapshot = snapshot_();
    const std::lock_guard lock(shared_->mutex);
    if (head.lost_before > 0) head.lost_why = shared_->why.empty() ? "the disk was too slow" : shared_->why;
    shared_->why.clear();
    shared_->broken = false;  // until the thread has tried
  }
  ++options_.head.part;
  const uint64_t told = head.lost_before;  // if the file cannot be made, they are still to be told of
  shared_->push({std::move(head), {}, told});
}

void Recorder::begin_block() {
  items_.begin(now_);
  block_began_ = now_;
  noteworthy_ = false;
  if (lost_ == 0) return;
  bool broken = false;
  {
    const std::lock_guard lock(shared_->mutex);
    broken = shared_->broken || shared_->waiting > kMaxWaiting / 2;
  }
  if (broken) return;  // the gap is not over yet
  items_.gap({now_, std::exchange(lost_, 0)});
  items_.snapshot({now_, snapshot_()});
}

void Recorder::last_words() {
  in_step_ = false;
  flush();
  std::unique_lock lock(shared_->mutex, std::defer_lock);
  if (!lock.try_lock()) return;  // perhaps held by this very thread
  shared_->changed.wait_for(lock, kLastWords, [this] { return shared_->jobs.empty() && !shared_->busy; });
}

void Recorder::wait() {
  std::unique_lock lock(shared_->mutex);
  shared_->changed.wait(lock, [this] { return shared_->jobs.empty() && !shared_->busy; });
}

}  // namespace clusterd
