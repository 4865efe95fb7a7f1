// The fuzz targets: one function per decoder of foreign bytes, in NAME.cpp beside this file.
//
// A target takes any bytes, feeds them to production code as they would come from the network, a file or a
// child, and calls `require` for whatever must hold then. It keeps nothing between two calls, so that one
// input always gives one result. The same functions are built three ways:
//   - with clang and -DCLUSTERD_FUZZ=ON as one libFuzzer program each (fuzz_NAME), for campaigns:
//   tests/fuzz/run
//   - with any compiler into test_fuzz, which feeds the kept corpus: a plain regression test under ctest
//   - test_fuzz FILE… repeats single inputs under a debugger.
// A new target: a line here, NAME.cpp, and a few inputs in corpus/NAME.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

#define CLUSTERD_FUZZ_TARGETS(X) \
  X(backups)                     \
  X(command)                     \
  X(config)                      \
  X(events)                      \
  X(frames)                      \
  X(groups)                      \
  X(heartbeat)                   \
  X(http)                        \
  X(imports)                     \
  X(itemize)                     \
  X(live)                        \
  X(livehello)                   \
  X(loss)                        \
  X(manifest)                    \
  X(messages)                    \
  X(names)                       \
  X(netlink)                     \
  X(node)                        \
  X(ocf)                         \
  X(pairing)                     \
  X(recording)                   \
  X(scalars)                     \
  X(seal)                        \
  X(state)                       \
  X(status)                      \
  X(versions)

namespace clusterd::fuzz {

using Bytes = std::span<const uint8_t>;

#define CLUSTERD_FUZZ_DECLARE(name) void fuzz_##name(Bytes input);
CLUSTERD_FUZZ_TARGETS(CLUSTERD_FUZZ_DECLARE)
#undef CLUSTERD_FUZZ_DECLARE

// What must hold for every input. libFuzzer keeps the input that breaks it.
inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "fuzz: does not hold: %s\n", what);
  std::abort();
}

[[nodiscard]] inline std::string_view text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Takes an input apart into choices and numbers. Past its end everything is zero.
class Feed {
 public:
  explicit Feed(Bytes bytes) : bytes_(bytes) {}
  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  uint8_t byte() {
    if (bytes_.empty()) return 0;
    const uint8_t first = bytes_.front();
    bytes_ = bytes_.subspan(1);
    return first;
  }
  size_t below(size_t n) { return n == 0 ? 0 : byte() % n; }
  bool coin() { return (byte() & 1U) != 0; }
  uint64_t number(size_t bytes = 8) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; ++i) value |= static_cast<uint64_t>(byte()) << (8 * i);
    return value;
  }
  Bytes take(size_t most) {
    const Bytes first = bytes_.first(most < bytes_.size() ? most : bytes_.size());
    bytes_ = bytes_.subspan(first.size());
    return first;
  }
  std::string text(size_t most) { return std::string(text_of(take(most))); }
  Bytes rest() { return take(bytes_.size()); }

 private:
  Bytes bytes_;
};

}  // namespace clusterd::fuzz
