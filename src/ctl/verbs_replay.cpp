// clusterctl replay: runs the core again on what the flight recorder kept.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>

#include "config/load.hpp"
#include "ctl/exit_codes.hpp"
#include "ctl/json_view.hpp"
#include "ctl/verbs.hpp"
#include "record/replay.hpp"

namespace clusterd::ctl {

namespace {

namespace fs = std::filesystem;
using record::FileReader;
using record::Head;
using record::Outcome;
using record::ReplayReport;
using record::ToldLine;

constexpr uint64_t kMaxFile = uint64_t{256} << 20U;

struct ReplayFlags {
  std::string file, from;
  bool decisions = false, json = false;
};

struct Part {
  std::string file;
  std::vector<uint8_t> bytes;
  Head head;
};

// "2026-11-22 18:01:03.123", in UTC as everywhere.
std::string time_text(WallTime wall) {
  using std::chrono::milliseconds;
  const auto ms = std::chrono::duration_cast<milliseconds>(wall.time_since_epoch()).count();
  return fmt::format("{:%Y-%m-%d %H:%M:%S}.{:03}", fmt::gmtime(static_cast<std::time_t>(ms / 1000)),
                     ms % 1000);
}

std::string json_time(WallTime wall) {
  std::string text = time_text(wall) + "Z";
  text[10] = 'T';
  return text;
}

tl::expected<std::vector<uint8_t>, std::string> read_file(const std::string& file) {
  std::error_code error;
  if (!fs::is_regular_file(file, error)) return tl::unexpected(file + ": there is no such file");
  if (fs::file_size(file, error) > kMaxFile) return tl::unexpected(file + ": is too large for a recording");
  std::ifstream in(file, std::ios::binary);
  std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(in), {}};
  if (!in.good() && !in.eof()) return tl::unexpected(file + ": cannot be read; are you root?");
  return bytes;
}

tl::expected<Part, std::string> read_part(const std::string& file) {
  auto bytes = read_file(file);
  if (!bytes) return tl::unexpected(bytes.error());
  Part part;
  part.file = file;
  part.bytes = std::move(*bytes);
  const auto reader = FileReader::open(part.bytes);
  if (!reader) return tl::unexpected(file + ": " + reader.error().message);
  part.head = reader->head();
  return part;
}

// Of a folder: the files of the newest daemon's life, in order. What cannot be read is passed over here: a
// damaged file of another life is not what was asked for.
tl::expected<std::vector<Part>, std::string> read_life(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    if (entry->path().extension() == ".rec") files.push_back(entry->path().string());
  }
  if (error) return tl::unexpected(folder + ": " + error.message());
  std::sort(files.rbegin(), files.rend());
  std::vector<Part> parts;
  for (const std::string& file : files) {
    auto part = read_part(file);
    if (!part && parts.empty()) return tl::unexpected(part.error());
    if (!part || (!parts.empty() && part->head.boot != parts.back().head.boot)) break;
    parts.push_back(std::move(*part));
  }
  if (parts.empty()) return tl::unexpected(folder + ": holds no recording");
  std::reverse(parts.begin(), parts.end());
  return parts;
}

// The beginning of a time as it is printed ("2026-11-22 18:01"), or of the day's time ("18:01:03").
bool is_before(const std::string& time, std::string from) {
  std::replace(from.begin(), from.end(), 'T', ' ');
  if (from.ends_with('Z')) from.pop_back();
  const bool whole = from.size() > 2 && from.find('-') != std::string::npos;
  return (whole ? time : time.substr(11)) < from;
}

boost::json::object outcome_json(const Outcome& outcome) {
  boost::json::array told;
  for (const auto& line : outcome.told) told.emplace_back(printable(line));
  return {{"actions", record::kinds_text(outcome.kinds)},
          {"digest", fmt::format("{:08x}", outcome.digest)},
          {"told", std::move(told)}};
}

std::string outcome_text(const char* who, const Outcome& outcome) {
  std::string out =
      fmt::format("  {:<9} {}  (digest {:08x})\n", who, record::kinds_text(outcome.kinds), outcome.digest);
  for (const auto& line : outcome.told) out += "            " + printable(line) + "\n";
  return out;
}

class Replaying {
 public:
  Replaying(std::vector<Part> parts, const ReplayFlags& flags) : parts_(std::move(parts)), flags_(flags) {}

  int run() {
    const Head& head = parts_.front().head;
    auto config = parse_config(head.config, "(recorded)", head.node);
    if (!config) {
      return complain(fmt::format("{}: its configuration is not understood: {}", parts_.front().file,
                                  describe(config.error().front())),
                      kExitFailed);
    }
    if (head.without_gate) lengthen_window_without_gate(*config);
    same_core_ = head.core == record::core_hash();
    if (!same_core_) {
      std::fprintf(
          stderr,
          "clusterctl: warning: recorded by clusterd %s (core %s), replayed by another one (core %s): "
          "differences may come from that\n",
          printable(head.version).c_str(), printable(head.core).c_str(), record::core_hash());
    }
    record::Replay replay(*config, [this](const ToldLine& line) { tell(line); });
    for (const Part& part : parts_) {
      auto reader = FileReader::open(part.bytes);
      if (auto done = replay.part(*reader); !done)
        return complain(part.file + ": " + done.error().message, kExitFailed);
    }
    const ReplayReport& report = replay.report();
    if (flags_.json) {
      std::printf("%s\n", json(report).c_str());
    } else {
      std::fputs(text(report).c_str(), stdout);
    }
    return report.difference ? kExitHuman : report.damage ? kExitFailed : kExitOk;
  }

 private:
  void tell(const ToldLine& line) {
    if (flags_.decisions && !line.is_decision()) return;
    const std::string time = time_text(line.wall);
    if (!flags_.from.empty() && is_before(time, flags_.from)) return;
    if (!flags_.json) {
      std::printf("%s  %s\n", time.c_str(), printable(line.text).c_str());
      return;
    }
    told_.push_back(boost::json::object{{"time", json_time(line.wall)},
                                        {"step", line.step},
                                        {"decision", line.is_decision()},
                                        {"text", printable(line.text)}});
  }

  std::string text(const ReplayReport& report) const {
    const Head& head = parts_.front().head;
    std::string out = "\n";
    if (report.gaps > 0)
      out += fmt::format("{} steps are missing in {} gaps; the replay went on behind each\n", report.lost,
                         report.gaps);
    if (report.damage) out += fmt::format("{}: {}\n", parts_.back().file, *report.damage);
    if (report.ends_in_a_step) out += "the recording ends within a step: the daemon ended in it\n";
    if (report.difference) {
      const auto& d = *report.difference;
      out += fmt::format("DIFFERS at step {}, {}{}{}\n", d.step, time_text(d.wall),
                         d.event.empty() ? "" : ": ", d.event);
      if (!d.why.empty()) return out + "  " + d.why + "\n";
      return out + outcome_text("recorded", d.recorded) + outcome_text("replayed", d.replayed);
    }
    return out + fmt::format("reproduced{}: {} steps, {} decisions, all equal ({}, {} to {})\n",
                             report.damage ? " up to the damage" : "", report.steps, report.decisions,
                             printable(head.node), time_text(report.from.value_or(WallTime{})),
                             time_text(report.to.value_or(WallTime{})));
  }

  std::string json(const ReplayReport& report) {
    const Head& head = parts_.front().head;
    boost::json::array files;
    for (const Part& part : parts_) files.emplace_back(part.file);
    boost::json::object out{{"node", printable(head.node)},
                            {"version", printable(head.version)},
                            {"same_core", same_core_},
                            {"files", std::move(files)},
                            {"from", json_time(report.from.value_or(WallTime{}))},
                            {"to", json_time(report.to.value_or(WallTime{}))},
                            {"steps", report.steps},
                            {"decisions", report.decisions},
                            {"gaps", report.gaps},
                            {"lost", report.lost},
                            {"ends_in_a_step", report.ends_in_a_step},
                            {"equal", !report.difference},
                            {"told", std::move(told_)}};
    out["damage"] = report.damage ? boost::json::value(*report.damage) : boost::json::value();
    out["difference"] = nullptr;
    if (report.difference) {
      const auto& d = *report.difference;
      out["difference"] = boost::json::object{{"step", d.step},
                                              {"time", json_time(d.wall)},
                                              {"event", d.event},
                                              {"why", d.why},
                                              {"recorded", outcome_json(d.recorded)},
                                              {"replayed", outcome_json(d.replayed)}};
    }
    return boost::json::serialize(out);
  }

  std::vector<Part> parts_;
  const ReplayFlags& flags_;
  bool same_core_ = true;
  boost::json::array told_;
};

int replay(const Globals& globals, const ReplayFlags& flags) {
  const std::string from = flags.file.empty() ? globals.state_dir + "/record" : flags.file;
  std::error_code error;
  std::vector<Part> parts;
  if (fs::is_directory(from, error)) {
    auto life = read_life(from);
    if (!life) return complain(life.error(), kExitFailed);
    parts = std::move(*life);
  } else {
    auto part = read_part(from);
    if (!part) return complain(part.error(), kExitFailed);
    parts.push_back(std::move(*part));
  }
  return Replaying(std::move(parts), flags).run();
}

}  // namespace

void add_replay_verbs(CLI::App& app, Globals& globals, Chosen& chosen) {
  auto flags = std::make_shared<ReplayFlags>();
  CLI::App* sub = app.add_subcommand(
      "replay", "Run the core again on a recording, and prove that it decides the same as it did then");
  sub->add_option("file", flags->file,
                  "A recording, or a folder of them: the newest daemon's life (default: STATE_DIR/record)");
  sub->add_option("--from", flags->from, "Print from this time on (UTC): 18:01:03, or \"2026-11-22 18:01\"");
  sub->add_flag("--decisions", flags->decisions, "Print decisions only");
  sub->add_flag("--json", flags->json, "As JSON");
  sub->footer(
      "Example: clusterctl replay --decisions\n"
      "         clusterctl replay /var/lib/clusterd/record/000012-20261122T204500Z.rec --from 18:01\n"
      "Exit codes: 0 reproduced; 1 unreadable or damaged (replayed up to the damage); 4 it decides "
      "differently.");
  sub->callback([&, flags] { chosen = [&, flags] { return replay(globals, *flags); }; });
}

}  // namespace clusterd::ctl
