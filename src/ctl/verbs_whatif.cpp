// clusterctl whatif: every fault of the live configuration, alone and in pairs, in the simulated world.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <memory>

#include "config/load.hpp"
#include "ctl/client.hpp"
#include "ctl/exit_codes.hpp"
#include "ctl/json_view.hpp"
#include "ctl/verbs.hpp"
#include "ctl/whatif_start.hpp"
#include "whatif/report.hpp"

namespace clusterd::ctl {

namespace {

struct WhatIfFlags {
  unsigned faults = 1;
  bool json = false;
};

int what_if(const Globals& globals, const WhatIfFlags& flags) {
  const auto config = load_config(globals.config_dir, kAnyNode);
  if (!config) return complain("the configuration has errors; see clusterctl check", kExitConfig);
  const whatif::Start start = live_start(*config, globals);
  const auto began = std::chrono::steady_clock::now();
  std::fflush(stdout);
  const auto all = whatif::explore(*config, start, flags.faults);
  if (!all) return complain(all.error().message, kExitFailed);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  if (flags.json) {
    std::printf("%s\n", whatif::report_json(*config, *all).c_str());
  } else {
    std::fputs(printable_lines(start_text(*config, start)).c_str(), stdout);
    std::fputs(printable_lines(whatif::report_text(*config, *all)).c_str(), stdout);
    std::fprintf(stderr, "simulated in %.1f s\n", seconds);
  }
  const auto counts = whatif::count(all->singles);
  return counts.both + counts.no_service > 0 ? kExitHuman : kExitOk;
}

}  // namespace

void add_whatif_verbs(CLI::App& app, Globals& globals, Chosen& chosen) {
  auto flags = std::make_shared<WhatIfFlags>();
  CLI::App* sub = app.add_subcommand(
      "whatif", "What would happen if: every fault of this configuration, simulated with the real core");
  sub->add_option("--faults", flags->faults, "1: each fault alone; 2: each pair, too")
      ->check(CLI::Range(1, 2))
      ->capture_default_str();
  sub->add_flag("--json", flags->json, "As JSON, with every run");
  sub->footer(
      "Example: clusterctl whatif\n"
      "         clusterctl whatif --faults 2\n"
      "         clusterctl whatif --faults 2 --json | jq '.pairs[] | select(.grade == \"both\")'\n"
      "Nothing is done to the cluster. Exit codes: 0 every single fault is survived; 4 one is not.");
  sub->callback([&, flags] { chosen = [&, flags] { return what_if(globals, *flags); }; });
}

}  // namespace clusterd::ctl
