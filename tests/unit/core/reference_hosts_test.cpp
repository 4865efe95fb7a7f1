// Reference hosts: evidence, and the counted sets with their invariant S_A(x) ⊆ S_B(y) (docs/safety.md, S2).
#include "core/reference_hosts.hpp"

#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <optional>
#include <random>
#include <vector>

namespace clusterd {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Instant kStart{seconds(1000)};

Config make_config(size_t hosts) {
  Config config;
  config.hosts.resize(hosts);
  config.timing.heartbeat = milliseconds(100);
  config.timing.probe_slow = milliseconds(200);
  config.timing.host_gone = seconds(2);
  config.timing.host_back = seconds(1);
  return config;
}

PersistedState with_sets(size_t hosts, bool active, bool standby) {
  PersistedState state;
  state.hosts.assign(hosts, PersistedHost{active, standby});
  return state;
}

// ---- evidence

TEST(ReferenceHosts, EvidenceCountsFromWhenTheProbeWasSent) {
  const Config config = make_config(2);
  ReferenceHosts book(config, with_sets(2, true, true));
  EXPECT_EQ(book.lease_evidence(), kLongAgo);
  book.answered(HostId(0), kStart);
  book.answered(HostId(1), kStart + milliseconds(70));
  EXPECT_EQ(book.lease_evidence(), kStart + milliseconds(70));
  book.answered(HostId(1), kStart + milliseconds(20));  // a late answer to an older probe
  EXPECT_EQ(book.lease_evidence(), kStart + milliseconds(70));
}

TEST(ReferenceHosts, OnlyMembersOfTheActiveSetRenewTheLease) {
  const Config config = make_config(2);
  PersistedState state = with_sets(2, true, true);
  state.hosts.at(1).in_active_set = false;
  ReferenceHosts book(config, state);
  book.answered(HostId(1), kStart);
  EXPECT_EQ(book.lease_evidence(), kLongAgo);
}

constexpr Duration kLease = milliseconds(600);

TEST(ReferenceHosts, EveryMemberMustBeConclusive) {
  const Config config = make_config(2);
  ReferenceHosts book(config, with_sets(2, true, true));
  Instant now = kStart;
  for (int i = 0; i <= 7; ++i, now += milliseconds(100)) {
    book.answered(HostId(0), now);
    if (i != 0) book.answered(HostId(1), now);
  }
  now -= milliseconds(100);
  EXPECT_FALSE(book.all_conclusive(kLongAgo, milliseconds(700), now));  // the second one began 100 ms later
  EXPECT_EQ(book.not_conclusive(kLongAgo, milliseconds(700), now), std::vector<HostId>{HostId(1)});
  EXPECT_TRUE(book.all_conclusive(kLongAgo, kLease, now));
  EXPECT_FALSE(book.all_conclusive(kLongAgo, kLease, now + milliseconds(251)));  // no answer lately
}

// Until its lease is over the peer may renew it by a host that has just changed sides. So the answer must be
// to a probe that was sent after that, however long ago the run began or the peer fell silent.
TEST(ReferenceHosts, AnAnswerFromBeforeThePeersLeaseIsOverIsNotConclusive) {
  const Config config = make_config(1);
  ReferenceHosts long_run(config, with_sets(1, true, true));
  for (int i = 0; i <= 20; ++i) long_run.answered(HostId(0), kStart + i * milliseconds(100));
  const Instant silent_since = kStart + milliseconds(1500);
  EXPECT_EQ(long_run.conclusive_at(silent_since, kLease), kStart + milliseconds(2100));
  EXPECT_FALSE(long_run.all_conclusive(silent_since, kLease, kStart + milliseconds(2200)));
  long_run.answered(HostId(0), kStart + milliseconds(2100));
  EXPECT_TRUE(long_run.all_conclusive(silent_since, kLease, kStart + milliseconds(2200)));

  ReferenceHosts short_run(config, with_sets(1, true, true));
  for (int i = 0; i <= 5; ++i) short_run.answered(HostId(0), kStart + i * milliseconds(100));
  EXPECT_EQ(short_run.conclusive_at(kLongAgo, kLease), kStart + kLease);
  EXPECT_FALSE(short_run.all_conclusive(kLongAgo, kLease, kStart + milliseconds(700)));
  short_run.answered(HostId(0), kStart + kLease);
  EXPECT_TRUE(short_run.all_conclusive(kLongAgo, kLease, kStart + milliseconds(700)));
}

TEST(ReferenceHosts, AGapBeginsTheRunAnew) {
  const Config config = make_config(1);
  ReferenceHosts book(config, with_sets(1, true, true));
  for (int i = 0; i < 10; ++i) book.answered(HostId(0), kStart + i * milliseconds(100));
  const Instant later = kStart + milliseconds(900 + 251);
  book.answered(HostId(0), later);
  EXPECT_FALSE(book.all_conclusive(kLongAgo, kLease, later));
  EXPECT_EQ(book.conclusive_at(kLongAgo, kLease), later + kLease);
}

TEST(ReferenceHosts, AnEmptyStandbySetPermitsNothing) {
  const Config config = make_config(0);
  const ReferenceHosts book(config, PersistedState{});
  EXPECT_FALSE(book.all_conclusive(kLongAgo, Duration{0}, kStart));
}

// ---- the counted sets, one step at a time

Heartbeat says(size_t hosts, const CountedState& state) {
  Heartbeat out;
  out.hosts.assign(hosts, state);
  return out;
}

constexpr CountedState kCounts{false, true, false, true, false};
constexpr CountedState kLeaves{false, true, true, true, false};

TEST(ReferenceHosts, AHostIsUsedOnlyWhenThatIsDurable) {
  const Config config = make_config(1);
  ReferenceHosts book(config, with_sets(1, false, true));
  book.answered(HostId(0), kStart);
  std::vector<PersistedHost> stored(1);
  EXPECT_TRUE(book.review(kStart, says(1, kCounts), 0, 1, stored));
  EXPECT_TRUE(stored.at(0).in_active_set);
  book.submitted(1, stored);
  EXPECT_TRUE(book.announce(kStart).at(0).in_active_set);  // announced at once
  EXPECT_FALSE(book.in_active_set(HostId(0)));             // used only when durable
  book.durable(1);
  EXPECT_TRUE(book.in_active_set(HostId(0)));
}

TEST(ReferenceHosts, AHostThatThePeerLetsGoIsNotEntered) {
  const Config config = make_config(1);
  ReferenceHosts book(config, with_sets(1, false, true));
  book.answered(HostId(0), kStart);
  std::vector<PersistedHost> stored(1);
  EXPECT_FALSE(book.review(kStart, says(1, kLeaves), 0, 1, stored));
  EXPECT_FALSE(stored.at(0).in_active_set);
}

// The peer began to let the host go while this node's entry was on its way to the disk: a crash may find it
// there, so this node may not say that it does not count the host.
TEST(ReferenceHosts, WhatACrashMayBringBackIsAnnounced) {
  const Config config = make_config(1);
  ReferenceHosts book(config, with_sets(1, false, true));
  book.answered(HostId(0), kStart);
  std::vector<PersistedHost> stored(1);
  ASSERT_TRUE(book.review(kStart, says(1, kCounts), 0, 1, stored));
  book.submitted(1, stored);
  ASSERT_TRUE(book.review(kStart, says(1, kLeaves), 0, 2, stored));
  book.submitted(2, stored);
  EXPECT_TRUE(book.announce(kStart).at(0).in_active_set);
  book.durable(1);
  EXPECT_TRUE(book.announce(kStart).at(0).in_active_set);
  EXPECT_FALSE(book.in_active_set(HostId(0)));
  book.durable(2);
  EXPECT_FALSE(book.announce(kStart).at(0).in_active_set);
}

// A slow disk answers for several states at once: the newest of them is what a crash leaves.
TEST(ReferenceHosts, SeveralStatesMayBecomeDurableAtOnce) {
  const Config config = make_config(1);
  ReferenceHosts book(config, with_sets(1, true, true));
  book.submitted(1, {PersistedHost{false, true}});
  book.submitted(2, {PersistedHost{false, false}});
  EXPECT_FALSE(book.announce(kStart).at(0).in_standby_set);
  book.durable(2);
  EXPECT_FALSE(book.in_active_set(HostId(0)));
  EXPECT_FALSE(book.announce(kStart).at(0).in_standby_set);
  book.submitted(3, {PersistedHost{true, true}});
  book.durable(3);
  EXPECT_TRUE(book.in_active_set(HostId(0)));
  EXPECT_TRUE(book.announce(kStart).at(0).in_standby_set);
}

// States of an earlier configuration, with fewer hosts: what they do not name is in neither set for sure.
TEST(ReferenceHosts, AStateOfFewerHostsPromisesNothing) {
  const Config config = make_config(2);
  ReferenceHosts book(config, with_sets(1, true, true));
  EXPECT_TRUE(book.in_active_set(HostId(0)));
  EXPECT_FALSE(book.in_active_set(HostId(1)));
  book.submitted(1, {PersistedHost{true, true}});
  EXPECT_TRUE(book.announce(kStart).at(0).in_standby_set);
  EXPECT_FALSE(book.announce(kStart).at(1).in_standby_set);
  std::vector<PersistedHost> stored;
  (void)book.review(kStart, says(1, kCounts), 0, 1, stored);  // and a peer that names fewer
  EXPECT_EQ(stored.size(), 2U);
}

TEST(ReferenceHosts, TheLastHostOfASetNeverLeaves) {
  const Config config = make_config(2);
  ReferenceHosts book(config, with_sets(2, true, true));
  std::vector<PersistedHost> stored;
  CountedState silent = kCounts;
  silent.answers = false;
  uint64_t sequence = 0;
  for (Instant now = kStart; now < kStart + seconds(20); now += milliseconds(100)) {
    ++sequence;
    (void)book.review(now, says(2, silent), sequence, sequence + 1, stored);
    book.submitted(sequence, stored);
    book.durable(sequence);
  }
  EXPECT_EQ(book.in_active_set(HostId(0)) + book.in_active_set(HostId(1)), 1);
  EXPECT_EQ(book.in_standby_set(HostId(0)) + book.in_standby_set(HostId(1)), 1);
}

// ---- the invariant under everything that may happen

// Two nodes with their books, disks and lives; heartbeats between them are lost, delayed, reordered and
// duplicated; states reach the disk late or never; daemons die at any instant; hosts come and go.
class TwoBooks {
 public:
  explicit TwoBooks(uint64_t seed) : random_(seed), config_(make_config(kHosts)) {
    for (auto& node : nodes_) {
      node.disk = with_sets(kHosts, false, true);
      start(node);
    }
    for (auto& seen : visible_) seen.fill(true);
    loss_ = draw(draw(2) == 0 ? 60 : 95);
    delayed_ = draw(3) == 0 ? draw(100) : 10;
    slow_disk_ = 1 + draw(40);
    crashes_ = draw(3) == 0 ? 0 : 1 + draw(10);
    changes_ = 1 + draw(20);
  }

  void step() {
    now_ += milliseconds(50);
    for (size_t i = 0; i < 2; ++i) {
      if (draw(1000) < changes_) change_hosts();
      if (draw(1000) < crashes_) crash(nodes_.at(i));
      write(nodes_.at(i));
      probe(i);
      send(i);
      check();
    }
    deliver();
    check();
  }

  [[nodiscard]] const std::string& violation() const { return violation_; }
  unsigned entered = 0, left = 0;

 private:
  static constexpr size_t kHosts = 3;
  struct Writing {
    uint64_t version;
    std::vector<PersistedHost> hosts;
  };
  struct Life {
    uint64_t boot = 0, sequence = 0, version = 0;
    // Of the peer: newest heartbeat, and what it has acknowledged of this life.
    uint64_t peer_boot = 0, peer_sequence = 0, acked = 0;
    std::vector<PersistedHost> stored;
    std::deque<Writing> writing;
    std::optional<ReferenceHosts> book;
  };
  struct Node {
    PersistedState disk;
    Life life;
    int down = 0;
  };
  struct Flying {
    size_t to = 0;
    uint64_t life = 0;  // of the receiver, when it was sent
    Instant at;
    Heartbeat heartbeat;
  };

  unsigned draw(unsigned below) { return static_cast<unsigned>(random_() % below); }

  void start(Node& node) {
    node.life = Life{};
    node.life.boot = ++boots_;
    node.life.stored = node.disk.hosts;
    node.life.book.emplace(config_, node.disk);
  }

  // Whatever was on its way to the disk may have got there, in order.
  void crash(Node& node) {
    if (!node.life.book) return;
    for (unsigned n = draw(4); n > 0 && !node.life.writing.empty(); --n) {
      node.disk.hosts = node.life.writing.front().hosts;
      node.life.writing.pop_front();
    }
    node.life.book.reset();
    node.down = static_cast<int>(draw(60));
  }

  void write(Node& node) {
    if (!node.life.book) {
      if (--node.down < 0) start(node);
      return;
    }
    while (!node.life.writing.empty() && draw(slow_disk_) == 0) {
      node.disk.hosts = node.life.writing.front().hosts;
      // On disk, but the daemon has not been told yet: it may still die before.
      if (draw(8) == 0 && draw(4) < crashes_) return crash(node);
      node.life.book->durable(node.life.writing.front().version);
      node.life.writing.pop_front();
    }
  }

  void change_hosts() {
    const size_t host = draw(kHosts);
    const bool up = draw(2) == 0;
    const unsigned who = draw(4);
    for (size_t i = 0; i < 2; ++i) {
      if (who >= 2 || who == i) visible_.at(i).at(host) = up;
    }
  }

  void probe(size_t i) {
    if (!nodes_.at(i).life.book) return;
    for (size_t h = 0; h < kHosts; ++h) {
      if (visible_.at(i).at(h)) nodes_.at(i).life.book->answered(HostId(h), now_);
    }
  }

  void send(size_t i) {
    Life& life = nodes_.at(i).life;
    if (!life.book) return;
    Heartbeat out;
    out.boot = BootId{life.boot};
    out.sequence = ++life.sequence;
    out.ack = {BootId{life.peer_boot}, life.peer_sequence};
    out.hosts = life.book->announce(now_);
    const unsigned copies = draw(100) < loss_ ? 0 : 1 + draw(2);
    for (unsigned c = 0; c < copies; ++c) {
      const unsigned delay = draw(100) < delayed_ ? draw(6000) : draw(60);
      flying_.push_back({1 - i, nodes_.at(1 - i).life.boot, now_ + milliseconds(delay), out});
    }
  }

  void deliver() {
    for (size_t k = 0; k < flying_.size();) {
      if (flying_.at(k).at > now_) {
        ++k;
        continue;
      }
      const Flying due = flying_.at(k);
      flying_.erase(flying_.begin() + static_cast<std::ptrdiff_t>(k));
      // The seal opens nothing that was sent before the daemon started (core/challenge.hpp).
      if (due.life != nodes_.at(due.to).life.boot) continue;
      receive(nodes_.at(due.to).life, due.heartbeat);
      check();
    }
  }

  // As Peer and Node do it: only the newest of the newest daemon counts.
  void receive(Life& life, const Heartbeat& heartbeat) {
    if (!life.book || heartbeat.boot.value < life.peer_boot) return;
    if (heartbeat.boot.value != life.peer_boot) {
      life.peer_sequence = 0;
      life.acked = 0;
    }
    if (heartbeat.sequence <= life.peer_sequence && heartbeat.boot.value == life.peer_boot) return;
    life.peer_boot = heartbeat.boot.value;
    life.peer_sequence = heartbeat.sequence;
    if (heartbeat.ack.boot.value == life.boot) life.acked = std::max(life.acked, heartbeat.ack.sequence);
    const auto before = life.stored;
    if (!life.book->review(now_, heartbeat, life.acked, life.sequence + 1, life.stored)) return;
    life.book->submitted(++life.version, life.stored);
    life.writing.push_back({life.version, life.stored});
    for (size_t h = 0; h < kHosts; ++h) {
      entered += !before.at(h).in_active_set && life.stored.at(h).in_active_set ? 1U : 0U;
      left += before.at(h).in_standby_set && !life.stored.at(h).in_standby_set ? 1U : 0U;
    }
  }

  void check() {
    for (size_t x = 0; x < 2; ++x) {
      const auto& a = nodes_.at(x).life.book;
      const auto& b = nodes_.at(1 - x).life.book;
      for (size_t h = 0; a && b && h < kHosts; ++h) {
        if (!a->in_active_set(HostId(h)) || b->in_standby_set(HostId(h)) || !violation_.empty()) continue;
        violation_ = "host " + std::to_string(h) + " counts for node " + std::to_string(x) + ", at " +
                     std::to_string((now_ - kStart).count() / 1'000'000) + " ms";
      }
    }
  }

  std::mt19937_64 random_;
  Config config_;
  std::array<Node, 2> nodes_;
  std::array<std::array<bool, kHosts>, 2> visible_{};
  std::vector<Flying> flying_;
  Instant now_ = kStart;
  uint64_t boots_ = 0;
  unsigned loss_ = 0, delayed_ = 0, slow_disk_ = 1, crashes_ = 0, changes_ = 1;
  std::string violation_;
};

TEST(ReferenceHosts, ActiveSetIsWithinThePeersStandbySetAtEveryInstant) {
  unsigned entered = 0;
  unsigned left = 0;
  for (uint64_t seed = 1; seed <= 1200; ++seed) {
    TwoBooks books(seed);
    for (int i = 0; i < 2000; ++i) books.step();
    EXPECT_EQ(books.violation(), "") << "seed " << seed;
    entered += books.entered;
    left += books.left;
  }
  // It was not quiet because nothing happened.
  EXPECT_GT(entered, 1000U);
  EXPECT_GT(left, 300U);
}

}  // namespace
}  // namespace clusterd
