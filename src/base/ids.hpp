// Strongly typed numbers, so that a link can never be passed where a node is meant.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>

namespace clusterd {

// Position of a thing in its table of `Config`: a plain number with a name.
template <class Tag>
struct Index {
  uint16_t value = std::numeric_limits<uint16_t>::max();

  constexpr Index() = default;
  constexpr explicit Index(size_t v) : value(static_cast<uint16_t>(v)) {}
  [[nodiscard]] constexpr size_t at() const { return value; }
  [[nodiscard]] constexpr bool valid() const { return value != std::numeric_limits<uint16_t>::max(); }
  constexpr auto operator<=>(const Index&) const = default;
};

using NodeId = Index<struct NodeTag>;
using LinkId = Index<struct LinkTag>;
using HostId = Index<struct HostTag>;
using ServiceId = Index<struct ServiceTag>;
using UnitId = Index<struct UnitTag>;      // within its service
using CheckId = Index<struct CheckTag>;    // within its service
using MirrorId = Index<struct MirrorTag>;  // within its service

// Number that grows with each takeover of a service. Node 0 uses even numbers and node 1 odd ones, so two
// nodes can never choose the same epoch, and a divergence always shows. 0 means "never active".
struct Epoch {
  uint64_t value = 0;
  constexpr auto operator<=>(const Epoch&) const = default;
};

// Random number of a daemon's life: a new one with each start of the daemon.
struct BootId {
  uint64_t value = 0;
  constexpr auto operator<=>(const BootId&) const = default;
};

}  // namespace clusterd

template <class Tag>
struct std::hash<clusterd::Index<Tag>> {
  size_t operator()(const clusterd::Index<Tag>& i) const noexcept { return i.value; }
};
