// The machine-readable trace of a run: what happened when on which node, in the words of the model (model/).
//
// One event is a name and a few numbers. All of them go into the hash of the run, so that two runs of one
// seed can be compared by one number; written out (`clusterd-sim --trace FILE`), an event is one line:
//
//     TIME NODE NAME key=value …        time in ns of the world; node 0, 1, or - for the world itself
//
// The names are those of the model, and what is told is what kernels, disks and the network see and what the
// core orders, never what a daemon believes: model/check-trace holds the model's rules against it. Instants
// (sent, until) are of the node's own clock, all else is a number.
//
//     timing, cluster     first of all: of what kind this cluster is
//     broken              an assumption does not hold until then: 0 A1, 1 A2, 2 A3, 3 an administrator's
//                         word, 4 A6 (docs/safety.md)
//     clock               how far it is ahead of the world's now, its rate in ppm, whether it runs
//     power_on power_off  the machine
//     pause resume        the machine stands still, and goes on; its clock goes on or not
//     start die exit      the daemon; exit: it takes nothing in any more, and ends soon
//     freeze thaw         the daemon stands still, and goes on
//     fill send           a heartbeat is sent; fill: what it and all after it say of a service
//     receive             it is read; proven=0: it is a sign of life only (core/challenge.hpp)
//     acked               … and acknowledges what no other has before
//     probe answered      the reference hosts are asked; one has answered what was asked at `sent`
//     submit write        a state is handed to the disk; is on it (of a service, or of a host)
//     disk                what is on it has become this in another way
//     claim activate      an epoch is claimed in what is submitted; a claimed one is used
//     gate shut           the kernel's deadline is set; the gate is shut before that
//     active inactive     the kernel lets packets of the service out; does not any more
//     force               an administrator orders the node to serve (-1: everything)
//     fence fenced        the fence is told to switch the target off; has done it and says so, or not
//     watchdog bite       it is armed or disarmed; it resets the machine
#pragma once

#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <utility>

#include "base/ids.hpp"
#include "base/time.hpp"

namespace clusterd::sim {

class Trace {
 public:
  using Field = std::pair<std::string_view, int64_t>;

  ~Trace() {
    if (file_ != nullptr) std::fclose(file_);
  }
  Trace() = default;
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

  // False: the file cannot be written.
  bool write_to(const char* path) { return (file_ = std::fopen(path, "w")) != nullptr; }

  void add(Instant at, std::optional<NodeId> node, std::string_view name,
           std::initializer_list<Field> fields) {
    mix(static_cast<uint64_t>(at.time_since_epoch().count()));
    mix(node ? node->at() : kNodeNone);
    mix(name.size() << 8U | static_cast<uint8_t>(name.front()));
    for (const Field& field : fields) mix(static_cast<uint64_t>(field.second));
    if (file_ == nullptr) return;
    std::fprintf(file_, "%lld ", static_cast<long long>(at.time_since_epoch().count()));
    if (node) {
      std::fprintf(file_, "%zu", node->at());
    } else {
      std::fputc('-', file_);
    }
    std::fprintf(file_, " %.*s", static_cast<int>(name.size()), name.data());
    for (const auto& [key, value] : fields) {
      std::fprintf(file_, " %.*s=%lld", static_cast<int>(key.size()), key.data(),
                   static_cast<long long>(value));
    }
    std::fputc('\n', file_);
  }

  [[nodiscard]] uint64_t hash() const { return hash_; }

 private:
  static constexpr uint64_t kNodeNone = 99;
  void mix(uint64_t value) {  // FNV-1a, a word at a time
    hash_ ^= value;
    hash_ *= 0x100000001B3U;
    hash_ ^= hash_ >> 29U;
  }

  uint64_t hash_ = 0xCBF29CE484222325U;
  std::FILE* file_ = nullptr;
};

}  // namespace clusterd::sim
