#include "daemon/control_backend.hpp"

#include <array>
#include <boost/json.hpp>
#include <string_view>

namespace clusterd {

namespace json = boost::json;

namespace {

using Kind = Command::Kind;
constexpr std::array kKinds = {
    std::pair<std::string_view, Kind>{"move", Kind::kMove},
    std::pair<std::string_view, Kind>{"standby", Kind::kStandby},
    std::pair<std::string_view, Kind>{"online", Kind::kOnline},
    std::pair<std::string_view, Kind>{"start-force", Kind::kStartForce},
    std::pair<std::string_view, Kind>{"resync", Kind::kResync},
    std::pair<std::string_view, Kind>{"mirror-run", Kind::kMirrorRun},
    std::pair<std::string_view, Kind>{"mirror-confirm", Kind::kMirrorConfirm},
    std::pair<std::string_view, Kind>{"mirror-receive", Kind::kMirrorReceive},
    std::pair<std::string_view, Kind>{"accept-diverged", Kind::kAcceptDiverged},
    std::pair<std::string_view, Kind>{"stop-services", Kind::kStopServices},
    std::pair<std::string_view, Kind>{"prepare-restart", Kind::kPrepareRestart},
    std::pair<std::string_view, Kind>{"hold-back", Kind::kHoldBack},
    std::pair<std::string_view, Kind>{"hold-back-no-more", Kind::kHoldBackNoMore},
    std::pair<std::string_view, Kind>{"mirror-scrub", Kind::kMirrorScrub},
    std::pair<std::string_view, Kind>{"mirror-pause", Kind::kMirrorPause},
    std::pair<std::string_view, Kind>{"mirror-resume", Kind::kMirrorResume},
    std::pair<std::string_view, Kind>{"always-stuck", Kind::kAlwaysStuck},
};

// One member of the body. An empty text means that it was fine.
std::string read_member(std::string_view key, const json::value& value, CommandRequest& request,
                        bool& has_kind) {
  if (key == "epoch") {
    if (value.is_int64() && value.get_int64() >= 0) {
      request.epoch = static_cast<uint64_t>(value.get_int64());
    } else if (value.is_uint64()) {
      request.epoch = value.get_uint64();
    } else {
      return "\"epoch\" has to be a number that is not negative";
    }
    return {};
  }
  if (key != "kind" && key != "service" && key != "node" && key != "text") {
    return "unknown member in the command; known are kind, service, node, text and epoch";
  }
  if (!value.is_string()) return "\"" + std::string(key) + "\" has to be a string";
  const std::string text(value.get_string());
  if (text.size() > 1024) return "\"" + std::string(key) + "\" is longer than 1024 bytes";
  if (key == "service") request.service = text;
  if (key == "node") request.node = text;
  if (key == "text") request.text = text;
  if (key == "kind") {
    const auto kind = command_kind(text);
    if (!kind) return "unknown kind of command";
    request.kind = *kind;
    has_kind = true;
  }
  return {};
}

}  // namespace

std::optional<Command::Kind> command_kind(const std::string& word) {
  for (const auto& [name, kind] : kKinds) {
    if (name == word) return kind;
  }
  return std::nullopt;
}

std::optional<CommandRequest> parse_command(const std::string& body, std::string& error) {
  json::error_code code;
  json::parse_options options;
  options.max_depth = 4;
  const json::value value = json::parse(body, code, {}, options);
  if (code || !value.is_object()) {
    error = "the body has to be one JSON object";
    return std::nullopt;
  }
  CommandRequest request;
  bool has_kind = false;
  for (const auto& member : value.get_object()) {
    error = read_member({member.key().data(), member.key().size()}, member.value(), request, has_kind);
    if (!error.empty()) return std::nullopt;
  }
  if (!has_kind) {
    error = "\"kind\" is missing";
    return std::nullopt;
  }
  return request;
}

}  // namespace clusterd
