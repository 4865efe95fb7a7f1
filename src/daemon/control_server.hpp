// The control socket: HTTP/1.1 and JSON for clusterctl, helpers and the web page.
//
// Who is asking is told by the kernel (peer_credentials.hpp): root and the group clusterd-admin may do
// everything, the group clusterd may look (403 for orders), and nobody else can even connect. An access list
// on the socket file sees to that, rather than a 403 for everybody: whoever may connect may also make this
// thread, which runs at real-time priority, accept and answer as often as he likes. Where the file's
// permissions were loosened by hand, strangers get 403.
//
// A client is hostile until proven otherwise: it gets `idle` to deliver a whole request and to take its
// answer, a request of at most `max_header` + `max_body` bytes, and a place among `max_connections`. When
// they are all taken the oldest connection of those with the least access goes, so that a client that holds
// connections open locks nobody out, and one that may only look nobody who may act. A connection that waits
// for the answer to its order stays; at most `max_waiting` may wait.
//
// Everything runs on the event loop's thread and never blocks it.
#pragma once

#include <memory>
#include <string>

#include "base/result.hpp"
#include "daemon/control_backend.hpp"
#include "daemon/peer_credentials.hpp"
#include "linux/event_loop.hpp"

namespace clusterd {

struct ControlLimits {
  size_t max_connections = 32;
  size_t max_waiting = 28;  // for the answer to an order; a few places stay for questions
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

  ControlServer(EventLoop& loop, ControlBackend& backend, ControlLimits limits = {},
                const AccessGroups& groups = access_groups());
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  // Listens on `path`, replacing a socket that a dead daemon left there. Root and the groups may connect.
  [[nodiscard]] Result<void> listen(const std::string& path);

  [[nodiscard]] size_t connections() const;
  [[nodiscard]] ControlStats stats() const;

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace clusterd
