// clusterctl always: the files that both nodes have, and what a human decides of them (docs/decisions/0015).
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <ctime>
#include <map>
#include <memory>
#include <thread>

#include "ctl/exit_codes.hpp"
#include "ctl/json_view.hpp"
#include "ctl/verbs_apply.hpp"
#include "keep/always.hpp"

namespace clusterd::ctl {

namespace {

namespace json = boost::json;

int refuse_reader(const std::string& verb) {
  if (::geteuid() == 0) return kExitOk;
  return complain(fmt::format("{0} shows what root alone may read:  sudo clusterctl {0}", verb),
                  kExitNotAllowed);
}

// Null: complained, with the exit code.
tl::expected<json::value, int> ask(const Globals& globals) {
  const auto answer = ask_keeper(globals, keep::asked("always-show"));
  if (!answer) return tl::unexpected(answer.error());
  json::value value = parse_or_null(*answer);
  if (!value.is_object())
    return tl::unexpected(complain("the answer is none of clusterd-config", kExitFailed));
  if (const View refused = View(&value)["refused"]; refused.known())
    return tl::unexpected(complain(printable(refused.text()), kExitFailed));
  return value;
}

bool waits_for_human(View file) {
  const std::string state = file["state"].text();
  return state == "conflict" || state == "refused";
}

std::string date(uint64_t at_s) {
  const auto seconds = static_cast<time_t>(at_s);
  tm parts{};
  ::localtime_r(&seconds, &parts);
  char text[32] = {};
  return ::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts) == 0 ? "" : text;
}

std::string described(View entry) {
  if (!entry.known()) return "absent";
  const std::string kind = entry["kind"].text();
  if (kind == "link") return "-> " + printable(entry["leads_to"].text());
  if (kind == "file") return fmt::format("{}, {} bytes", date(entry["mtime"].count()), entry["size"].count());
  return printable(kind);
}

std::string summary(View path) {
  std::string out;
  for (const char* state : {"agreed", "arriving", "waiting", "conflict", "refused"}) {
    const uint64_t count = path[state].count();
    if (count != 0) out += fmt::format("{}{} {}", out.empty() ? "" : ", ", count, state);
  }
  return out.empty() ? "nothing there" : out;
}

Style style_of(const std::string& state) {
  return state == "conflict" || state == "refused" ? Style::kBad
         : state == "agreed"                       ? Style::kGood
                                                   : Style::kWarn;
}

void render(View shown) {
  const Look look = terminal_look();
  const std::string self = printable(shown["node"].text()), peer = printable(shown["peer"].text());
  const std::string halted = shown["halted"].text(), no_contact = shown["no_contact"].text();
  Table listed({"LISTED", "FILES AND DIRECTORIES"});
  shown["paths"].each([&](View path) { listed.row({{printable(path["path"].text())}, {summary(path)}}); });
  if (listed.empty())
    return print("nothing is listed: [always] in cluster.toml names what both nodes shall have\n");
  print(listed.text(look));
  Table table({"PATH", "STATE", self, peer});
  std::map<std::string, std::pair<std::string, size_t>> reasons;  // the first path, and how many
  std::string conflict;
  shown["files"].each([&](View file) {
    const std::string state = file["state"].text(), path = printable(file["path"].text());
    table.row({{path}, {state, style_of(state)}, {described(file["here"])}, {described(file["there"])}});
    if (!waits_for_human(file)) return;
    ++reasons.try_emplace(printable(file["why"].text()), path, 0).first->second.second;
    if (state == "conflict" && conflict.empty()) conflict = path;
  });
  if (!table.empty()) print("\n" + table.text(look));
  for (const auto& [why, paths] : reasons)
    print(fmt::format("!! {}{}: {}\n", paths.first,
                      paths.second > 1 ? fmt::format(" and {} more", paths.second - 1) : "", why));
  if (!conflict.empty())
    print(fmt::format("   whose shall hold?  clusterctl always keep {} --from {}\n", conflict, self));
  if (!halted.empty()) print("nothing is carried: " + printable(halted) + "\n");
  if (!no_contact.empty())
    print(
        fmt::format("{} is not reached ({}): it gets what waits when it is\n", peer, printable(no_contact)));
}

int exit_code(View shown) {
  bool stuck = false;
  shown["files"].each([&](View file) { stuck = stuck || waits_for_human(file); });
  return stuck ? kExitHuman : kExitOk;
}

int show(const Globals& globals, bool as_json) {
  if (const int code = refuse_reader("always"); code != kExitOk) return code;
  const auto answer = ask(globals);
  if (!answer) return answer.error();
  if (as_json)
    print(json::serialize(*answer) + "\n");
  else
    render(View(&*answer));
  return exit_code(View(&*answer));
}

// Whether a conflict is left at the path, or below it.
bool conflict_at(View shown, const std::string& path) {
  const std::string wanted = always::bare(path);
  bool any = false;
  shown["files"].each([&](View file) {
    any = any || (file["state"].text() == "conflict" && always::is_under(file["path"].text(), wanted));
  });
  return any;
}

int decide(const Globals& globals, const std::string& path, const std::string& from) {
  if (const int code = refuse_reader("always"); code != kExitOk) return code;
  const auto answer = ask_keeper(globals, keep::asked_to_keep(path, from));
  if (!answer) return answer.error();
  if (const auto done = keep::done_from(*answer); !done)
    return complain(printable(done.error().message), kExitFailed);
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (std::chrono::steady_clock::now() < patience) {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    const auto now = ask(globals);
    if (!now) return now.error();
    if (conflict_at(View(&*now), path)) continue;
    print(fmt::format("what {} has at {} holds; what it replaces is kept under {}/always/replaced\n",
                      printable(from), printable(path), globals.state_dir));
    return kExitOk;
  }
  return complain("it is still a conflict: was it changed meanwhile?  clusterctl always", kExitFailed);
}

}  // namespace

void add_always_verbs(CLI::App& app, Globals& globals, Chosen& chosen) {
  auto as_json = std::make_shared<bool>(false);
  CLI::App* verb = app.add_subcommand(
      "always",
      "The files that both nodes have wherever they are edited: which agree, wait, or are a conflict");
  verb->require_subcommand(0, 1);
  verb->add_flag("--json", *as_json, "As JSON");
  verb->footer("Example: clusterctl always");
  verb->callback([&, verb, as_json] {
    if (!verb->get_subcommands().empty()) return;
    chosen = [&, as_json] { return show(globals, *as_json); };
  });

  struct Decision {
    std::string path, from;
  };
  auto decision = std::make_shared<Decision>();
  CLI::App* keep =
      verb->add_subcommand("keep", "Decide a conflict: what one node has at a path holds on both");
  keep->add_option("path", decision->path,
                   "As `clusterctl always` shows it; a directory stands for all below it")
      ->required();
  keep->add_option("--from", decision->from, "The node whose files hold")->required();
  keep->footer("Example: clusterctl always keep /etc/hosts --from serv1");
  keep->callback(
      [&, decision] { chosen = [&, decision] { return decide(globals, decision->path, decision->from); }; });
}

}  // namespace clusterd::ctl
