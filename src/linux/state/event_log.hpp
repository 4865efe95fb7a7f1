// The notices on disk: <state_dir>/events.jsonl, one JSON object per line. Internal to this folder.
//
//   {"sequence":7,"time":"2026-01-31T12:00:00.123Z","kind":"takeover","severity":"notice","service":"web","text":"…"}
//
// `service` is null for what concerns no service. At 1 MiB the file becomes events.jsonl.1, replacing an
// older one. A line that a crash or a full disk has cut short is closed by the next append and skipped when
// reading. Not thread-safe: used by one thread at a time.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.hpp"

namespace clusterd {

struct EventLine {
  uint64_t sequence = 0;
  std::string text;  // the JSON object, without newline
};

class EventLog {
 public:
  EventLog(std::string state_dir, uint64_t max_bytes);
  [[nodiscard]] Result<void> append(const std::string& line);  // synced
  // The newest valid lines of both files, oldest first, at most `limit`.
  [[nodiscard]] std::vector<EventLine> read(size_t limit) const;

 private:
  std::string file_;
  uint64_t max_bytes_;
};

}  // namespace clusterd
