// clusterctl complete WORDS…: what may stand in place of the last word. For the shells' completion
// (packaging/ completions), which so knows every verb and option that there is, and the names of the cluster
// that runs.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <set>

#include "ctl/client.hpp"
#include "ctl/exit_codes.hpp"
#include "ctl/json_view.hpp"
#include "ctl/verbs.hpp"

namespace clusterd::ctl {

namespace {

using Words = std::vector<std::string>;

// Names of a kind ("service", "node", "mirror") as the daemon knows them; of mirrors, those of `service`.
Words live_names(const Globals& globals, const std::string& kind, const std::string& service) {
  Words names;
  const auto answer = Client(globals.run_dir).get("/v1/status");
  if (!answer || answer->status != 200) return names;
  const auto value = parse_or_null(answer->body);
  const View status(&value);
  if (kind == "node") {
    status["nodes"].members([&](const std::string& name, View) { names.push_back(name); });
    return names;
  }
  status["services"].each([&](View entry) {
    if (kind == "service") names.push_back(entry["name"].text());
    if (kind != "mirror" || entry["name"].text() != service) return;
    entry["mirrors"].each([&](View mirror) { names.push_back(mirror["name"].text()); });
  });
  return names;
}

// "Options" that begin with a dash, of this verb and of those above it.
void add_flags(const CLI::App* verb, Words& words) {
  for (; verb != nullptr; verb = verb->get_parent()) {
    for (const CLI::Option* option : verb->get_options()) {
      for (const std::string& name : option->get_lnames()) words.push_back("--" + name);
    }
  }
}

CLI::App* sub_verb(CLI::App* verb, const std::string& word) {
  for (CLI::App* sub : verb->get_subcommands(nullptr)) {
    if (sub->get_name() == word) return sub;
  }
  return nullptr;
}

// Whether `word` is an option whose value is the next word.
bool takes_value(const CLI::App* verb, const std::string& word) {
  for (; verb != nullptr; verb = verb->get_parent()) {
    const CLI::Option* option = verb->get_option_no_throw(word);
    if (option != nullptr) return option->get_items_expected_max() > 0;
  }
  return false;
}

Words positionals(CLI::App* verb) {
  Words names;
  for (const CLI::Option* option : verb->get_options()) {
    if (option->get_positional()) names.push_back(option->get_name(true));
  }
  return names;
}

Words candidates(CLI::App& app, const Globals& globals, const Words& words) {
  CLI::App* verb = &app;
  Words given;
  std::string before;
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    before = words[i];
    if (takes_value(verb, words[i])) {
      if (i + 2 == words.size()) break;
      ++i;
      before.clear();
    } else if (CLI::App* sub = sub_verb(verb, words[i]); sub != nullptr && given.empty()) {
      verb = sub;
    } else if (words[i].rfind('-', 0) != 0) {
      given.push_back(words[i]);
    }
  }
  if (!before.empty() && takes_value(verb, before)) {
    const bool is_node = before == "--node" || before == "--self" ||
                         (before == "--from" && verb->get_name() == "keep");  // others mean another "from"
    return is_node ? live_names(globals, "node", "") : Words{};
  }
  Words found;
  if (!words.empty() && words.back().rfind('-', 0) == 0) {
    add_flags(verb, found);
    return found;
  }
  if (given.empty()) {
    for (const CLI::App* sub : verb->get_subcommands(nullptr)) {
      if (!sub->get_group().empty()) found.push_back(sub->get_name());
    }
  }
  const Words places = positionals(verb);
  if (given.size() < places.size()) {
    for (std::string& name : live_names(globals, places[given.size()], given.empty() ? "" : given[0]))
      found.push_back(std::move(name));
  }
  return found;
}

}  // namespace

void add_complete_verb(CLI::App& app, Globals& globals, Chosen& chosen) {
  CLI::App* sub = app.add_subcommand("complete", "What may stand in place of the last word (for shells)");
  sub->group("");           // not for people
  sub->fallthrough(false);  // the words after it are none of this command line
  sub->allow_extras();
  sub->prefix_command();
  sub->footer("Example: clusterctl complete move \"\"");
  sub->callback([&app, &globals, &chosen, sub] {
    chosen = [&app, &globals, words = sub->remaining()] {
      const Words found = candidates(app, globals, words);
      for (const std::string& word : std::set<std::string>(found.begin(), found.end()))
        std::printf("%s\n", word.c_str());
      return kExitOk;
    };
  });
}

}  // namespace clusterd::ctl
