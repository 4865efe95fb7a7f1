// The node: all decisions of one server of the cluster, as a pure state machine.
//
// Contract
// - `step` takes one event and returns what is to be done. It never blocks, never throws, makes no system
//   call and reads no clock: `now` is an argument and never goes backwards. The same events in the same order
//   give the same actions.
// - Call `step(now, Tick{})` when `next_deadline()` has come. Being late is allowed: the node notices, and
//   distrusts its own suspicion by as much (docs/safety.md, S2).
// - Actions are performed in the order that core/actions.hpp documents.
// - Not thread-safe; one thread owns a node.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/actions.hpp"
#include "core/config.hpp"
#include "core/events.hpp"
#include "core/persisted_state.hpp"
#include "core/status.hpp"

namespace clusterd {

class Node {
 public:
  Node(const Config& config, const PersistedState& state);
  ~Node();
  Node(Node&&) noexcept;
  Node& operator=(Node&&) noexcept;
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  [[nodiscard]] Actions step(Instant now, const Event& event);
  [[nodiscard]] Instant next_deadline() const;
  [[nodiscard]] const Status& status() const;

  // The whole node as bytes, for the flight recorder: a node made of them goes on exactly as this one would.
  // They are good for the same program and the same configuration only.
  [[nodiscard]] std::vector<uint8_t> snapshot() const;
  // nullopt if the bytes are no snapshot of a node with this configuration.
  [[nodiscard]] static std::optional<Node> restored(const Config& config, std::span<const uint8_t> snapshot);

 private:
  class Impl;
  explicit Node(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace clusterd
