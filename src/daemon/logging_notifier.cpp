#include "daemon/logging_notifier.hpp"

#include "daemon/message_ids.hpp"

namespace clusterd {

void LoggingNotifier::notify(const Notice& notice) {
  LogFields fields{{"CLUSTERD_NOTICE", notice.kind},
                   {"CLUSTERD_SEQUENCE", std::to_string(notice.sequence)},
                   {"CLUSTERD_CLUSTER", config_.cluster},
                   {"CLUSTERD_NODE", config_.node(config_.self).name}};
  if (const auto id = message_id(notice.kind); !id.empty()) fields.emplace_back("MESSAGE_ID", id);
  if (notice.service && notice.service->at() < config_.services.size()) {
    fields.emplace_back("CLUSTERD_SERVICE", config_.service(*notice.service).name);
  }
  log_.line(notice.severity, notice.kind + ": " + notice.text, std::move(fields));
  next_.notify(notice);
}

}  // namespace clusterd
