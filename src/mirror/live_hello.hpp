// The first word between the two ends of a live mirror, and the answer to it.
//
// The source says who it is and what it wants; the target compares that with its own configuration, asks its
// daemon, and lets it in or says why not, in words for the administrator. Everything later on the channel is
// between the source and the target (mirror/live).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "core/config.hpp"

namespace clusterd::mirror {

// Grows with every change that the other end must know of. What needs no more than an older one is still said
// in that: a node of an older version understands it, and refuses the rest in words.
inline constexpr uint64_t kLiveVersion = 2;
inline constexpr uint64_t kNumericVersion = 1;  // knows no owners by name

struct Hello {
  std::string cluster, from, to;  // names
  std::string service, mirror;
  uint64_t epoch = 0;
  uint64_t what = 0;  // hash_of(mirror)
  Ids ids = Ids::kNumeric;
  bool operator==(const Hello&) const = default;
};

struct Answer {
  enum class Verdict : uint8_t { kWelcome, kRefused, kBusy, kFailed } verdict = Verdict::kFailed;
  std::string reason;
  bool operator==(const Answer&) const = default;
};

// Over what is mirrored and what is not: both ends have to mean the same.
[[nodiscard]] uint64_t hash_of(const MirrorConfig& mirror);

[[nodiscard]] std::vector<std::byte> encode(const Hello& hello);
[[nodiscard]] std::vector<std::byte> encode(const Answer& answer);
// kRefused: another version; kCorrupt: nothing that encode() could have written.
[[nodiscard]] Result<Hello> decode_hello(std::span<const std::byte> bytes);
[[nodiscard]] Result<Answer> decode_answer(std::span<const std::byte> bytes);

}  // namespace clusterd::mirror
