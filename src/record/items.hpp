// Items as bytes, without blocks and files.
#pragma once

#include <map>

#include "base/bytes.hpp"
#include "record/format.hpp"

namespace clusterd::record {

// What both sides remember within one block.
struct Context {
  Instant now{};
  Instant heard{};  // when `last` came
  bool any = false;
  Heartbeat last;
  std::map<uint16_t, std::vector<Epoch>> lineages;  // as last told of each service
};

// Writes one block's items. A step is written in two halves, so that an event is there before the node thinks
// about it: `event`, then `outcome` (or nothing, if the daemon did not survive it).
class ItemWriter {
 public:
  void begin(Instant now);
  void event(Instant now, const Event& event);
  void outcome(const Outcome& outcome);
  void gap(const Gap& gap);
  void snapshot(const Snapshot& snapshot);

  [[nodiscard]] bool empty() const { return items_ == 0; }
  [[nodiscard]] size_t size() const { return bytes_.size(); }
  [[nodiscard]] uint64_t steps() const { return steps_; }
  [[nodiscard]] const std::vector<uint8_t>& bytes() const { return bytes_; }
  // The block so far; the writer is empty after it.
  [[nodiscard]] std::vector<uint8_t> take();

 private:
  void heartbeat(ByteWriter& w, const HeartbeatReceived& event, Instant now);
  void tag(uint8_t kind, Instant now);

  std::vector<uint8_t> bytes_;
  Context context_;
  size_t tag_at_ = 0;
  size_t items_ = 0;
  uint64_t steps_ = 0;
};

// Reads one block's items.
class ItemReader {
 public:
  explicit ItemReader(std::span<const uint8_t> block);
  // nullopt at the end; kCorrupt for what no ItemWriter could have written.
  [[nodiscard]] Result<std::optional<Item>> next();

 private:
  [[nodiscard]] Item step(uint8_t tag, Instant now);
  void heartbeat(HeartbeatReceived& event, Instant now);
  ByteReader in_;
  Context context_;
};

}  // namespace clusterd::record
