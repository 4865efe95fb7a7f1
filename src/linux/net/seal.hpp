// Sealed datagrams: nobody without the cluster's secret can make, change or repeat a heartbeat.
//
// Datagram
//   header (24 bytes, in the clear):  "clh" | version | cluster tag (2) | kind (1) | sending node (1) |
//                                     boot id of the sender (8) | counter (8)          all little-endian
//   body (encrypted, 16 bytes tag):   asks (8) | echoes (8) | heartbeat
// The cipher is XChaCha20-Poly1305 (libsodium). The key is BLAKE2b of the secret, the cluster's name and the
// sending node: one key per direction, so a datagram that is reflected to its sender does not open. The nonce
// is the header itself: boot ids are random and the counter grows with each datagram on any path, so no nonce
// is used twice. The header and the *source address from which the datagram has to arrive* are authenticated:
// a datagram of one link or reference host is worthless on another. The cluster tag only tells the
// administrator "another cluster is on this network" from "the secret differs".
//
// Freshness
//   1. Counter. Of the peer's proven boot id each counter is accepted once, within a sliding window of
//      `ReplayWindow::kSize` datagrams over all paths. The same heartbeat over two links is two datagrams.
//   2. Challenge (core/challenge.hpp). A receiver that has just started has no window yet, and the datagrams
//      of a peer that died long ago still open. So a boot id has to be *proven* first; its counters count
//      from the datagram on that proves it.
//   3. Until then the peer's datagrams are `kUnproven`: a sign of life, and read for the question that they
//   ask.
// A node that hears its peer but is not heard by it on any path, direct or relayed, stays unproven after a
// restart of its own: it is then deaf to what the peer says. It cannot be told from hearing a recording, so
// it takes nothing over and says why (docs/safety.md). Somebody on the LAN who repeats old datagrams can thus
// hold a node back that has just started, and delay a first meeting; never fake one.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "base/address.hpp"
#include "base/ids.hpp"
#include "core/challenge.hpp"
#include "core/heartbeat.hpp"
#include "linux/net/secret.hpp"

namespace clusterd {

// Which of the last kSize counters have been seen. A counter below the window counts as seen.
class ReplayWindow {
 public:
  static constexpr uint64_t kSize = 4096;

  // Nothing up to and including `floor` will be accepted.
  explicit ReplayWindow(uint64_t floor = 0);
  // True exactly once per counter above the window's lower edge.
  [[nodiscard]] bool accept(uint64_t counter);

 private:
  void clear_bits(uint64_t from, uint64_t count);

  uint64_t highest_;
  uint64_t floor_;
  std::array<uint64_t, kSize / 64> bits_{};
};

enum class Verdict : uint8_t {
  kOpened,        // authentic, fresh, of the proven boot id
  kForeign,       // no datagram of a clusterd peer: magic, version, kind, or this node's own
  kMalformed,     // too short or too long
  kWrongCluster,  // of a cluster with another name
  kWrongKey,      // does not open: other secret, changed on the way, or arrived from the wrong address
  kReplayed,      // seen before, too old, or of a boot id that the peer has given up
  kUnproven,      // authentic, but its boot id has not proven to be alive
};

// One node's end: seals its own datagrams and opens the peer's. Not thread-safe.
class SealedChannel {
 public:
  static constexpr size_t kHeaderBytes = 24;
  static constexpr size_t kOverhead = kHeaderBytes + 16 + 16;
  static constexpr size_t kMaxBytes = kMaxHeartbeatBytes + kOverhead;
  static constexpr std::array<uint8_t, 4> kMagic = {'c', 'l', 'h', 1};

  using Random = Challenge::Random;
  // `random` draws the questions; the default is the kernel's generator.
  SealedChannel(const Secret& secret, std::string_view cluster, NodeId self, BootId boot, Random random = {});

  // `source` is the address from which the receiver will see the datagram come.
  [[nodiscard]] std::vector<uint8_t> seal(std::span<const uint8_t> heartbeat, const IpAddress& source);

  struct Opened {
    Verdict verdict = Verdict::kForeign;
    BootId boot;                     // of the peer; set from kReplayed on
    std::vector<uint8_t> heartbeat;  // kOpened only
  };
  [[nodiscard]] Opened open(std::span<const uint8_t> datagram, const IpAddress& source);

  // The peer's boot id that is accepted at present; 0 = none yet.
  [[nodiscard]] BootId proven() const { return challenge_.proven(); }

 private:
  using Key = std::array<uint8_t, 32>;

  [[nodiscard]] Verdict judge(BootId boot, uint64_t counter, Challenge::Words words);

  NodeId self_;
  BootId boot_;
  uint16_t tag_ = 0;
  Key own_key_{};
  Key peer_key_{};
  uint64_t counter_ = 0;
  Challenge challenge_;
  ReplayWindow window_;
};

}  // namespace clusterd
