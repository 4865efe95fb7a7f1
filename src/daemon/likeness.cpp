#include "daemon/likeness.hpp"

#include <fmt/format.h>

#include "daemon/message_ids.hpp"

namespace clusterd {

namespace json = boost::json;

namespace {

constexpr size_t kToldInFull = 3;

// Those of which the core does not hear, because the service could be started here all the same.
std::string differences_text(const Config& config, const alike::Likeness& likeness) {
  std::string text;
  size_t told = 0, lacking = 0;
  for (const alike::Difference& one : likeness.differences) {
    if (is_lack(one.what, one.mine)) {
      ++lacking;
    } else if (told < kToldInFull) {
      text += (text.empty() ? "" : "; ") + text_of(config, one);
      ++told;
    }
  }
  const size_t more = likeness.differ - lacking - told;
  return more == 0 ? text : fmt::format("{}; and {} more", text, more);
}

// Without the digest: it is of files that not everybody who may see the status may read.
json::value entry_value(const always::Entry& entry) {
  json::value shown = always::shown(entry);
  if (shown.is_object()) shown.get_object().erase("digest");
  return shown;
}

}  // namespace

CommandAnswer LikenessKnown::take(const std::string& text, const Status& status) {
  auto report = alike::report_from(text);
  if (!report) return {false, "this is no report of clusterd-config"};
  report_ = std::move(*report);
  for (size_t i = 0; i < config_.services.size() && i < status.services.size(); ++i) {
    const auto found = report_.find(config_.services[i].name);
    if (found == report_.end() || !found->second.compared) continue;
    if (status.services[i].here == Role::kStandby) tell(ServiceId(i), found->second);
  }
  return {true, ""};
}

std::vector<std::vector<std::string>> LikenessKnown::lacks() const {
  std::vector<std::vector<std::string>> out(config_.services.size());
  for (size_t i = 0; i < out.size(); ++i) {
    const auto found = report_.find(config_.services[i].name);
    if (found != report_.end()) out[i] = found->second.lacks;
  }
  return out;
}

void LikenessKnown::tell(ServiceId service, const alike::Likeness& likeness) {
  const std::string &here = config_.node(config_.self).name, &there = config_.node(config_.peer()).name;
  const std::string& name = config_.service(service).name;
  const std::string differences = differences_text(config_, likeness);
  std::string& told = told_[name];
  if (told == differences) return;
  if (differences.empty() && likeness.differ > 0) return;  // all that is left is for the core to tell
  told = differences;
  const std::string kind = differences.empty() ? "standby-alike" : "standby-differs";
  LogFields fields{{"CLUSTERD_NOTICE", kind},
                   {"CLUSTERD_CLUSTER", config_.cluster},
                   {"CLUSTERD_NODE", here},
                   {"CLUSTERD_SERVICE", name},
                   {"MESSAGE_ID", std::string(message_id(kind))}};
  if (differences.empty())
    log_.line(Severity::kNotice,
              fmt::format("{}: {}: what it needs is alike on {} and {} again", kind, name, here, there),
              std::move(fields));
  else
    log_.line(Severity::kWarning,
              fmt::format("{}: {}: {} could take it over, but: {}", kind, name, here, differences),
              std::move(fields));
}

std::string text_of(const Config& config, const alike::Difference& difference) {
  const std::string &first = config.nodes[0].name, &second = config.nodes[1].name;
  if (config.self.at() == 0) return alike::text(difference, first, second);
  return alike::text({difference.what, difference.name, difference.theirs, difference.mine}, first, second);
}

json::value likeness_value(const Config& config, const ServiceConfig& service, const alike::Report& report) {
  const auto found = report.find(service.name);
  if (found == report.end()) return nullptr;
  const alike::Likeness& likeness = found->second;
  const std::string &here = config.node(config.self).name, &there = config.node(config.peer()).name;
  json::array differences;
  for (const alike::Difference& one : likeness.differences) {
    json::array lacking;
    if (is_lack(one.what, one.mine)) lacking.emplace_back(here);
    if (is_lack(one.what, one.theirs)) lacking.emplace_back(there);
    differences.push_back(json::object{{"what", alike::name(one.what)},
                                       {"name", alike::short_text(one.name)},
                                       {"text", text_of(config, one)},
                                       {"lacking", std::move(lacking)},
                                       {here, entry_value(one.mine)},
                                       {there, entry_value(one.theirs)}});
  }
  return json::object{{"compared", likeness.compared},
                      {"why", likeness.why},
                      {"same", likeness.same},
                      {"differ", likeness.differ},
                      {"differences", std::move(differences)}};
}

}  // namespace clusterd
