// clusterctl diff, plan, versions: one configuration for both nodes. apply and rollback: verbs_apply.cpp.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <ctime>
#include <memory>

#include "ctl/exit_codes.hpp"
#include "ctl/verbs_apply.hpp"
#include "keep/words.hpp"
#include "linux/versions/store.hpp"
#include "versions/plan.hpp"

namespace clusterd::ctl {

namespace {

namespace json = boost::json;
using versions::Plan;
using versions::Record;

int refuse_reader(const std::string& verb) {
  if (::geteuid() == 0) return kExitOk;
  return complain(
      fmt::format("{} reads what root alone may read (the configuration may hold passwords):  sudo "
                  "clusterctl {}",
                  verb, verb),
      kExitNotAllowed);
}

struct View {
  Record record;
  ConfigTexts in_force, edited;
  std::string self;
};

class Versions {
 public:
  explicit Versions(const Globals& globals)
      : globals_(globals), store_(globals.state_dir, globals.config_dir), self_(globals.own_name()) {}

  [[nodiscard]] const VersionStore& store() const { return store_; }
  [[nodiscard]] const std::string& self() const { return self_; }

  // What is in force, and what stands in /etc/cluster.d.
  [[nodiscard]] tl::expected<View, int> look() const {
    View view;
    view.record = store_.load();
    view.self = self_;
    const versions::Version* current = view.record.in_place();
    if (current == nullptr)
      return tl::unexpected(complain(
          "there is no version yet: clusterd has not run with this configuration\n  systemctl start clusterd",
          kExitFailed));
    auto in_force = store_.files(current->number);
    auto edited = store_.edited();
    if (!in_force || !edited)
      return tl::unexpected(complain((in_force ? edited : in_force).error().message, kExitFailed));
    view.in_force = std::move(*in_force);
    view.edited = std::move(*edited);
    return view;
  }

  // nullopt: complained.
  [[nodiscard]] std::optional<Config> understood(const ConfigTexts& files, const std::string& what) const {
    auto config = parse_config(files, globals_.config_dir, self_);
    if (config) return std::move(*config);
    std::string all = what;
    for (const ConfigProblem& problem : config.error()) all += "\n" + describe(problem);
    complain(all, kExitConfig);
    return std::nullopt;
  }

 private:
  const Globals& globals_;
  VersionStore store_;
  std::string self_;
};

// ---- diff ----

struct FileDiff {
  std::string name, what;
  std::vector<std::string> lines;
};

std::vector<FileDiff> compare(const ConfigTexts& old, const ConfigTexts& now) {
  std::vector<FileDiff> out;
  ConfigTexts all = old;
  all.insert(now.begin(), now.end());
  for (const auto& [name, unused] : all) {
    const auto before = old.find(name), after = now.find(name);
    const std::string a = before == old.end() ? "" : before->second,
                      b = after == now.end() ? "" : after->second;
    if (before != old.end() && after != now.end() && a == b) continue;
    const char* what = before == old.end() ? "new" : after == now.end() ? "removed" : "changed";
    out.push_back({name, what, versions::line_diff(a, b)});
  }
  return out;
}

json::array json_of(const std::vector<FileDiff>& diffs) {
  json::array out;
  for (const FileDiff& diff : diffs)
    out.push_back(
        json::object{{"file", diff.name}, {"what", diff.what}, {"lines", json::value_from(diff.lines)}});
  return out;
}

void show(const std::vector<FileDiff>& diffs, const std::string& title, const Look& look) {
  print(styled(title, Style::kBold, look) + "\n");
  for (const FileDiff& diff : diffs) {
    print(fmt::format("{} ({})\n", diff.name, diff.what));
    for (const std::string& line : diff.lines) {
      const Style style = line[0] == '+' ? Style::kGood : line[0] == '-' ? Style::kBad : Style::kDim;
      print("    " + styled(printable(line), style, look) + "\n");
    }
  }
}

int diff(const Globals& globals, bool as_json) {
  if (const int code = refuse_reader("diff"); code != kExitOk) return code;
  const Versions versions(globals);
  const auto view = versions.look();
  if (!view) return view.error();
  const auto own = compare(view->in_force, view->edited);
  const auto answer = ask_keeper(globals, keep::asked("files-peer"), true);
  const auto theirs = answer ? keep::files_from(*answer) : fail(Code::kRetry, "clusterd does not run here");
  const auto other = theirs ? compare(view->edited, *theirs) : std::vector<FileDiff>{};
  const uint64_t number = view->record.in_place()->number;
  if (as_json) {
    json::object object{{"version", number}, {"edited", json_of(own)}};
    if (theirs) object["peer"] = json_of(other);
    if (!theirs) object["peer_error"] = theirs.error().message;
    print(json::serialize(object) + "\n");
    return kExitOk;
  }
  const Look look = terminal_look();
  if (own.empty())
    print(fmt::format("{} is version {}, unchanged\n", globals.config_dir, number));
  else
    show(own, fmt::format("edited here since version {}:", number), look);
  if (!theirs)
    print(fmt::format("the other node was not compared: {}\n", printable(theirs.error().message)));
  else if (other.empty())
    print("the other node has the same files\n");
  else
    show(other, "what the other node has instead (+):", look);
  return kExitOk;
}

// ---- plan ----

json::object json_of(const Plan& plan) {
  json::array services, cluster;
  const auto steps = [](const std::vector<versions::Step>& all) {
    json::array out;
    for (const versions::Step& step : all)
      out.push_back(json::object{{"effect", versions::name(step.effect)}, {"text", step.text}});
    return out;
  };
  for (const versions::ServicePlan& service : plan.services)
    services.push_back(json::object{{"service", service.service},
                                    {"effect", versions::name(service.worst())},
                                    {"steps", steps(service.steps)}});
  return {{"services", std::move(services)},
          {"cluster", steps(plan.cluster)},
          {"untouched", json::value_from(plan.untouched)},
          {"clean_restart", plan.restarts()},
          {"holds_back", plan.arbitration},
          {"refused", plan.refused}};
}

void show(const Plan& plan, const Look& look) {
  if (!plan.restarts()) {
    print("nothing changes but comments and formatting\n");
    return;
  }
  Table table({"SERVICE", "EFFECT", "WHAT HAPPENS"});
  const auto style = [](versions::Effect effect) {
    return effect == versions::Effect::kNothing                                             ? Style::kPlain
           : effect == versions::Effect::kEnds || effect == versions::Effect::kUnitRestarts ? Style::kWarn
                                                                                            : Style::kBold;
  };
  for (const versions::ServicePlan& service : plan.services) {
    for (size_t i = 0; i < service.steps.size(); ++i)
      table.row({{i == 0 ? service.service : ""},
                 {versions::name(service.steps[i].effect), style(service.steps[i].effect)},
                 {printable(service.steps[i].text)}});
  }
  for (const std::string& name : plan.untouched) table.row({{name}, {"untouched", Style::kDim}, {""}});
  for (size_t i = 0; i < plan.cluster.size(); ++i)
    table.row({{i == 0 ? "the cluster" : ""},
               {versions::name(plan.cluster[i].effect)},
               {printable(plan.cluster[i].text)}});
  print(table.text(look));
  print("clusterd takes it on both nodes by a clean restart: what is not named above goes on undisturbed\n");
  if (plan.arbitration)
    print("until both nodes have it and hear each other, a node that fails is not taken over by itself\n");
}

int show_plan(const Globals& globals, uint64_t rollback_to, bool as_json) {
  if (const int code = refuse_reader("plan"); code != kExitOk) return code;
  const Versions versions(globals);
  auto view = versions.look();
  if (!view) return view.error();
  if (rollback_to != 0) {
    auto files = versions.store().files(rollback_to);
    if (!files) return complain(files.error().message, kExitFailed);
    view->edited = std::move(*files);
  }
  const auto old = versions.understood(view->in_force, "the version in force has errors:");
  const auto now = old ? versions.understood(view->edited, "the configuration has errors:") : std::nullopt;
  if (!old || !now) return kExitConfig;
  const Plan plan = versions::plan(*old, *now);
  if (as_json) {
    json::object object = json_of(plan);
    object["version"] = view->record.in_place()->number;
    print(json::serialize(object) + "\n");
  } else {
    if (plan.refused.empty()) show(plan, terminal_look());
  }
  if (!plan.refused.empty()) return as_json ? kExitFailed : complain(plan.refused, kExitFailed);
  return kExitOk;
}

// ---- versions ----

std::string date(int64_t at_s) {
  const auto seconds = static_cast<time_t>(at_s);
  tm parts{};
  ::localtime_r(&seconds, &parts);
  char text[32] = {};
  return ::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts) == 0 ? "" : text;
}

json::object json_of(const versions::Version& version) {
  return {{"number", version.number},
          {"digest", version.digest},
          {"by", version.by},
          {"at", version.at_s},
          {"how", version.how}};
}

int list(const Globals& globals, bool as_json) {
  if (const int code = refuse_reader("versions"); code != kExitOk) return code;
  const VersionStore store(globals.state_dir, globals.config_dir);
  const Record record = store.load();
  const auto edited = store.edited();
  const bool changed =
      edited && record.in_place() != nullptr && versions::digest_of(*edited) != record.in_place()->digest;
  if (as_json) {
    json::array all;
    for (const versions::Version& version : record.history) all.push_back(json_of(version));
    json::object object{{"versions", std::move(all)},
                        {"edited", changed},
                        {"last", record.last},
                        {"conflict", record.conflict}};
    if (record.change)
      object["change"] = json::object{{"to", json_of(record.change->to)},
                                      {"phase", versions::name(record.change->phase)},
                                      {"owner", record.change->owner},
                                      {"failed", record.change->failed}};
    print(json::serialize(object) + "\n");
  } else {
    Table table({"VERSION", "SINCE", "BY", "HOW"});
    for (const versions::Version& version : record.history)
      table.row(
          {{std::to_string(version.number)}, {date(version.at_s)}, {version.by}, {printable(version.how)}});
    print(table.empty() ? "no version yet: clusterd has not run with this configuration\n"
                        : table.text(terminal_look()));
    if (record.change)
      print(fmt::format("version {} of {} {}\n", record.change->to.number, record.change->to.by,
                        printable(progress(*record.change))));
    if (!record.last.empty()) print(printable(record.last) + "\n");
    if (changed) print(globals.config_dir + " was edited since:  clusterctl diff\n");
    if (!record.conflict.empty()) print("!! " + printable(record.conflict) + "\n");
  }
  return record.conflict.empty() ? kExitOk : kExitHuman;
}

}  // namespace

void add_version_verbs(CLI::App& app, Globals& globals, Chosen& chosen) {
  auto json = std::make_shared<bool>(false);
  CLI::App* verb = app.add_subcommand(
      "diff", "What was edited in /etc/cluster.d since the version in force, and what the other node has");
  verb->add_flag("--json", *json, "As JSON");
  verb->footer("Example: clusterctl diff");
  verb->callback([&, json] { chosen = [&, json] { return diff(globals, *json); }; });

  auto plan_json = std::make_shared<bool>(false);
  auto plan_to = std::make_shared<uint64_t>(0);
  verb = app.add_subcommand("plan", "What applying the edited configuration would do to each service");
  verb->add_option("--rollback", *plan_to, "Instead: what returning to this version would do");
  verb->add_flag("--json", *plan_json, "As JSON");
  verb->footer("Example: clusterctl plan");
  verb->callback([&, plan_json, plan_to] {
    chosen = [&, plan_json, plan_to] { return show_plan(globals, *plan_to, *plan_json); };
  });

  auto list_json = std::make_shared<bool>(false);
  verb = app.add_subcommand("versions",
                            "The versions of the configuration that are kept, and what is under way");
  verb->add_flag("--json", *list_json, "As JSON");
  verb->footer("Example: clusterctl versions");
  verb->callback([&, list_json] { chosen = [&, list_json] { return list(globals, *list_json); }; });
}

}  // namespace clusterd::ctl
