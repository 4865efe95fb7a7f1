// The control socket's view of a running daemon: names to indices, and back to JSON.
#pragma once

#include <functional>

#include "daemon/control_backend.hpp"
#include "daemon/reactor.hpp"
#include "daemon/status_json.hpp"

namespace clusterd {

class DaemonBackend final : public ControlBackend {
 public:
  struct Hooks {
    // Everything that `status` shows beside the core's picture.
    std::function<DaemonFacts()> facts;
    // The notices with a higher number, as JSON objects, oldest first.
    std::function<std::vector<std::string>(uint64_t after)> events;
    // A peer's mirror run was permitted to write here; this process does it (S8).
    std::function<void(ServiceId, pid_t)> register_receiver;
    // A report of what is not alike on both nodes.
    std::function<CommandAnswer(const std::string&)> likeness;
  };

  DaemonBackend(const Config& config, Reactor& reactor, Hooks hooks)
      : config_(config), reactor_(reactor), hooks_(std::move(hooks)) {}

  [[nodiscard]] std::string status() override;
  [[nodiscard]] std::optional<std::string> decisions(const std::string& service, size_t limit) override;
  [[nodiscard]] std::string events(uint64_t after) override;
  [[nodiscard]] std::string check() override;
  void command(const CommandRequest& request, pid_t pid, std::function<void(CommandAnswer)> answer) override;
  [[nodiscard]] CommandAnswer likeness(const std::string& report) override { return hooks_.likeness(report); }

 private:
  const Config& config_;
  Reactor& reactor_;
  Hooks hooks_;
};

// Resolves the names of a request. An empty `error` means that it worked.
[[nodiscard]] Command resolve_command(const Config& config, const CommandRequest& request,
                                      std::string& error);

}  // namespace clusterd
