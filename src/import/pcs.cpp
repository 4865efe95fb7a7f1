// `pcs config`: sections and resources told by indentation. pcs 0.10 writes "Attributes: ip=… nic=…" on one
// line, pcs 0.11 one "ip=…" per line below "Attributes: ID-instance_attributes".
#include <fmt/format.h>

#include <algorithm>

#include "import/pacemaker.hpp"

namespace clusterd::imports {

namespace {

using Words = std::vector<std::string>;

size_t indentation(const std::string& text) {
  const size_t at = text.find_first_not_of(' ');
  return at == std::string::npos ? text.size() : at;
}

std::string after(const std::string& text, const std::string& mark, const std::string& end) {
  const size_t at = text.find(mark);
  if (at == std::string::npos) return "";
  const size_t from = at + mark.size();
  return text.substr(from, text.find_first_of(end, from) - from);
}

class Reader {
 public:
  Reader(Pacemaker& source, Finder& finder) : source_(source), finder_(finder) {}

  void line(const Line& line) {
    const std::string text(trimmed(line.text));
    if (text.empty()) return;
    const size_t depth = indentation(line.text);
    if (depth == 0) {
      section(text);
    } else if (section_ == "Corosync Nodes" || section_ == "Pacemaker Nodes") {
      for (const std::string& name : words_of(text, "")) source_.nodes.push_back(name);
    } else if (section_ == "Resources" || section_ == "Stonith Devices") {
      resource(text, depth, line.number);
    } else if (section_.find("Location") == 0) {
      location(text, line.number);
    } else if (section_.find("Colocation") == 0) {
      colocation(text, line.number);
    } else if (section_.find("Order") == 0) {
      order(text, line.number);
    } else if (section_ == "Resources Defaults" || section_ == "Cluster Properties") {
      properties(text);
    }
  }

 private:
  void section(const std::string& text) {
    const size_t colon = text.find(':');
    section_ = text.substr(0, colon);
    attributes_ = false;
    groups_.clear();
    if (section_ == "Cluster Name" && colon != std::string::npos)
      source_.cluster = trimmed(std::string_view(text).substr(colon + 1));
  }

  void resource(const std::string& text, size_t depth, int line) {
    while (!groups_.empty() && groups_.back().second >= depth) groups_.pop_back();
    if (text.rfind("Resource: ", 0) == 0) {
      primitive(text, depth, line);
    } else if (text.rfind("Group: ", 0) == 0) {
      const std::string id = after(text, "Group: ", " ");
      if (source_.groups.size() < kMaxResources) source_.groups.emplace_back(id, setup::Lines());
      groups_.emplace_back(id, depth);
    } else if (text.rfind("Clone: ", 0) == 0) {
      clone_depth_ = depth;
      cloned_ = true;
    } else if (text.rfind("Attributes:", 0) == 0) {
      attributes_ = true;
      attribute_depth_ = depth;
      pairs(text.substr(std::string_view("Attributes:").size()));
    } else if (attributes_ && depth > attribute_depth_) {
      pairs(text);
    } else {
      attributes_ = false;  // "Operations:", "Meta Attrs:" and what follows
    }
  }

  void primitive(const std::string& text, size_t depth, int line) {
    attributes_ = false;
    if (source_.primitives.size() >= kMaxResources) return;
    const std::string provider = after(text, "provider=", " )");
    const std::string standard = section_ == "Stonith Devices" ? "stonith" : after(text, "class=", " )");
    Primitive primitive{
        after(text, "Resource: ", " "),
        standard + ":" + (provider.empty() ? "" : provider + ":") + after(text, "type=", " )"),
        {},
        line};
    if (!groups_.empty()) {
      for (auto& [id, members] : source_.groups)
        if (id == groups_.back().first) members.push_back(primitive.id);
    }
    if (cloned_ && depth > clone_depth_) source_.clones.push_back(primitive.id);
    cloned_ = false;
    source_.primitives.push_back(std::move(primitive));
  }

  void pairs(const std::string& text) {
    if (source_.primitives.empty()) return;
    for (const std::string& word : words_of(text, "")) {
      const size_t equals = word.find('=');
      if (equals != std::string::npos && source_.primitives.back().parameters.size() < 100)
        source_.primitives.back().parameters.emplace(word.substr(0, equals), word.substr(equals + 1));
    }
  }

  // 0.10: "Resource: web" then "Enabled on: serv1 (score:100)" or "Enabled on:" and "Node: serv1
  // (score:100)". 0.11: "resource 'web' prefers node 'serv1' with score 100".
  void location(const std::string& text, int line) {
    const Words words = words_of(text, "");
    if (words.empty()) return;
    if (text.rfind("Resource: ", 0) == 0) {
      resource_ = after(text, "Resource: ", " ");
      enabled_ = true;
    } else if (words[0] == "resource" && words.size() >= 8 &&
               (words[2] == "prefers" || words[2] == "avoids")) {
      add_place(words[1], words[4], (words[2] == "avoids" ? "-" : "") + words[7]);
    } else {
      if (text.rfind("Enabled on:", 0) == 0) enabled_ = true;
      if (text.rfind("Disabled on:", 0) == 0) enabled_ = false;
      const std::string list =
          text.find("Node: ") != std::string::npos ? after(text, "Node: ", "(") : after(text, "on: ", "(");
      const Words nodes = words_of(list, "");
      std::string score = after(text, "score:", ")");
      if (score.empty()) score = "INFINITY";
      if (!nodes.empty()) {
        add_place(resource_, nodes[0], (enabled_ || score.front() == '-' ? "" : "-") + score);
      } else if (text.find("Rule") != std::string::npos || text.find("rule") != std::string::npos) {
        finder_.left(line, fmt::format("a rule: {:.80}", text), "prefer = \"NODE\" in the service");
      }
    }
  }

  void add_place(const std::string& resource, const std::string& node, const std::string& score) {
    const auto value = score_of(score);
    if (value && source_.places.size() < kMaxResources) source_.places.push_back({resource, node, *value});
  }

  // 0.10: "nginx with vip (score:INFINITY)". 0.11: "resource 'nginx' with resource 'vip'" and
  // "score=INFINITY".
  void colocation(const std::string& text, int line) {
    Words words = words_of(text, "");
    std::erase(words, "resource");
    std::erase(words, "Started");
    std::erase(words, "with");
    if (words.size() < 2 || text.find(" with ") == std::string::npos) return;
    const std::string score = after(text, "score:", ")");
    if (!score.empty() && score_of(score).value_or(-1) < 0) {
      if (source_.apart.size() < kMaxResources) source_.apart.push_back({words[0], words[1], line});
    } else if (source_.together.size() < kMaxResources) {
      source_.together.emplace_back(words[0], words[1]);
    }
  }

  // 0.10: "start vip then start nginx (kind:Mandatory)". 0.11: "start resource 'vip' then start resource
  // 'nginx'".
  void order(const std::string& text, int line) {
    Words words = words_of(text, "");
    std::erase(words, "resource");
    const bool start = words.size() >= 5 && words[0] == "start" && words[2] == "then" && words[3] == "start";
    const std::string kind = lowered(after(text, "kind:", " )"));
    if (start && (kind.empty() || kind == "mandatory")) {
      if (source_.orders.size() < kMaxResources) source_.orders.push_back({words[1], words[4], line});
    } else if (text.find(" then ") != std::string::npos || text.find("set ") != std::string::npos) {
      finder_.left(line, fmt::format("an order: {:.80}", text),
                   "after = [\"SERVICE\"] in the service that has to wait");
    }
  }

  void properties(const std::string& text) {
    for (const std::string& word : words_of(text, "")) {
      if (word.rfind("resource-stickiness=", 0) == 0)
        source_.stickiness = score_of(word.substr(20)).value_or(0);
      if (word.rfind("cluster-name=", 0) == 0 && source_.cluster.empty()) source_.cluster = word.substr(13);
    }
  }

  Pacemaker& source_;
  Finder& finder_;
  std::string section_, resource_;
  std::vector<std::pair<std::string, size_t>> groups_;  // that are open, with their indentation
  size_t attribute_depth_ = 0, clone_depth_ = 0;
  bool attributes_ = false, cloned_ = false, enabled_ = true;
};

}  // namespace

Imported from_pcs(const SourceFiles& files) {
  Imported out;
  Finder finder(out);
  Pacemaker source;
  for (const SourceFile& file : files) {
    source.file = file.name;
    finder.in(file.name);
    Reader reader(source, finder);
    for (const Line& line : lines_of(file.text, false)) reader.line(line);
    if (file.text.find("<cib") != std::string::npos)
      finder.left(0, "this is the CIB as XML", "give the output of `pcs config` instead");
  }
  out.sketch.comments = {"From the output of `pcs config`."};
  translate(source, out, finder);
  return out;
}

}  // namespace clusterd::imports
