// The port Notifier: tells humans of what needs them, in order, and keeps what was told.
//
// Every notice goes to three places, independently of each other:
// - <state_dir>/events.jsonl, written by a helper thread (format in event_log.hpp);
// - the hook command of [notify] command: run by /bin/sh with CLUSTERD_EVENT (the kind), CLUSTERD_SEQUENCE,
//   CLUSTERD_SEVERITY, CLUSTERD_SERVICE (may be empty), CLUSTERD_TEXT, CLUSTERD_NODE and CLUSTERD_CLUSTER in
//   the environment, and the text on stdin;
// - mail to [notify] mail, by the local sendmail program.
// Hook and mail of one notice run one after the other, and the next notice follows when both have ended or
// exceeded their time limit (then they are killed). Failures are logged, and not tried again. When more than
// a thousand notices wait, the oldest are dropped, which is logged too; they stand in events.jsonl
// nevertheless.
//
// A hook that is still running when the notifier is destroyed goes on; what waits is logged as not sent.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "linux/event_loop.hpp"
#include "ports/ports.hpp"

namespace clusterd {

struct NotifierLimits {
  Duration timeout = std::chrono::seconds(30);  // for a hook or a mail
  size_t queue = 1000;                          // notices that wait for hook and mail
  size_t recent = 1000;                         // notices kept in memory
  uint64_t log_bytes = 1 << 20;
  std::string sendmail = "/usr/sbin/sendmail";
};

class ChildNotifier : public Notifier {
 public:
  // Reads the events of earlier lives of the daemon, for recent().
  ChildNotifier(EventLoop& loop, const Config& config, const std::string& state_dir,
                NotifierLimits limits = {});
  ~ChildNotifier() override;
  ChildNotifier(const ChildNotifier&) = delete;
  ChildNotifier& operator=(const ChildNotifier&) = delete;

  void notify(const Notice& notice) override;

  // The notices with a higher number than `after`, oldest first, each a JSON object as in events.jsonl. From
  // memory: for GET /v1/events.
  [[nodiscard]] std::vector<std::string> recent(uint64_t after) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace clusterd
