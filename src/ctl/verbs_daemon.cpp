// Verbs that ask the daemon or give it orders.
#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <memory>
#include <thread>

#include "ctl/client.hpp"
#include "ctl/exit_codes.hpp"
#include "ctl/json_view.hpp"
#include "ctl/order.hpp"
#include "ctl/render.hpp"
#include "ctl/verbs.hpp"

namespace clusterd::ctl {

namespace {

// Asks for a page; complains and returns an exit code if there is none.
tl::expected<std::string, int> page(const Globals& globals, const std::string& target) {
  const auto answer = Client(globals.run_dir).get(target);
  if (!answer) return tl::unexpected(complain(answer.error(), kExitUnreachable));
  if (answer->status != 200) {
    const int code = answer->status == kForbidden ? kExitNotAllowed : kExitFailed;
    return tl::unexpected(complain(answer_text(answer->body), code));
  }
  return answer->body;
}

std::string url_encoded(const std::string& text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) || c == '-' || c == '_' || c == '.') {
      out += c;
    } else {
      out += {'%', kHex[byte >> 4U], kHex[byte & 15U]};
    }
  }
  return out;
}

struct StatusFlags {
  bool json = false, watch = false, exit_code = false;
};

int show_status(const Globals& globals, const StatusFlags& flags) {
  while (true) {
    const auto body = page(globals, "/v1/status");
    if (!body && !flags.watch) return body.error();
    if (flags.watch && !flags.json) print("\033[H\033[2J");
    if (body) print(flags.json ? *body : render_status(*body, terminal_look()));
    if (!flags.watch) return flags.exit_code && !alarms(*body).empty() ? kExitHuman : kExitOk;
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
}

int show_decisions(const Globals& globals, const std::string& service, unsigned limit, bool json) {
  const auto body =
      page(globals, "/v1/decisions?service=" + url_encoded(service) + "&limit=" + std::to_string(limit));
  if (!body) return body.error();
  print(json ? *body : render_decisions(*body, terminal_look()));
  return kExitOk;
}

int show_events(const Globals& globals, unsigned long long after, bool follow, bool json) {
  while (true) {
    const auto body = page(globals, "/v1/events?after=" + std::to_string(after));
    if (!body && !follow) return body.error();
    if (body) {
      const std::string text = render_events(*body, terminal_look(), after);
      if (!json) {
        print(text);
      } else if (!follow || !text.empty()) {
        print(*body);
      }
    }
    if (!follow) return kExitOk;
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
}

int show_diverged(const Globals& globals) {
  const auto body = page(globals, "/v1/status");
  if (!body) return body.error();
  const auto value = parse_or_null(*body);
  size_t count = 0;
  View(&value)["services"].each([&](View service) {
    if (!service["diverged"].yes()) return;
    ++count;
    const std::string name = printable(service["name"].text());
    print(name + ": both nodes were active with different files; the active node's versions are in use.\n" +
          "    what the other node had:  clusterctl backups list " + name +
          "   (on each node, or with --node)\n" +
          "    when you have seen it:    clusterctl diverged accept " + name + "\n");
  });
  if (count == 0) print("nothing has diverged\n");
  return count == 0 ? kExitOk : kExitHuman;
}

// A verb that is nothing but an order.
CLI::App* order_verb(CLI::App& app, Globals& globals, Chosen& chosen, const std::string& verb,
                     const std::string& about, const std::string& example,
                     const std::shared_ptr<Order>& order) {
  CLI::App* sub = app.add_subcommand(verb, about);
  sub->footer("Example: clusterctl " + example);
  sub->callback([&globals, &chosen, order] {
    chosen = [&globals, order] { return give_order(Client(globals.run_dir), *order); };
  });
  return sub;
}

std::shared_ptr<Order> order_of(const std::string& kind) {
  return std::make_shared<Order>(Order{kind, "", "", ""});
}

void add_views(CLI::App& app, Globals& globals, Chosen& chosen) {
  auto flags = std::make_shared<StatusFlags>();
  CLI::App* status = app.add_subcommand("status", "The whole cluster on one screen");
  status->add_flag("--json", flags->json, "As JSON (docs/operations.md)");
  status->add_flag("--watch", flags->watch, "Again every second, until interrupted");
  status->add_flag("--exit-code", flags->exit_code, "Exit with 4 if something needs a human");
  status->footer("Example: clusterctl status --watch");
  status->callback([&, flags] { chosen = [&, flags] { return show_status(globals, *flags); }; });

  auto service = std::make_shared<std::string>();
  auto limit = std::make_shared<unsigned>(10);
  auto json = std::make_shared<bool>(false);
  CLI::App* why =
      app.add_subcommand("why", "The last decisions in plain words, with their evidence, newest last");
  why->add_option("service", *service, "Only this service, and what concerns the whole node");
  why->add_option("-n", *limit, "How many")->capture_default_str();
  why->add_flag("--json", *json, "As JSON");
  why->footer("Example: clusterctl why web -n 3");
  why->callback([&, service, limit, json] {
    chosen = [&, service, limit, json] { return show_decisions(globals, *service, *limit, *json); };
  });

  auto after = std::make_shared<unsigned long long>(0);
  auto follow = std::make_shared<bool>(false);
  auto events_json = std::make_shared<bool>(false);
  CLI::App* events = app.add_subcommand("events", "What was worth telling a human, oldest first");
  events->add_option("--after", *after, "Only those with a higher number");
  events->add_flag("--follow", *follow, "Go on until interrupted");
  events->add_flag("--json", *events_json, "As JSON");
  events->footer("Example: clusterctl events --follow");
  events->callback([&, after, follow, events_json] {
    chosen = [&, after, follow, events_json] { return show_events(globals, *after, *follow, *events_json); };
  });
}

void add_orders(CLI::App& app, Globals& globals, Chosen& chosen) {
  auto order = order_of("move");
  CLI::App* sub =
      order_verb(app, globals, chosen, "move", "Hand a service over, in good order", "move web serv2", order);
  sub->add_option("service", order->service, "Service")->required();
  sub->add_option("node", order->node, "Where to (default: the other node)");

  order = order_of("standby");
  sub = order_verb(app, globals, chosen, "standby",
                   "Put a node aside: move everything away, set its standby lock", "standby serv1", order);
  sub->add_option("node", order->node, "Node (default: this one)");

  order = order_of("online");
  sub = order_verb(app, globals, chosen, "online",
                   "Release a node's standby lock, and what else was blocked there", "online serv1", order);
  sub->add_option("node", order->node, "Node (default: this one)");

  order = order_of("start-force");
  auto force = std::make_shared<bool>(false);
  sub = order_verb(
      app, globals, chosen, "start",
      "Start a service here without knowing what became of the peer. Only if the peer is certainly off: "
      "with both nodes active the files diverge",
      "start --force web", order);
  sub->add_option("service", order->service, "Service (default: all)");
  sub->add_flag("--force", *force, "You know that the peer is off")->required();

  order = order_of("resync");
  sub = order_verb(app, globals, chosen, "resync", "Compare and copy everything to the standby now",
                   "resync web", order);
  sub->add_option("service", order->service, "Service")->required();

  order_verb(app, globals, chosen, "stop-services",
             "Hand everything over, or stop it where nobody takes it: before a shutdown", "stop-services",
             order_of("stop-services"));
}

void add_mirror_and_diverged(CLI::App& app, Globals& globals, Chosen& chosen) {
  CLI::App* mirror = app.add_subcommand("mirror", "Mirrors: status, run, confirm, pause, resume, scrub");
  mirror->require_subcommand(1);
  CLI::App* status = mirror->add_subcommand("status", "All mirrors with their lag");
  status->footer("Example: clusterctl mirror status");
  status->callback([&] {
    chosen = [&] {
      const auto body = page(globals, "/v1/status");
      if (!body) return body.error();
      print(render_mirrors(*body, terminal_look()));
      return kExitOk;
    };
  });
  auto order = order_of("mirror-run");
  CLI::App* sub =
      order_verb(*mirror, globals, chosen, "run", "Run a service's mirrors now", "mirror run web", order);
  sub->add_option("service", order->service, "Service")->required();
  order = order_of("mirror-confirm");
  sub = order_verb(*mirror, globals, chosen, "confirm",
                   "A halted mirror may go on with what it finds: its root is meant to be as it is",
                   "mirror confirm web 1", order);
  sub->add_option("service", order->service, "Service")->required();
  sub->add_option("mirror", order->text, "Name of the mirror")->required();

  order = order_of("mirror-pause");
  sub = order_verb(*mirror, globals, chosen, "pause",
                   "Carry nothing over until `mirror resume`, a move, or the daemon's next start",
                   "mirror pause web", order);
  sub->add_option("service", order->service, "Service")->required();
  sub->add_option("mirror", order->text, "Name of the mirror (default: all of the service)");
  order = order_of("mirror-resume");
  sub =
      order_verb(*mirror, globals, chosen, "resume", "Let a paused mirror go on", "mirror resume web", order);
  sub->add_option("service", order->service, "Service")->required();
  sub->add_option("mirror", order->text, "Name of the mirror (default: all of the service)");
  add_scrub_verb(*mirror, globals, chosen);

  CLI::App* diverged =
      app.add_subcommand("diverged", "Services whose files differ because both nodes were active");
  diverged->footer("Example: clusterctl diverged accept web");
  diverged->callback([&globals, &chosen, diverged] {
    if (diverged->get_subcommands().empty()) chosen = [&globals] { return show_diverged(globals); };
  });
  order = order_of("accept-diverged");
  sub = order_verb(*diverged, globals, chosen, "accept", "You have seen the divergence; stop warning of it",
                   "diverged accept web", order);
  sub->add_option("service", order->service, "Service")->required();
}

}  // namespace

Look terminal_look() {
  Look look;
  look.colour = ::isatty(STDOUT_FILENO) != 0 && std::getenv("NO_COLOR") == nullptr;
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40) look.width = size.ws_col;
  return look;
}

int complain(const std::string& text, int code) {
  std::fprintf(stderr, "clusterctl: %s\n", text.c_str());
  return code;
}

void add_daemon_verbs(CLI::App& app, Globals& globals, Chosen& chosen) {
  add_views(app, globals, chosen);
  add_orders(app, globals, chosen);
  add_mirror_and_diverged(app, globals, chosen);
}

}  // namespace clusterd::ctl
