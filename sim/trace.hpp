// The machine-readable trace of a run: what happened when on which node, in the words of the model (model/).
//
// One event is a name and a few numbers. All of them go into the hash of the run, so that two runs of one
// seed can be compared by one number; written out (`clusterd-sim --trace FILE`), an event is one line:
//
//     TIME NODE NAME key=value …        time in ns of the world; node 0, 1, or - for the world itself
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
