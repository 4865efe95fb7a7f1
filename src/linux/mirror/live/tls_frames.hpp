// The frames that a TLS channel is made of, and messages in them.
//
// On the wire a message is type (1 byte), length (4, the lowest first), contents. A compressed one begins
// with the length that it had (4).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.hpp"
#include "mirror/compression.hpp"

struct ZSTD_CCtx_s;

namespace clusterd::wire {

using Bytes = std::vector<std::byte>;

inline constexpr size_t kHead = 5;

enum class Type : uint8_t { kPlain = 0, kZstd = 1, kBeacon = 2, kGoodbye = 3 };

[[nodiscard]] size_t get32(const std::byte* at);
[[nodiscard]] Bytes framed(Type type, std::span<const std::byte> contents);

// Makes frames of messages, compressed where that pays. One thread at a time.
class Packer {
 public:
  Packer();
  ~Packer();
  Packer(const Packer&) = delete;
  Packer& operator=(const Packer&) = delete;

  Bytes pack(std::span<const std::byte> message);
  void wire_took(size_t bytes, Duration took) { compression_.wire_took(bytes, took); }

 private:
  ZSTD_CCtx_s* context_;
  mirror::Compression compression_;
};

// The message in the contents of a compressed frame.
[[nodiscard]] Result<Bytes> expand(std::span<const std::byte> contents);

}  // namespace clusterd::wire
