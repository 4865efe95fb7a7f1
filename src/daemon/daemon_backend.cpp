#include "daemon/daemon_backend.hpp"

#include <utility>

namespace clusterd {

namespace {

using Kind = Command::Kind;

std::optional<ServiceId> find_service(const Config& config, const std::string& name) {
  for (size_t i = 0; i < config.services.size(); ++i) {
    if (config.services[i].name == name) return ServiceId(i);
  }
  return std::nullopt;
}

std::optional<NodeId> find_node(const Config& config, const std::string& name) {
  for (size_t i = 0; i < kNodes; ++i) {
    if (config.nodes.at(i).name == name) return NodeId(i);
  }
  return std::nullopt;
}

bool needs_service(Kind kind) {
  switch (kind) {
    case Kind::kMove:
    case Kind::kResync:
    case Kind::kMirrorRun:
    case Kind::kMirrorConfirm:
    case Kind::kMirrorReceive:
    case Kind::kMirrorScrub:
    case Kind::kMirrorPause:
    case Kind::kMirrorResume:
    case Kind::kAcceptDiverged:
      return true;
    case Kind::kStandby:
    case Kind::kOnline:
    case Kind::kStartForce:
    case Kind::kStopServices:
    case Kind::kPrepareRestart:
    case Kind::kHoldBack:
    case Kind::kHoldBackNoMore:
    case Kind::kAlwaysStuck:
      return false;
  }
  return false;
}

std::string service_names(const Config& config) {
  std::string names;
  for (const ServiceConfig& service : config.services) names += (names.empty() ? "" : ", ") + service.name;
  return names.empty() ? "none is configured" : names;
}

}  // namespace

Command resolve_command(const Config& config, const CommandRequest& request, std::string& error) {
  Command command;
  command.kind = request.kind;
  command.text = request.text;
  command.epoch = Epoch{request.epoch};
  if (!request.service.empty()) {
    command.service = find_service(config, request.service);
    if (!command.service)
      error = "there is no service \"" + request.service + "\"; services: " + service_names(config);
  } else if (needs_service(request.kind)) {
    error = "which service? Services: " + service_names(config);
  }
  if (!request.node.empty()) {
    command.node = find_node(config, request.node);
    if (!command.node) {
      error = "there is no node \"" + request.node + "\"; nodes: " + config.nodes[0].name + ", " +
              config.nodes[1].name;
    }
  } else if (request.kind == Kind::kStandby || request.kind == Kind::kOnline) {
    command.node = config.self;
  }
  return command;
}

std::string DaemonBackend::status() { return status_json(config_, reactor_.status(), hooks_.facts()); }

std::optional<std::string> DaemonBackend::decisions(const std::string& service, size_t limit) {
  std::optional<ServiceId> id;
  if (!service.empty()) {
    id = find_service(config_, service);
    if (!id) return std::nullopt;
  }
  return decisions_json(config_, reactor_.decisions(), id, limit, EventLoop::now());
}

std::string DaemonBackend::events(uint64_t after) { return events_json(hooks_.events(after), after); }

std::string DaemonBackend::check() { return check_json(config_, reactor_.status(), hooks_.facts()); }

void DaemonBackend::command(const CommandRequest& request, pid_t pid,
                            std::function<void(CommandAnswer)> answer) {
  std::string error;
  Command command = resolve_command(config_, request, error);
  if (!error.empty()) return answer({false, error});
  if (command.kind == Kind::kMirrorReceive) {
    // Registered in the step that permits it, so that no later `stop_receivers` can miss this process.
    answer = [this, service = *command.service, pid,
              forward = std::move(answer)](const CommandAnswer& reply) {
      if (reply.ok) hooks_.register_receiver(service, pid);
      forward(reply);
    };
  }
  reactor_.command(std::move(command), std::move(answer));
}

}  // namespace clusterd
