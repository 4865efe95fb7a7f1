// Sealed datagrams: two nodes, everything that either of them ever sent, and somebody who repeats, redirects,
// damages and invents datagrams at will. Each byte of the input is a choice of his.
//
// What must hold: a heartbeat is delivered only if the other node sealed it for this very path, unchanged, by
// its present life or one whose datagrams are fresh, and each datagram at most once.
#include "linux/net/seal.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <vector>

#include "targets.hpp"

namespace clusterd::fuzz {

namespace {

struct Datagram {
  std::vector<uint8_t> bytes, heartbeat;
  IpAddress source;
  size_t from = 0;
  BootId boot;
};

class Lan {
 public:
  Lan() {
    for (size_t n = 0; n < kNodes; ++n) restart(n);
  }

  void restart(size_t node) {
    boots_.at(node) = BootId{++lives_};
    // The questions have to be the same in each run, and never twice the same.
    channels_.at(node).emplace(secret_, "office", NodeId(node), boots_.at(node),
                               [this] { return ++random_ * 0x9E3779B97F4A7C15U; });
    delivered_.at(node).clear();
  }

  void send(size_t node, uint8_t path, Bytes heartbeat) {
    Datagram d;
    d.heartbeat.assign(heartbeat.begin(), heartbeat.end());
    d.source = address(node, path);
    d.from = node;
    d.boot = boots_.at(node);
    d.bytes = channels_.at(node)->seal(d.heartbeat, d.source);
    sent_.push_back(std::move(d));
  }

  // The `which`-th datagram of all reaches `node`, as it was sent or otherwise.
  void deliver(size_t node, size_t which, uint8_t damage, Feed& feed) {
    if (sent_.empty()) return;
    const size_t at = sent_.size() - 1 - which % sent_.size();
    const Datagram& original = sent_.at(at);
    std::vector<uint8_t> bytes = original.bytes;
    IpAddress source = original.source;
    switch (damage % 6) {
      case 1:
        for (size_t n = 1 + feed.below(4); n > 0; --n)
          bytes.at(feed.number(2) % bytes.size()) = static_cast<uint8_t>(feed.byte());
        break;
      case 2:
        bytes.resize(feed.number(2) % (SealedChannel::kMaxBytes + 10));
        break;
      case 3:
        source = address(feed.below(kNodes), feed.byte());
        break;
      case 4:  // the header of one datagram on the body of another
        std::copy_n(sent_.at(feed.below(sent_.size())).bytes.begin(), SealedChannel::kHeaderBytes,
                    bytes.begin());
        break;
      default:
        break;
    }
    const auto opened = channels_.at(node)->open(bytes, source);
    if (opened.verdict != Verdict::kOpened) {
      require(opened.heartbeat.empty(), "what is not opened is not delivered");
      return;
    }
    require(bytes == original.bytes && source == original.source, "what was changed does not open");
    require(original.from == 1 - node, "only the other node's datagrams open");
    require(opened.boot == original.boot && channels_.at(node)->proven() == original.boot,
            "it names its life");
    require(opened.heartbeat == original.heartbeat, "it arrives as it was sent");
    require(delivered_.at(node).insert(at).second, "each datagram is delivered once");
  }

  void strange(size_t node, Bytes bytes) {
    require(channels_.at(node)->open(bytes, address(1 - node, 0)).verdict != Verdict::kOpened,
            "nobody without the secret makes a datagram");
  }

 private:
  static IpAddress address(size_t node, uint8_t path) {
    IpAddress out{(path & 1U) != 0 ? IpAddress::Family::kV6 : IpAddress::Family::kV4, {}};
    out.bytes = {192, 168, static_cast<uint8_t>(path & 3U), static_cast<uint8_t>(node + 1)};
    return out;
  }

  const Secret secret_ = [] {
    Secret s{};
    s.fill(7);
    return s;
  }();
  uint64_t lives_ = 10;
  uint64_t random_ = 0;
  std::array<BootId, kNodes> boots_{};
  std::array<std::optional<SealedChannel>, kNodes> channels_;
  std::vector<Datagram> sent_;
  std::array<std::set<size_t>, kNodes> delivered_;  // by each node's present life
};

}  // namespace

void fuzz_seal(Bytes input) {
  Feed feed(input);
  Lan lan;
  for (int i = 0; i < 400 && !feed.empty(); ++i) {
    const uint8_t choice = feed.byte();
    const size_t node = choice & 1U;
    switch (choice >> 1U & 7U) {
      case 0:
      case 1:
        lan.send(node, choice >> 4U, feed.take(choice >> 4U));
        break;
      case 2:
        lan.restart(node);
        break;
      case 3:
        lan.strange(node, feed.take(feed.number(2) % (SealedChannel::kMaxBytes + 10)));
        break;
      case 4:  // both nodes say something and hear it: the way of all days
        lan.send(node, 0, {});
        lan.deliver(1 - node, 0, 0, feed);
        break;
      default:
        lan.deliver(node, choice >> 4U, feed.byte(), feed);
    }
  }
}

}  // namespace clusterd::fuzz
