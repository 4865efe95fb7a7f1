// The control socket: HTTP/1.1 and JSON for clusterctl, helpers and the web page.
//
// A client is hostile until proven otherwise: it gets kIdle to deliver a whole request and to take its
// answer, a request of at most kMaxHeader + kMaxBody bytes, and a place among kMaxConnections; when they are
// all taken the oldest connection that is not waiting for a command's answer is dropped, so that a client
// that holds connections open locks nobody out. Who is asking is told by the kernel (SO_PEERCRED,
// SO_PEERGROUPS): root and the group clusterd-admin may do everything, the group clusterd may read, all
// others get 403.
//
// Everything runs on the event loop's thread and never blocks it.
#pragma once

#include <memory>
#include <string>

#include "base/result.hpp"
#include "daemon/control_backend.hpp"
#include "linux/event_loop.hpp"

namespace clusterd {

struct ControlLimits {
  size_t max_connections = 32;
  size_t max_header = 8 * 1024;
  size_t max_body = 64 * 1024;
  Duration idle = std::chrono::seconds(10);
  Duration command = std::chrono::seconds(120);  // until a command without an answer gets 504
};

struct ControlStats {
  uint64_t accepted = 0;
  uint64_t requests = 0;
  uint64_t refused = 0;  // malformed, too big, or not allowed
  uint64_t dropped = 0;  // pushed out by newer connections, or too slow
};

class ControlServer {
 public:
  class Impl;

  ControlServer(EventLoop& loop, ControlBackend& backend, ControlLimits limits = {});
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  // Listens on `path`, replacing a socket that a dead daemon left there. The socket belongs to the group
  // clusterd if there is one, or else to clusterd-admin, or else to root alone; mode 0660.
  [[nodiscard]] Result<void> listen(const std::string& path);

  [[nodiscard]] size_t connections() const;
  [[nodiscard]] ControlStats stats() const;

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace clusterd
