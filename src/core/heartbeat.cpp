#include "core/heartbeat.hpp"

#include <algorithm>
#include <string_view>

#include "base/check.hpp"
#include "base/mark.hpp"

namespace clusterd {

namespace {

constexpr std::array<uint8_t, 3> kMagic = {'h', 'b', 1};  // the last byte is the version
constexpr size_t kMaxReason = 120;
constexpr size_t kMaxRequestKind = static_cast<size_t>(Request::Kind::kStopServices);
constexpr size_t kMaxOutcome = static_cast<size_t>(RequestAnswer::Outcome::kRefused);
constexpr size_t kMaxRole = static_cast<size_t>(Role::kFailed);

constexpr size_t kServiceBytes = 1 + 1 + 8 + 8;
constexpr size_t kFixedBytes = kMagic.size() + 1 + 8 + 8 + 16 + 8 + 8  // from … wall
                               + 1 + 8 + 1 + 1                         // flags, promise, links, NIC
                               + 1 + 1 + 2 + 1                         // counts, lineage_of
                               + 1 + 8 + 2                             // request
                               + 8 + 1 + 1;                            // answer, length of its reason
static_assert(kFixedBytes + kMaxHosts + kMaxServices * kServiceBytes + kMaxLineage * 8 + kMaxReason <=
                  kMaxHeartbeatBytes,
              "the fullest heartbeat has to fit one datagram");

class Writer {
 public:
  explicit Writer(std::vector<uint8_t>& out) : out_(out) {}
  void u8(uint8_t v) { out_.push_back(v); }
  void u16(uint16_t v) { little(v, 2); }
  void u64(uint64_t v) { little(v, 8); }
  void i64(int64_t v) { u64(static_cast<uint64_t>(v)); }
  // At most eight bools in one byte, the first in the lowest bit.
  void flags(std::initializer_list<bool> bits) {
    uint8_t byte = 0;
    unsigned shift = 0;
    for (const bool bit : bits) {
      if (bit) byte = static_cast<uint8_t>(byte | (1U << shift));
      ++shift;
    }
    u8(byte);
  }

 private:
  void little(uint64_t v, size_t bytes) {
    for (size_t i = 0; i < bytes; ++i) out_.push_back(static_cast<uint8_t>(v >> (8 * i)));
  }
  std::vector<uint8_t>& out_;
};

// Reads past the end give zeros and set `bad`, which is looked at once, at the end.
class Reader {
 public:
  explicit Reader(std::span<const uint8_t> in) : in_(in) {}
  uint8_t u8() { return static_cast<uint8_t>(little(1)); }
  uint16_t u16() { return static_cast<uint16_t>(little(2)); }
  uint64_t u64() { return little(8); }
  int64_t i64() { return static_cast<int64_t>(little(8)); }
  void flags(std::initializer_list<bool*> bits) {
    unsigned byte = u8();
    for (bool* bit : bits) {
      *bit = (byte & 1U) != 0;
      byte >>= 1U;
    }
    if (byte != 0) bad_ = true;  // a bit that has no meaning
  }
  size_t limited(size_t value, size_t most) {
    if (value > most) bad_ = true;
    return bad_ ? 0 : value;
  }
  std::string text(size_t length) {
    if (bad_ || in_.size() < length) {
      bad_ = true;
      return {};
    }
    std::string out(in_.begin(), in_.begin() + static_cast<std::ptrdiff_t>(length));
    in_ = in_.subspan(length);
    return out;
  }
  void fail_if(bool condition) { bad_ = bad_ || condition; }
  [[nodiscard]] bool complete() const { return !bad_ && in_.empty(); }

 private:
  uint64_t little(size_t bytes) {
    if (bad_ || in_.size() < bytes) {
      bad_ = true;
      return 0;
    }
    uint64_t v = 0;
    for (size_t i = 0; i < bytes; ++i) v |= static_cast<uint64_t>(in_[i]) << (8 * i);
    in_ = in_.subspan(bytes);
    return v;
  }
  std::span<const uint8_t> in_;
  bool bad_ = false;
};

// Cuts at the start of a UTF-8 character, so that what is shown stays readable.
std::string_view shortened(std::string_view reason) {
  if (reason.size() <= kMaxReason) return reason;
  mark(Mark::kReasonShortened);
  size_t end = kMaxReason;
  while (end > 0 && (static_cast<uint8_t>(reason[end]) & 0xC0U) == 0x80U) --end;
  return reason.substr(0, end);
}

void write_state(Writer& w, const Heartbeat& h) {
  w.flags(
      {h.locked, h.lock_peer, h.leaving, h.promise_wanted, h.promise_given, h.service_nic_up, h.watchdog});
  w.i64(h.promise.count());
  w.u8(h.links_up);
  w.u8(static_cast<uint8_t>(h.hosts.size()));
  for (const CountedState& c : h.hosts) {
    w.flags({c.in_active_set, c.in_standby_set, c.leaving, c.answers, c.relays});
  }
  w.u8(static_cast<uint8_t>(h.services.size()));
  for (const ServiceReport& s : h.services) {
    w.u8(static_cast<uint8_t>(s.role));
    w.flags({s.ready, s.peer_synced, s.diverged, s.blocked, s.may_run, s.guarded});
    w.u64(s.epoch.value);
    w.u64(s.data_epoch.value);
  }
  w.u16(h.lineage_of);
  w.u8(static_cast<uint8_t>(h.lineage.size()));
  for (const Epoch e : h.lineage) w.u64(e.value);
}

void read_state(Reader& r, Heartbeat& h) {
  r.flags({&h.locked, &h.lock_peer, &h.leaving, &h.promise_wanted, &h.promise_given, &h.service_nic_up,
           &h.watchdog});
  h.promise = Duration(r.i64());
  h.links_up = r.u8();
  h.hosts.resize(r.limited(r.u8(), kMaxHosts));
  for (CountedState& c : h.hosts) {
    r.flags({&c.in_active_set, &c.in_standby_set, &c.leaving, &c.answers, &c.relays});
  }
  h.services.resize(r.limited(r.u8(), kMaxServices));
  for (ServiceReport& s : h.services) {
    s.role = static_cast<Role>(r.limited(r.u8(), kMaxRole));
    r.flags({&s.ready, &s.peer_synced, &s.diverged, &s.blocked, &s.may_run, &s.guarded});
    s.epoch.value = r.u64();
    s.data_epoch.value = r.u64();
  }
  h.lineage_of = r.u16();
  h.lineage.resize(r.limited(r.u8(), kMaxLineage));
  for (Epoch& e : h.lineage) e.value = r.u64();
}

}  // namespace

std::vector<uint8_t> encode(const Heartbeat& h) {
  CLUSTERD_CHECK(h.from.at() < kNodes, "a heartbeat comes from a node of the cluster");
  CLUSTERD_CHECK(h.hosts.size() <= kMaxHosts && h.services.size() <= kMaxServices,
                 "bounds of the configuration");
  CLUSTERD_CHECK(h.lineage.size() <= kMaxLineage, "a lineage is kept short");
  std::vector<uint8_t> out;
  out.reserve(kMaxHeartbeatBytes);
  Writer w(out);
  for (const uint8_t byte : kMagic) w.u8(byte);
  w.u8(static_cast<uint8_t>(h.from.at()));
  w.u64(h.boot.value);
  w.u64(h.sequence);
  w.u64(h.ack.boot.value);
  w.u64(h.ack.sequence);
  w.u64(h.config_hash);
  w.i64(h.wall.time_since_epoch().count());
  write_state(w, h);
  w.u8(static_cast<uint8_t>(h.request.kind));
  w.u64(h.request.id);
  w.u16(h.request.service);
  w.u64(h.answer.id);
  w.u8(static_cast<uint8_t>(h.answer.outcome));
  const std::string_view reason = shortened(h.answer.reason);
  w.u8(static_cast<uint8_t>(reason.size()));
  out.insert(out.end(), reason.begin(), reason.end());
  CLUSTERD_CHECK(out.size() <= kMaxHeartbeatBytes, "a heartbeat fits one datagram");
  return out;
}

std::optional<Heartbeat> decode(std::span<const uint8_t> bytes) {
  if (bytes.size() > kMaxHeartbeatBytes) return std::nullopt;
  Reader r(bytes);
  for (const uint8_t byte : kMagic) r.fail_if(r.u8() != byte);
  Heartbeat h;
  h.from = NodeId(r.limited(r.u8(), kNodes - 1));
  h.boot.value = r.u64();
  h.sequence = r.u64();
  h.ack.boot.value = r.u64();
  h.ack.sequence = r.u64();
  h.config_hash = r.u64();
  h.wall = WallTime(Duration(r.i64()));
  read_state(r, h);
  h.request.kind = static_cast<Request::Kind>(r.limited(r.u8(), kMaxRequestKind));
  h.request.id = r.u64();
  h.request.service = r.u16();
  h.answer.id = r.u64();
  h.answer.outcome = static_cast<RequestAnswer::Outcome>(r.limited(r.u8(), kMaxOutcome));
  h.answer.reason = r.text(r.limited(r.u8(), kMaxReason));
  if (!r.complete()) {
    mark(Mark::kHeartbeatMalformed);
    return std::nullopt;
  }
  return h;
}

const char* name(Role role) {
  static constexpr std::array<const char*, kMaxRole + 1> kNames = {
      "standby", "starting", "active", "stopping", "suspended", "released", "failed"};
  return kNames.at(static_cast<size_t>(role));
}

}  // namespace clusterd
