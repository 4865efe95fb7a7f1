#include "versions/record.hpp"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>
#include <array>

#include "versions/json.hpp"

namespace clusterd::versions {

namespace {

constexpr std::array kPhases = {std::pair{Phase::kPrepared, "prepared"}, std::pair{Phase::kTrying, "trying"},
                                std::pair{Phase::kReturning, "returning"}};

json::object object_of(const Change& change) {
  return {{"from", object_of(change.from)},
          {"to", object_of(change.to)},
          {"owner", change.owner},
          {"phase", name(change.phase)},
          {"arbitration", change.arbitration},
          {"ran", change.ran},
          {"peer_has", change.peer_has},
          {"trial_s", change.trial_s},
          {"since_ms", change.since_ms},
          {"boot", change.boot},
          {"failed", change.failed}};
}

std::optional<Change> change_from(const json::value& value) {
  const Members members(value);
  Change change;
  const auto from = version_from(members.at("from"));
  const auto to = version_from(members.at("to"));
  const std::string phase = members.text("phase");
  const auto found = std::ranges::find_if(kPhases, [&](const auto& entry) { return entry.second == phase; });
  if (!from || !to || found == kPhases.end()) return std::nullopt;
  change.from = *from;
  change.to = *to;
  change.phase = found->first;
  change.owner = members.text("owner");
  change.arbitration = members.yes("arbitration");
  change.ran = members.yes("ran");
  change.peer_has = members.yes("peer_has");
  change.trial_s = std::clamp<int64_t>(members.number("trial_s"), 1, 3600);
  change.since_ms = members.number("since_ms");
  change.boot = members.text("boot");
  change.failed = members.text("failed");
  return change;
}

bool is_service_file(const std::string& name) {
  constexpr std::string_view kFolder = "services/", kSuffix = ".toml";
  if (!name.starts_with(kFolder) || !name.ends_with(kSuffix)) return false;
  const std::string stem = name.substr(kFolder.size(), name.size() - kFolder.size() - kSuffix.size());
  return !stem.empty() && stem.size() <= 32 &&
         stem.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
             std::string::npos;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

}  // namespace

json::object object_of(const Version& version) {
  return {{"number", version.number}, {"digest", version.digest}, {"hash", version.hash},
          {"by", version.by},         {"at_s", version.at_s},     {"how", version.how}};
}

std::optional<Version> version_from(const json::value& value) {
  const Members members(value);
  Version version;
  version.number = members.unsigned_number("number");
  version.digest = members.text("digest");
  version.hash = members.unsigned_number("hash");
  version.by = members.text("by");
  version.at_s = members.number("at_s");
  version.how = members.text("how");
  if (version.number == 0 || version.number > kMaxNumber || version.digest.size() != 32) return std::nullopt;
  return version;
}

const char* name(Phase phase) {
  return std::ranges::find_if(kPhases, [&](const auto& entry) { return entry.first == phase; })->second;
}

bool Record::knows(const Version& version) const {
  return std::ranges::any_of(history, [&](const Version& one) { return one.same(version); });
}

void Record::settle(Version version) {
  highest = std::max(highest, version.number);
  history.push_back(std::move(version));
  if (history.size() > kMaxKept) history.erase(history.begin());
}

const Version* Record::in_place() const {
  if (change && change->phase == Phase::kTrying) return &change->to;
  return current();
}

std::string digest_of(const ConfigTexts& files) {
  std::string all;
  for (const auto& [name, text] : files)
    all += fmt::format("{}:{}{}:{}", name.size(), name, text.size(), text);
  std::array<unsigned char, 16> hash{};
  crypto_generichash(hash.data(), hash.size(), reinterpret_cast<const unsigned char*>(all.data()), all.size(),
                     nullptr, 0);
  std::string out;
  for (const unsigned char byte : hash) out += fmt::format("{:02x}", byte);
  return out;
}

ConfigTexts set_of(const ConfigTexts& files) {
  ConfigTexts out;
  for (const auto& [name, text] : files)
    if (name == "cluster.toml" || is_service_file(name)) out.emplace(name, text);
  return out;
}

std::string refusal_of(const ConfigTexts& files) {
  if (files.size() > kMaxSetFiles)
    return fmt::format("more than {} files: at most {} services", kMaxSetFiles, kMaxServices);
  size_t bytes = 0;
  for (const auto& [name, text] : files) {
    if (name != "cluster.toml" && !is_service_file(name))
      return fmt::format("\"{:.80}\" does not belong to a configuration", name);
    bytes += text.size();
  }
  if (bytes > kMaxSetBytes) return fmt::format("the files are longer than {} bytes together", kMaxSetBytes);
  if (!files.contains("cluster.toml")) return "there is no cluster.toml";
  return "";
}

std::string encoded(const Record& record) {
  json::array history;
  for (const Version& version : record.history) history.push_back(object_of(version));
  json::object object{{"format", 1},
                      {"history", std::move(history)},
                      {"highest", record.highest},
                      {"clear_of", record.clear_of},
                      {"placing", record.placing},
                      {"due", record.due},
                      {"last", record.last},
                      {"conflict", record.conflict}};
  if (record.change) object["change"] = object_of(*record.change);
  return json::serialize(object) + "\n";
}

std::optional<Record> record_from(const std::string& text) {
  const auto value = parsed(text);
  if (!value) return std::nullopt;
  const Members members(*value);
  if (members.number("format") != 1 || !members.at("history").is_array()) return std::nullopt;
  Record record;
  for (const json::value& entry : members.at("history").get_array()) {
    const auto version = version_from(entry);
    if (!version || record.history.size() >= kMaxKept) return std::nullopt;
    record.history.push_back(*version);
  }
  record.highest = members.unsigned_number("highest");
  record.clear_of = members.unsigned_number("clear_of");
  record.placing = members.yes("placing");
  record.due = members.yes("due");
  record.last = members.text("last");
  record.conflict = members.text("conflict");
  if (members.has("change")) {
    record.change = change_from(members.at("change"));
    if (!record.change || record.history.empty()) return std::nullopt;
  }
  return record;
}

std::vector<std::string> line_diff(const std::string& old, const std::string& now, size_t context) {
  const auto a = split(old), b = split(now);
  // The longest common subsequence, by a table; files that are too long for one are shown whole.
  constexpr size_t kMostCells = 4'000'000;
  std::vector<std::pair<char, std::string>> all;
  if (a.size() * b.size() > kMostCells) {
    for (const std::string& line : a) all.emplace_back('-', line);
    for (const std::string& line : b) all.emplace_back('+', line);
  } else {
    std::vector<std::vector<uint32_t>> common(a.size() + 1, std::vector<uint32_t>(b.size() + 1, 0));
    for (size_t i = a.size(); i-- > 0;)
      for (size_t j = b.size(); j-- > 0;)
        common[i][j] = a[i] == b[j] ? common[i + 1][j + 1] + 1 : std::max(common[i + 1][j], common[i][j + 1]);
    size_t i = 0, j = 0;
    while (i < a.size() || j < b.size()) {
      if (i < a.size() && j < b.size() && a[i] == b[j]) {
        all.emplace_back(' ', a[i++]), ++j;
      } else if (i < a.size() && (j == b.size() || common[i + 1][j] >= common[i][j + 1])) {
        all.emplace_back('-', a[i++]);
      } else {
        all.emplace_back('+', b[j++]);
      }
    }
  }
  std::vector<bool> shown(all.size(), false);
  for (size_t k = 0; k < all.size(); ++k) {
    if (all[k].first == ' ') continue;
    for (size_t near = k - std::min(k, context); near < std::min(all.size(), k + context + 1); ++near)
      shown[near] = true;
  }
  std::vector<std::string> out;
  for (size_t k = 0; k < all.size(); ++k) {
    if (shown[k])
      out.push_back(std::string(1, all[k].first) + " " + all[k].second);
    else if (k > 0 && shown[k - 1] && !out.empty())
      out.emplace_back("…");
  }
  if (!out.empty() && out.back() == "…") out.pop_back();
  return out;
}

}  // namespace clusterd::versions
