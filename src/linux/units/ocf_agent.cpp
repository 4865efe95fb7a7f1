#include "linux/units/ocf_agent.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>

namespace clusterd {

namespace {

constexpr std::string_view kReasonPrefix = "ocf-exit-reason:";
constexpr size_t kReasonLimit = 300;

std::string root() {
  const char* set = std::getenv("OCF_ROOT");
  return set != nullptr && *set == '/' ? set : "/usr/lib/ocf";
}

std::string milliseconds(Duration duration) { return fmt::format("{:.0f}", to_ms(duration)); }

const char* in_words(int code) {
  switch (static_cast<OcfCode>(code)) {
    case OcfCode::kSuccess:
      return "success";
    case OcfCode::kError:
      return "error";
    case OcfCode::kArguments:
      return "wrong parameter";
    case OcfCode::kUnimplemented:
      return "the agent does not have this action";
    case OcfCode::kPermission:
      return "not permitted";
    case OcfCode::kNotInstalled:
      return "not installed";
    case OcfCode::kConfigured:
      return "wrong configuration";
    case OcfCode::kNotRunning:
      return "does not run";
    case OcfCode::kPromoted:
      return "runs promoted";
    case OcfCode::kFailedPromoted:
      return "failed while promoted";
    case OcfCode::kDegraded:
    case OcfCode::kDegradedPromoted:
      return "runs, but may fail soon";
  }
  return "not a code of the API";
}

// What the agent has logged last as an error, without time and name.
std::string last_error(std::string_view output) {
  constexpr std::string_view kError = "ERROR: ";
  const size_t at = output.rfind(kError);
  if (at == std::string_view::npos) return {};
  output.remove_prefix(at + kError.size());
  return last_line(output.substr(0, output.find('\n')), kReasonLimit);
}

}  // namespace

std::string ocf_path(const OcfConfig& config) {
  return root() + "/resource.d/" + config.provider + "/" + config.type;
}

std::string ocf_obstacle(const OcfConfig& config) {
  const std::string path = ocf_path(config);
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) {
    if (errno != ENOENT && errno != ENOTDIR)
      return fmt::format("{} cannot be looked at: {}", path, std::strerror(errno));
    return fmt::format(
        "the agent {} is not installed on this node: {} does not exist (apt install "
        "resource-agents, or correct ocf)",
        config.text(), path);
  }
  if (!S_ISREG(info.st_mode)) return fmt::format("{} is no program: correct ocf", path);
  if (access(path.c_str(), X_OK) != 0)
    return fmt::format("the agent {} may not be executed: chmod +x {}", config.text(), path);
  return {};
}

ChildSpec ocf_command(const OcfConfig& config, const std::string& service, const std::string& unit,
                      const OcfCall& call) {
  ChildSpec spec;
  spec.argv = {ocf_path(config), call.action};
  spec.bare = true;
  auto& env = spec.environment;
  for (const auto& [name, value] : config.parameters) env.emplace_back("OCF_RESKEY_" + name, value);
  env.emplace_back("HOME", "/root");
  env.emplace_back("LANG", "C.UTF-8");
  env.emplace_back("OCF_ROOT", root());
  env.emplace_back("OCF_RA_VERSION_MAJOR", "1");
  env.emplace_back("OCF_RA_VERSION_MINOR", "1");
  env.emplace_back("OCF_RESOURCE_INSTANCE", service + "." + unit);
  env.emplace_back("OCF_RESOURCE_TYPE", config.type);
  env.emplace_back("OCF_RESOURCE_PROVIDER", config.provider);
  env.emplace_back("OCF_EXIT_REASON_PREFIX", std::string(kReasonPrefix));
  env.emplace_back("OCF_RESKEY_CRM_meta_name", call.action);
  env.emplace_back("OCF_RESKEY_CRM_meta_timeout", milliseconds(call.timeout));
  env.emplace_back("OCF_RESKEY_CRM_meta_interval", milliseconds(call.interval));
  if (call.action == "monitor") env.emplace_back("OCF_CHECK_LEVEL", std::to_string(call.depth));
  env.emplace_back("CLUSTERD_SERVICE", service);
  env.emplace_back("CLUSTERD_UNIT", unit);
  return spec;
}

OcfMeaning ocf_meaning(const ChildResult& result) {
  if (!result.started || result.timed_out || result.signal != 0) return OcfMeaning::kUnknown;
  switch (static_cast<OcfCode>(result.exit_code)) {
    case OcfCode::kSuccess:
    case OcfCode::kPromoted:
      return OcfMeaning::kGood;
    case OcfCode::kDegraded:
    case OcfCode::kDegradedPromoted:
      return OcfMeaning::kWarning;
    case OcfCode::kNotRunning:
      return OcfMeaning::kNotRunning;
    case OcfCode::kArguments:
    case OcfCode::kUnimplemented:
    case OcfCode::kPermission:
    case OcfCode::kNotInstalled:
      return OcfMeaning::kNotHere;
    case OcfCode::kConfigured:
      return OcfMeaning::kNowhere;
    case OcfCode::kError:
    case OcfCode::kFailedPromoted:
      break;
  }
  return OcfMeaning::kFailed;
}

std::string ocf_reason(std::string_view output) {
  size_t at = output.rfind(kReasonPrefix);
  // Only at the beginning of a line: a quotation of one is none.
  while (at != std::string_view::npos && at != 0 && output[at - 1] != '\n')
    at = output.rfind(kReasonPrefix, at - 1);
  if (at == std::string_view::npos) return {};
  output.remove_prefix(at + kReasonPrefix.size());
  return last_line(output.substr(0, output.find('\n')), kReasonLimit);
}

std::string ocf_text(const ChildResult& result) {
  if (ocf_meaning(result) == OcfMeaning::kUnknown) return result.text();
  std::string words = ocf_reason(result.output);
  // The line before the reason is often the better one: "Device eth7 does not exist", then "[findif] failed".
  const std::string error = last_error(result.output);
  if (words.empty()) words = error.empty() ? last_line(result.output) : error;
  if (!error.empty() && words.find(error) == std::string::npos) words += " (" + error + ")";
  return fmt::format("exit code {} ({}){}{}", result.exit_code, in_words(result.exit_code),
                     words.empty() ? "" : ": ", words);
}

}  // namespace clusterd
