// One live mirror from one folder to another on this machine, to be driven by scripts.
//
//   mirror_pair --source DIR --target DIR --state DIR [--exclude PATTERN]… [--no-delete] [--guard] [--epoch N]
//
// The target runs in a process of its own with a mount namespace, in which its DIR is mounted at the source's
// DIR: both ends see the mirror at the path of --source. Backup sets and loss reports:
// STATE/target/backups/web/, manifests: STATE/{source,target}/mirror/web.data.manifest. Needs root. No
// encryption: a socket pair.
//
// Obeys lines on stdin, answers each with one line of JSON:
//   run        compare and copy, then follow          resync     the same, with a backup set and a loss
//   report flush      wait until all that has changed so far is durable at the target lag
//   {"files":N,"bytes":N,"detail":"…"} of the last progress break      cut the connection; `run` connects
//   anew    kill-target   SIGKILL to the target's process confirm    `run`, with the administrator's
//   confirmation (S10) quit       (or the end of stdin)
//   {"done":"flush","outcome":"done","ms":1.2,"files":1,"bytes":6,"removed":0,"wire_bytes":312,"detail":"",
//   …}
// `files` and `bytes` (contents sent) are of this order; `wire_bytes` counts both directions since the last
// answer. `outcome` is "done", "failed" or "halted". A broken stream is told with the next answer, in
// "broken".
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <iostream>

#include "tools/mirror_two.hpp"

namespace {

using clusterd::MirrorReport;
using clusterd::MirrorTwo;

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
  }
  return out + "\"";
}

const char* outcome_name(MirrorReport::Outcome outcome) {
  switch (outcome) {
    case MirrorReport::Outcome::kDone:
      return "done";
    case MirrorReport::Outcome::kFailed:
      return "failed";
    case MirrorReport::Outcome::kHalted:
      return "halted";
    default:
      return "progress";
  }
}

class Driver {
 public:
  explicit Driver(MirrorTwo& two) : two_(two) {}

  // False: the end.
  bool obey(const std::string& line) {
    using Kind = MirrorReport::Kind;
    if (line == "quit") return false;
    if (line == "run") {
      order(line, Kind::kRun, false);
    } else if (line == "confirm") {
      order(line, Kind::kRun, true);
    } else if (line == "resync") {
      order(line, Kind::kResync, false);
    } else if (line == "flush") {
      order(line, Kind::kFlush, false);
    } else if (line == "lag") {
      const auto p = two_.last_progress();
      say(fmt::format(R"({{"done":"lag","files":{},"bytes":{},"detail":{}}})", p ? p->files : 0,
                      p ? p->bytes : 0, quoted(p ? p->detail : "")));
    } else if (line == "break" || line == "kill-target") {
      if (line == "break")
        two_.break_connection();
      else
        two_.kill_target();
      say(fmt::format(R"({{"done":"{}"}})", line));
    } else {
      say(fmt::format(R"({{"error":{}}})", quoted("no such order: " + line)));
    }
    return true;
  }

 private:
  static void say(const std::string& line) {
    std::printf("%s\n", line.c_str());
    std::fflush(stdout);
  }

  void order(const std::string& name, MirrorReport::Kind kind, bool confirmed) {
    const auto begun = std::chrono::steady_clock::now();
    const MirrorReport r = two_.order(kind, confirmed);
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begun;
    std::string broken;
    for (const auto& report : two_.unasked()) broken += report.detail;
    const uint64_t wire = two_.wire_bytes();
    say(fmt::format(
        R"({{"done":"{}","outcome":"{}","ms":{:.3f},"files":{},"bytes":{},"removed":{},"wire_bytes":{},)"
        R"("detail":{},"backup_set":{},"backed_up":{},"lost":{},"broken":{}}})",
        name, outcome_name(r.outcome), took.count(), r.files, r.bytes, r.removed, wire - wire_,
        quoted(r.detail), quoted(r.backup_set), r.backed_up, r.lost, quoted(broken)));
    wire_ = wire;
  }

  MirrorTwo& two_;
  uint64_t wire_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  clusterd::TwoSetup setup;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    if (option == "--no-delete") {
      setup.remove = false;
      continue;
    }
    if (option == "--guard") {
      setup.guard = true;
      continue;
    }
    if (i + 1 == argc) {
      std::fprintf(stderr, "%s needs a value\n", argv[i]);
      return 2;
    }
    const std::string value = argv[++i];
    if (option == "--source")
      setup.source = value;
    else if (option == "--target")
      setup.target = value;
    else if (option == "--state")
      setup.state = value;
    else if (option == "--exclude")
      setup.exclude.push_back(value);
    else if (option == "--epoch")
      setup.epoch = std::stoull(value);
    else
      return std::fprintf(stderr, "unknown option %s\n", option.c_str()), 2;
  }
  if (setup.source.empty() || setup.target.empty() || setup.state.empty()) {
    std::fprintf(stderr,
                 "mirror_pair --source DIR --target DIR --state DIR [--exclude PATTERN]… [--no-delete]\n");
    return 2;
  }
  MirrorTwo two(setup);
  Driver driver(two);
  std::string line;
  while (std::getline(std::cin, line)) {
    if (!driver.obey(line)) break;
  }
  return 0;
}
