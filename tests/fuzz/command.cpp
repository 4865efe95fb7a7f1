// The body of POST /v1/command.
#include <memory>

#include "daemon/daemon_backend.hpp"
#include "linux/state/text.hpp"
#include "sample_config.hpp"
#include "targets.hpp"

namespace clusterd::fuzz {

void fuzz_command(Bytes input) {
  static const Config config = sample_config();
  std::string error;
  const auto request = parse_command(std::string(text_of(input)), error);
  require(request.has_value() == error.empty(), "either a command or the reason why not");
  if (!request) return;
  require(request->service.size() <= 1024 && request->node.size() <= 1024 && request->text.size() <= 1024,
          "no member is longer than allowed");
  const Command command = resolve_command(config, *request, error);
  if (!error.empty()) return;
  require(!command.service || command.service->at() < config.services.size(), "a service of the cluster");
  require(!command.node || command.node->at() < kNodes, "a node of the cluster");
}

}  // namespace clusterd::fuzz
