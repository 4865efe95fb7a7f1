#include "linux/state/child_notifier.hpp"

#include <time.h>

#include <boost/json.hpp>
#include <cstdio>
#include <deque>
#include <utility>

#include "linux/helper_thread.hpp"
#include "linux/state/event_log.hpp"
#include "linux/state/text.hpp"
#include "linux/units/process.hpp"

namespace clusterd {

namespace json = boost::json;

namespace {

constexpr size_t kMaxText = 16 * 1024;
constexpr size_t kMaxVariable = 4096;
constexpr size_t kMaxSubject = 150;
constexpr Duration kKillAfter = std::chrono::seconds(2);
constexpr Duration kGiveUpAfter = std::chrono::seconds(5);  // after the time limit: it cannot even be killed

const char* name(Severity severity) {
  switch (severity) {
    case Severity::kDebug:
      return "debug";
    case Severity::kInfo:
      return "info";
    case Severity::kNotice:
      return "notice";
    case Severity::kWarning:
      return "warning";
    case Severity::kError:
      return "error";
  }
  return "error";
}

std::string utc_now() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm parts{};
  gmtime_r(&now.tv_sec, &parts);
  char date[32], text[48];
  strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text, sizeof text, "%s.%03ldZ", date, now.tv_nsec / 1'000'000);
  return text;
}

struct Item {
  uint64_t sequence = 0;
  std::string kind, severity, service, text;
};

std::string to_json(const Item& item, const std::string& time) {
  const json::object object{
      {"sequence", item.sequence},
      {"time", time},
      {"kind", item.kind},
      {"severity", item.severity},
      {"service", item.service.empty() ? json::value(nullptr) : json::value(item.service)},
      {"text", item.text}};
  return json::serialize(object);
}

}  // namespace

class ChildNotifier::Impl {
 public:
  Impl(EventLoop& event_loop, const Config& cfg, const std::string& state_dir, NotifierLimits lim)
      : loop(event_loop), config(cfg), limits(std::move(lim)), log(state_dir, limits.log_bytes) {
    for (auto& line : log.read(limits.recent)) recent.push_back(std::move(line));
  }
  ~Impl() {
    for (const Item& item : queue)
      complain("notice " + std::to_string(item.sequence) + " not sent: clusterd ends");
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void add(const Notice& notice);
  void write(std::string line);
  void next();
  void run_hook();
  void run_mail();
  void run(const char* what, ChildSpec spec, void (Impl::*then)());
  static void complain(const std::string& text) { std::fprintf(stderr, "<4>notify: %s\n", text.c_str()); }

  EventLoop& loop;
  const Config& config;
  const NotifierLimits limits;
  std::deque<EventLine> recent;
  std::deque<Item> queue;  // waiting for hook and mail
  Item current;
  bool busy = false;
  uint64_t dropped = 0;
  std::unique_ptr<ChildProcess> child;
  std::unique_ptr<Timer> give_up;

  EventLog log;             // used by the helper thread only, after the constructor
  bool log_failed = false;  // likewise
  HelperThread thread;      // last: ended first
};

void ChildNotifier::Impl::add(const Notice& notice) {
  Item item{notice.sequence, header_text(notice.kind, 100), name(notice.severity), "",
            clean_utf8(notice.text, kMaxText)};
  if (notice.service && notice.service->at() < config.services.size()) {
    item.service = clean_utf8(config.service(*notice.service).name, 200);
  }
  std::string line = to_json(item, utc_now());
  recent.push_back({item.sequence, line});
  if (recent.size() > limits.recent) recent.pop_front();
  thread.run([this, line = std::move(line)] { write(line); });
  if (config.notify.command.empty() && config.notify.mail.empty()) return;
  queue.push_back(std::move(item));
  if (queue.size() > limits.queue) {
    ++dropped;
    complain("notice " + std::to_string(queue.front().sequence) +
             " dropped, too many wait for hook and mail (" + std::to_string(dropped) + " dropped so far)");
    queue.pop_front();
  }
  if (!busy) next();
}

// On the helper thread.
void ChildNotifier::Impl::write(std::string line) {
  const auto written = log.append(line);
  if (!written && !log_failed) complain(written.error().message);
  log_failed = !written;
}

void ChildNotifier::Impl::next() {
  busy = !queue.empty();
  if (!busy) return;
  current = std::move(queue.front());
  queue.pop_front();
  run_hook();
}

void ChildNotifier::Impl::run_hook() {
  if (config.notify.command.empty()) {
    run_mail();
    return;
  }
  ChildSpec spec = ChildSpec::shell(config.notify.command);
  spec.environment = {{"CLUSTERD_EVENT", current.kind},
                      {"CLUSTERD_SEQUENCE", std::to_string(current.sequence)},
                      {"CLUSTERD_SEVERITY", current.severity},
                      {"CLUSTERD_SERVICE", current.service},
                      {"CLUSTERD_TEXT", clean_utf8(current.text, kMaxVariable)},
                      {"CLUSTERD_NODE", config.node(config.self).name},
                      {"CLUSTERD_CLUSTER", config.cluster}};
  spec.input = current.text + "\n";
  run("the hook", std::move(spec), &Impl::run_mail);
}

void ChildNotifier::Impl::run_mail() {
  if (config.notify.mail.empty()) {
    next();
    return;
  }
  ChildSpec spec;
  spec.argv = {limits.sendmail, "-t", "-i"};
  const std::string node = config.node(config.self).name;
  std::string& mail = spec.input;
  mail = "To: " + header_text(config.notify.mail, 500) + "\n";
  mail +=
      "Subject: " + header_text("[" + config.cluster + "] " + node + ": " + current.text, kMaxSubject) + "\n";
  mail += "Auto-Submitted: auto-generated\nMIME-Version: 1.0\n";
  mail += "Content-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\n\n";
  mail += current.text + "\n\n";
  mail += "event " + current.kind + " (" + current.severity + "), number " +
          std::to_string(current.sequence) + " of node " + node + ", cluster " + config.cluster;
  mail += (current.service.empty() ? "" : ", service " + current.service) + "\n";
  run("the mail", std::move(spec), &Impl::next);
}

void ChildNotifier::Impl::run(const char* what, ChildSpec spec, void (Impl::*then)()) {
  spec.timeout = limits.timeout;
  spec.kill_after = kKillAfter;
  spec.detached = true;
  const std::string subject = std::string(what) + " for notice " + std::to_string(current.sequence);
  child = run_child(loop, std::move(spec), [this, subject, then](const ChildResult& result) {
    if (!result.ok()) complain(subject + " failed: " + result.text());
    child.reset();
    give_up.reset();
    (this->*then)();
  });
  give_up = loop.at(EventLoop::now() + limits.timeout + kKillAfter + kGiveUpAfter, [this, subject, then] {
    complain(subject + " cannot be killed: left behind");
    child.reset();
    (this->*then)();
  });
}

ChildNotifier::ChildNotifier(EventLoop& loop, const Config& config, const std::string& state_dir,
                             NotifierLimits limits)
    : impl_(std::make_unique<Impl>(loop, config, state_dir, std::move(limits))) {}
ChildNotifier::~ChildNotifier() = default;

void ChildNotifier::notify(const Notice& notice) { impl_->add(notice); }

std::vector<std::string> ChildNotifier::recent(uint64_t after) const {
  std::vector<std::string> lines;
  for (const EventLine& line : impl_->recent) {
    if (line.sequence > after) lines.push_back(line.text);
  }
  return lines;
}

}  // namespace clusterd
