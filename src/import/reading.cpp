#include "import/reading.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace clusterd::imports {

namespace {

bool blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v'; }

}  // namespace

std::vector<Line> lines_of(std::string_view text, bool joined) {
  std::vector<Line> lines;
  bool going_on = false;
  int number = 0;
  while (!text.empty() && lines.size() < kMaxLines) {
    ++number;
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    const bool goes_on = joined && !line.empty() && line.back() == '\\';
    if (goes_on) line.remove_suffix(1);
    if (going_on) {
      lines.back().text += " ";
      lines.back().text += line;
    } else {
      lines.push_back({number, std::string(line)});
    }
    going_on = goes_on;
  }
  return lines;
}

std::vector<std::string> words_of(std::string_view line, std::string_view comments) {
  std::vector<std::string> words;
  size_t at = 0;
  while (words.size() < kMaxWords) {
    while (at < line.size() && blank(line[at])) ++at;
    if (at == line.size() || comments.find(line[at]) != std::string_view::npos) break;
    std::string word;
    char quote = 0;
    for (; at < line.size() && (quote != 0 || !blank(line[at])); ++at) {
      const char c = line[at];
      if (quote == 0 && (c == '"' || c == '\'')) {
        quote = c;
      } else if (c == quote) {
        quote = 0;
      } else {
        word += c;
      }
    }
    if (!word.empty()) words.push_back(std::move(word));
  }
  return words;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

std::string lowered(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::optional<long> number_of(std::string_view text, long most) {
  long number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 0 || number > most)
    return std::nullopt;
  return number;
}

std::string base_name(std::string_view path) {
  const size_t slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

std::string folder_name(std::string_view path) {
  const size_t slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? std::string_view() : path.substr(0, slash));
}

std::string duration_of_ms(long ms) {
  if (ms > 0 && ms % 3'600'000 == 0) return fmt::format("{}h", ms / 3'600'000);
  if (ms > 0 && ms % 60'000 == 0) return fmt::format("{}min", ms / 60'000);
  if (ms % 1000 == 0) return fmt::format("{}s", ms / 1000);
  return fmt::format("{}ms", ms);
}

int classful_length(const IpAddress& address) {
  if (!address.is_v4()) return 64;
  if (address.bytes[0] < 128) return 8;
  return address.bytes[0] < 192 ? 16 : 24;
}

void Finder::left(int line, std::string what, std::string instead) {
  if (out_.left.size() < kMaxLeft) {
    out_.left.push_back({file_, line, std::move(what), std::move(instead)});
  } else if (out_.left.size() == kMaxLeft) {
    out_.left.push_back({file_, line, "and more that is not listed", "import it in smaller parts"});
  }
}

std::string node_name(std::string_view text) { return setup::name_from(text, ".-_", 63, "node"); }

setup::NodeSketch* add_node(setup::Sketch& sketch, std::string_view name) {
  constexpr size_t kMost = 8;  // more than two are named in messages, and refused by the loader
  const std::string plain = node_name(name);
  if (sketch.node(plain) != nullptr || sketch.nodes.size() >= kMost) return nullptr;
  sketch.nodes.emplace_back().name = plain;
  return &sketch.nodes.back();
}

std::string free_name(const setup::Sketch& sketch, std::string_view wanted) {
  const std::string name = setup::name_from(wanted, "_-", 28, "service");
  const auto taken = [&](const std::string& candidate) {
    return std::any_of(sketch.services.begin(), sketch.services.end(),
                       [&](const setup::ServiceSketch& service) { return service.name == candidate; });
  };
  std::string candidate = name;
  for (size_t i = 2; taken(candidate); ++i) candidate = fmt::format("{}-{}", name, i);
  return candidate;
}

bool is_unit_name(std::string_view text) {
  return !text.empty() && text.size() <= 200 && setup::name_from(text, "@._:-", 200, "") == text;
}

const std::vector<Format>& formats() {
  static const std::vector<Format> all = {
      {"clusterd-0.93",
       "the folder /etc/cluster.d of 1999: NODE.conf, NODE/F*, and the crontab that calls sync-app",
       from_clusterd_093},
      {"keepalived", "keepalived.conf of both nodes, each called NODE.conf (or with router_id)",
       from_keepalived},
      {"heartbeat", "ha.cf and haresources", from_heartbeat},
      {"pcs", "the output of `pcs config`", from_pcs},
      {"crm", "the output of `crm configure show`", from_crm},
  };
  return all;
}

std::string told(const std::vector<Left>& left) {
  std::string out;
  for (const Left& one : left) {
    const std::string place = one.line > 0 ? fmt::format("{}:{}", one.file, one.line) : one.file;
    out += fmt::format("{}: {}\n", setup::comment_text(place), setup::comment_text(one.what));
    if (!one.instead.empty()) out += fmt::format("    instead: {}\n", setup::comment_text(one.instead));
  }
  return out;
}

}  // namespace clusterd::imports
