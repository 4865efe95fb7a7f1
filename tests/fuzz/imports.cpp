// Other systems' configurations. The first byte chooses the format; "%%" lines part files.
#include "import/import.hpp"
#include "targets.hpp"

namespace clusterd::fuzz {

void fuzz_imports(Bytes input) {
  Feed feed(input);
  const auto& formats = imports::formats();
  const imports::Format& format = formats[feed.below(formats.size())];
  static constexpr const char* kNames[][4] = {{"serv1.conf", "serv1/Fa", "crontab", "serv2.conf"},
                                              {"serv1.conf", "serv2.conf", "third.conf", "keepalived.conf"},
                                              {"ha.cf", "haresources", "authkeys", "other"},
                                              {"pcs.txt", "more.txt", "a", "b"},
                                              {"crm.txt", "more.txt", "a", "b"}};
  const auto& names = kNames[static_cast<size_t>(&format - formats.data())];
  imports::SourceFiles files;
  std::string rest(text_of(feed.rest()));
  for (const char* name : names) {
    const size_t end = rest.find("%%\n");
    files.push_back({name, rest.substr(0, end)});
    if (end == std::string::npos) break;
    rest.erase(0, end + 3);
  }
  imports::Imported imported = format.import(files);
  require(imported.left.size() <= imports::kMaxLeft + 1, "what is left is bounded");
  require(imported.sketch.services.size() <= kMaxServices, "services are bounded");
  require(imports::told(imported.left).find('\x1b') == std::string::npos, "nothing reaches the terminal");
  setup::settle(imported.sketch);
  const auto lines = setup::missing(imported.sketch);
  require(lines.size() <= 200, "what is missing is bounded");
  const ConfigTexts texts = setup::written(imported.sketch);
  std::vector<ConfigProblem> warnings;
  const auto config = parse_config(texts, "/etc/cluster.d", kAnyNode, &warnings);
  if (config) return;
  // Values may be refused, but what was written is always TOML.
  for (const ConfigProblem& problem : config.error())
    require(problem.text.find("syntax error") == std::string::npos, "the texts are TOML");
}

}  // namespace clusterd::fuzz
