// `crm configure show`: one statement per line, lines joined by backslashes.
#include <fmt/format.h>

#include <algorithm>

#include "import/pacemaker.hpp"

namespace clusterd::imports {

namespace {

using Words = std::vector<std::string>;

// "ip=192.168.1.20" into name and value.
std::optional<std::pair<std::string, std::string>> pair_of(const std::string& word) {
  const size_t equals = word.find('=');
  if (equals == std::string::npos || equals == 0) return std::nullopt;
  return std::pair{word.substr(0, equals), word.substr(equals + 1)};
}

// "web:start", "db:Master": the resource alone.
std::string id_of(const std::string& word) { return word.substr(0, word.find(':')); }

// primitive ID AGENT [params] k=v … op … meta …
void read_primitive(const Words& words, int line, Pacemaker& source) {
  if (words.size() < 3 || source.primitives.size() >= kMaxResources) return;
  Primitive primitive{words[1], words[2], {}, line};
  if (std::count(primitive.agent.begin(), primitive.agent.end(), ':') == 0)
    primitive.agent = "ocf:heartbeat:" + primitive.agent;
  bool parameters = true;
  for (size_t i = 3; i < words.size(); ++i) {
    if (words[i] == "params") parameters = true;
    if (words[i] == "op" || words[i] == "meta" || words[i] == "utilization" || words[i] == "operations")
      parameters = false;
    if (const auto pair = pair_of(words[i]); parameters && pair) primitive.parameters.insert(*pair);
  }
  source.primitives.push_back(std::move(primitive));
}

void read_group(const Words& words, Pacemaker& source) {
  if (words.size() < 3 || source.groups.size() >= kMaxResources) return;
  setup::Lines members;
  for (size_t i = 2; i < words.size() && words[i] != "meta" && words[i] != "params"; ++i)
    members.push_back(words[i]);
  source.groups.emplace_back(words[1], std::move(members));
}

// location ID RSC 100: NODE
void read_location(const Words& words, int line, Pacemaker& source, Finder& finder) {
  if (words.size() == 5 && words[3].back() == ':') {
    if (const auto score = score_of(std::string_view(words[3]).substr(0, words[3].size() - 1));
        score && source.places.size() < kMaxResources) {
      source.places.push_back({words[2], words[4], *score});
      return;
    }
  }
  finder.left(line, fmt::format("location {}: a rule", words.size() > 1 ? words[1] : ""),
              "prefer = \"NODE\" in the service");
}

// colocation ID inf: A B …; what has a negative score is kept apart.
void read_colocation(const Words& words, int line, Pacemaker& source, Finder& finder) {
  const auto score = words.size() > 4 && words[2].back() == ':'
                         ? score_of(std::string_view(words[2]).substr(0, words[2].size() - 1))
                         : std::nullopt;
  if (!score || (*score < 0 && words.size() != 5)) {
    finder.left(line, fmt::format("colocation {}", words.size() > 1 ? words[1] : ""),
                "with or apart_from in the services");
  } else if (*score < 0) {
    if (source.apart.size() < kMaxResources) source.apart.push_back({id_of(words[3]), id_of(words[4]), line});
  } else {
    for (size_t i = 4; i < words.size() && source.together.size() < kMaxResources; ++i)
      source.together.emplace_back(id_of(words[3]), id_of(words[i]));
  }
}

// order ID Mandatory: A B …; one that does not bind, or has sets, is none here.
void read_order(const Words& words, int line, Pacemaker& source, Finder& finder) {
  const bool kind = words.size() > 2 && words[2].back() == ':';
  const std::string word = kind ? lowered(std::string_view(words[2]).substr(0, words[2].size() - 1)) : "";
  const bool binds = !kind || word == "mandatory" || score_of(word).value_or(0) > 0;
  const auto first = words.begin() + std::min<ptrdiff_t>(kind ? 3 : 2, std::ssize(words));
  Words ids;
  for (auto at = first; at != words.end(); ++at) {
    if (at->find('=') == std::string::npos) ids.push_back(*at);  // symmetrical=false and the like
  }
  const bool sets = std::any_of(ids.begin(), ids.end(), [](const std::string& id) {
    return id.find_first_of("()[]") != std::string::npos;
  });
  if (!binds || sets || ids.size() < 2) {
    finder.left(line, fmt::format("order {}", words.size() > 1 ? words[1] : ""),
                "after = [\"SERVICE\"] in the service that has to wait");
    return;
  }
  for (size_t i = 1; i < ids.size() && source.orders.size() < kMaxResources; ++i)
    source.orders.push_back({id_of(ids[i - 1]), id_of(ids[i]), line});
}

void read_properties(const Words& words, Pacemaker& source) {
  for (const std::string& word : words) {
    const auto pair = pair_of(word);
    if (pair && pair->first == "cluster-name") source.cluster = pair->second;
    if (pair && (pair->first == "resource-stickiness" || pair->first == "default-resource-stickiness"))
      source.stickiness = score_of(pair->second).value_or(0);
  }
}

void read_statement(const Words& words, int line, Pacemaker& source, Finder& finder) {
  const std::string& word = words[0];
  const std::string name = words.size() > 1 ? words[1] : "";
  if (word == "node") {
    // "node 1: serv1 attributes …" or "node serv1"
    const bool numbered = !name.empty() && name.back() == ':' && words.size() > 2;
    std::string node = numbered ? words[2] : name;
    if (node.find(':') != std::string::npos) node.resize(node.find(':'));
    if (!node.empty()) source.nodes.push_back(node);
  } else if (word == "primitive") {
    read_primitive(words, line, source);
  } else if (word == "group") {
    read_group(words, source);
  } else if (word == "clone" && words.size() > 2) {
    source.clones.push_back(words[2]);
  } else if (word == "ms" || word == "master") {
    finder.left(line, fmt::format("{} {}: a resource with two roles", word, name),
                "a mirror, or the program's own replication with a unit on each node");
  } else if (word == "location") {
    read_location(words, line, source, finder);
  } else if (word == "colocation" || word == "collocation") {
    read_colocation(words, line, source, finder);
  } else if (word == "order") {
    read_order(words, line, source, finder);
  } else if (word == "property" || word == "rsc_defaults" || word == "op_defaults") {
    read_properties(words, source);
  } else {
    finder.left(line, fmt::format("{} {}", word, name),
                "look into docs/configuration.md whether it is needed");
  }
}

}  // namespace

Imported from_crm(const SourceFiles& files) {
  Imported out;
  Finder finder(out);
  Pacemaker source;
  for (const SourceFile& file : files) {
    source.file = file.name;
    finder.in(file.name);
    for (const Line& line : lines_of(file.text, true)) {
      if (const Words words = words_of(line.text, "#"); !words.empty())
        read_statement(words, line.number, source, finder);
    }
  }
  out.sketch.comments = {"From the output of `crm configure show`."};
  translate(source, out, finder);
  return out;
}

}  // namespace clusterd::imports
