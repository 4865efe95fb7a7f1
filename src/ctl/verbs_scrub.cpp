// `mirror scrub`: orders it, and shows how far it is until it is through.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <thread>

#include "ctl/client.hpp"
#include "ctl/exit_codes.hpp"
#include "ctl/json_view.hpp"
#include "ctl/order.hpp"
#include "ctl/render.hpp"
#include "ctl/scrub_view.hpp"
#include "ctl/verbs.hpp"

namespace clusterd::ctl {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLookEvery{250};
constexpr std::chrono::seconds kBeginsWithin{15};

struct ScrubFlags {
  std::string service, mirror;
  bool json = false, no_wait = false;
};

struct Scrubbed {
  std::string service, mirror;
  bool seen = false, over = false, broken = false;
  boost::json::value scrub;
};

class Scrubs {
 public:
  Scrubs(const Globals& globals, const ScrubFlags& flags) : client_(globals.run_dir), flags_(flags) {}

  int run() {
    if (const int code = choose(); code != kExitOk) return code;
    for (const auto& service : services_) {
      const int code = order(service);
      if (code != kExitOk) return code;
    }
    if (flags_.no_wait) return kExitOk;
    const auto limit = Clock::now() + kBeginsWithin;
    while (true) {
      if (const int code = look(Clock::now() > limit); code != kExitOk) return code;
      if (all_over()) return tell();
      show();
      std::this_thread::sleep_for(kLookEvery);
    }
  }

 private:
  int fetch(boost::json::value& status) const {
    const auto answer = client_.get("/v1/status");
    if (!answer) return complain(answer.error(), kExitUnreachable);
    if (answer->status != 200)
      return complain(answer_text(answer->body),
                      answer->status == kForbidden ? kExitNotAllowed : kExitFailed);
    status = parse_or_null(answer->body);
    return kExitOk;
  }

  // Which services have what can be scrubbed; a service that was named is the daemon's to judge.
  int choose() {
    boost::json::value status;
    if (const int code = fetch(status); code != kExitOk) return code;
    View(&status)["services"].each([&](View service) {
      const std::string name = service["name"].text();
      if (!flags_.service.empty() && name != flags_.service) return;
      bool any = false;
      service["mirrors"].each([&](View mirror) {
        if (mirror["mode"].text() != "live") return;
        if (!flags_.mirror.empty() && mirror["name"].text() != flags_.mirror) return;
        if (flags_.service.empty() && mirror["state"].text() != "following") return;
        any = true;
        scrubs_.push_back({name, mirror["name"].text(), false, false, false, nullptr});
      });
      if (any) services_.push_back(name);
    });
    if (!flags_.service.empty() && services_.empty()) services_.push_back(flags_.service);
    return services_.empty() ? complain("no live mirror follows on this node", kExitFailed) : kExitOk;
  }

  int order(const std::string& service) const {
    const auto answer = client_.post("/v1/command", order_json({"mirror-scrub", service, "", flags_.mirror}));
    if (!answer) return complain(answer.error(), kExitUnreachable);
    if (answer->status == 200) return kExitOk;
    return complain(answer_text(answer->body), answer->status == kForbidden ? kExitNotAllowed : kExitFailed);
  }

  int look(bool late) {
    boost::json::value status;
    if (const int code = fetch(status); code != kExitOk) return code;
    for (Scrubbed& each : scrubs_) {
      View(&status)["services"].each([&](View service) {
        if (service["name"].text() != each.service) return;
        service["mirrors"].each([&](View mirror) {
          if (mirror["name"].text() == each.mirror) take(each, mirror, late);
        });
      });
    }
    return kExitOk;
  }

  static void take(Scrubbed& each, View mirror, bool late) {
    const View scrub = mirror["scrub"];
    if (each.over) return;
    const bool running = scrub["running"].yes();
    each.seen = each.seen || running;
    each.scrub = boost::json::object{};
    scrub.members([&](const std::string& key, View value) {
      if (value.known()) each.scrub.get_object()[key] = value.value();
    });
    each.broken = mirror["state"].text() != "following";
    each.over = each.broken || (each.seen ? !running : late);
  }

  [[nodiscard]] bool all_over() const {
    return std::all_of(scrubs_.begin(), scrubs_.end(), [](const Scrubbed& s) { return s.over; });
  }

  void show() const {
    if (flags_.json || ::isatty(STDERR_FILENO) == 0) return;
    uint64_t done = 0, total = 0;
    for (const Scrubbed& each : scrubs_) {
      done += View(&each.scrub)["bytes"].count();
      total += View(&each.scrub)["total_bytes"].count();
    }
    const auto seconds = std::chrono::duration<double>(Clock::now() - begun_).count();
    std::fprintf(stderr, "\r%s\033[K", scrub_bar(done, total, seconds).c_str());
  }

  [[nodiscard]] int tell() const {
    if (!flags_.json && ::isatty(STDERR_FILENO) != 0) std::fprintf(stderr, "\r\033[K");
    int code = kExitOk;
    boost::json::array all;
    for (const Scrubbed& each : scrubs_) {
      const View scrub(&each.scrub);
      if (each.broken || !each.seen) code = kExitFailed;
      if (code == kExitOk && scrub["differed"].count() > 0) code = kExitHuman;
      all.push_back(boost::json::object{{"service", each.service},
                                        {"mirror", each.mirror},
                                        {"complete", each.seen && !each.broken},
                                        {"scrub", each.scrub}});
      if (!flags_.json)
        std::printf("%s/%s: %s\n", printable(each.service).c_str(), printable(each.mirror).c_str(),
                    each.broken  ? "broken off with the mirror; it goes on when that follows again"
                    : !each.seen ? "it has not begun: see `clusterctl mirror status`"
                                 : scrub_text(scrub).c_str());
    }
    if (flags_.json) std::printf("%s\n", boost::json::serialize(all).c_str());
    return code;
  }

  const Client client_;
  const ScrubFlags flags_;
  const Clock::time_point begun_ = Clock::now();
  std::vector<std::string> services_;
  std::vector<Scrubbed> scrubs_;
};

}  // namespace

void add_scrub_verb(CLI::App& mirror, Globals& globals, Chosen& chosen) {
  auto flags = std::make_shared<ScrubFlags>();
  CLI::App* sub = mirror.add_subcommand(
      "scrub", "Compare the contents of live mirrors' files on both nodes, and wait until that is through");
  sub->add_option("service", flags->service, "Service (default: all that are active here)");
  sub->add_option("mirror", flags->mirror, "Name of the mirror (default: all live ones)");
  sub->add_flag("--no-wait", flags->no_wait, "Only give the order");
  sub->add_flag("--json", flags->json, "As JSON");
  sub->footer("Example: clusterctl mirror scrub web");
  sub->callback(
      [&globals, &chosen, flags] { chosen = [&globals, flags] { return Scrubs(globals, *flags).run(); }; });
}

}  // namespace clusterd::ctl
