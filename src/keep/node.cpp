#include "keep/node.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <ctime>

#include "ctl/client.hpp"
#include "ctl/json_view.hpp"
#include "keep/secret_talk.hpp"

namespace clusterd::keep {

Result<Config> ThisNode::understood(const ConfigTexts& files) const {
  auto config = parse_config(files, options_.config_dir, options_.node);
  if (!config) {
    std::string all;
    for (const ConfigProblem& problem : config.error()) all += (all.empty() ? "" : "\n") + describe(problem);
    return fail(Code::kConfig, all);
  }
  if (options_.without_gate) lengthen_window_without_gate(*config);
  return std::move(*config);
}

bool ThisNode::edited(const versions::Record& record) const {
  const auto files = store_.edited();
  const versions::Version* in_place = record.in_place();
  return !files || in_place == nullptr || versions::digest_of(*files) != in_place->digest;
}

DaemonView ThisNode::daemon() const {
  const auto answer = ctl::Client(options_.run_dir).get("/v1/status");
  if (!answer || answer->status != 200) return {};
  const auto value = ctl::parse_or_null(answer->body);
  const ctl::View status(&value);
  DaemonView view;
  std::string hash = status["config_hash"].text();
  if (hash.starts_with("0x")) hash = hash.substr(2);
  std::from_chars(hash.data(), hash.data() + hash.size(), view.running, 16);
  view.hears = status["nodes"][status["peer"].text()]["heard"].yes();
  view.agrees = view.hears && !status["config_differs"].yes();
  return view;
}

Result<void> ThisNode::hold_back(bool hold) const {
  const std::string body = fmt::format(R"({{"kind":"{}"}})", hold ? "hold-back" : "hold-back-no-more");
  const auto answer = ctl::Client(options_.run_dir).post("/v1/command", body);
  if (!answer) return fail(Code::kRetry, answer.error());
  if (answer->status != 200) return fail(Code::kRefused, answer->body);
  return {};
}

std::vector<Config> ThisNode::known_configs() const {
  std::vector<Config> out;
  const auto add = [&](const Result<ConfigTexts>& files) {
    if (!files) return;
    if (auto config = understood(*files)) out.push_back(std::move(*config));
  };
  const versions::Record record = store_.load();
  if (record.change) {
    add(store_.files(record.change->from.number));
    add(store_.files(record.change->to.number));
  } else if (record.current() != nullptr) {
    add(store_.files(record.current()->number));
  }
  add(store_.edited());
  return out;
}

Result<std::string> ThisNode::ask_peer(const std::string& question) const {
  std::string why = "its address is not known";
  std::vector<std::string> tried;
  for (const Config& config : known_configs()) {
    const auto secret = read_secret(config.secret_file);
    if (!secret) {
      why = secret.error().message;
      continue;
    }
    const Ends ends{config.cluster, options_.node, config.node(config.peer()).name};
    for (const LinkConfig& link : config.links) {
      const IpAddress& address = link.ends.at(config.peer().at()).address.address;
      const std::string way = address.text() + " " + ends.cluster;
      if (std::ranges::find(tried, way) != tried.end()) continue;
      tried.push_back(way);
      auto talk = Talk::connect(address, kPort, kConnectLimit);
      if (!talk) {
        why = talk.error().message;
        continue;
      }
      auto sealed = SecretTalk::call(std::move(*talk), *secret, ends);
      if (!sealed) {
        why = sealed.error().message;
        continue;
      }
      if (auto said = sealed->say(question); !said) {
        why = said.error().message;
        continue;
      }
      auto answer = sealed->hear();
      if (answer) return answer;
      why = answer.error().message;
    }
  }
  return fail(Code::kRetry, why);
}

void tell(int level, const std::string& text) {
  std::fprintf(stderr, "<%d>configuration: %s\n", level, text.c_str());
}

int64_t boottime_ms() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000;
}

}  // namespace clusterd::keep
