// What the control socket can ask the daemon: the seam between HTTP and the reactor, so that the server can
// be tested against hostile clients without a node.
//
// Threading: all calls come from the reactor's thread; the answer to a command is given on it too.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "core/events.hpp"

namespace clusterd {

// The order as it came in, with names still unchecked.
struct CommandRequest {
  Command::Kind kind = Command::Kind::kMove;
  std::string service;  // empty = none
  std::string node;     // empty = none
  std::string text;
  uint64_t epoch = 0;
};

struct CommandAnswer {
  bool ok = false;
  std::string text;
};

class ControlBackend {
 public:
  virtual ~ControlBackend() = default;
  [[nodiscard]] virtual std::string status() = 0;
  // nullopt when there is no such service.
  [[nodiscard]] virtual std::optional<std::string> decisions(const std::string& service, size_t limit) = 0;
  [[nodiscard]] virtual std::string events(uint64_t after) = 0;
  [[nodiscard]] virtual std::string check() = 0;
  // `answer` is called exactly once, now or later, or never if the daemon ends first. `pid` is the caller's.
  virtual void command(const CommandRequest& request, pid_t pid,
                       std::function<void(CommandAnswer)> answer) = 0;
  // What clusterd-config has found of the services' likeness (alike/words.hpp).
  [[nodiscard]] virtual CommandAnswer likeness(const std::string& report) = 0;
};

// "move" ↔ kMove and so on; nullopt for any other word.
[[nodiscard]] std::optional<Command::Kind> command_kind(const std::string& word);

// Reads the body of POST /v1/command. An error's text says what is wrong with it, for the 400 answer.
[[nodiscard]] std::optional<CommandRequest> parse_command(const std::string& body, std::string& error);

}  // namespace clusterd
