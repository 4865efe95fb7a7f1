#include "linux/mirror/live/tls_frames.hpp"

#include <zstd.h>

#include <chrono>
#include <cstring>

#include "linux/mirror/live/channel.hpp"

namespace clusterd::wire {
namespace {

constexpr int kLevel = 1;  // of zstd

Instant now() { return Instant(std::chrono::steady_clock::now().time_since_epoch()); }

void put32(std::byte* at, size_t value) {
  for (size_t i = 0; i < 4; ++i) at[i] = static_cast<std::byte>(value >> (8 * i));
}

}  // namespace

size_t get32(const std::byte* at) {
  size_t value = 0;
  for (size_t i = 0; i < 4; ++i) value |= std::to_integer<size_t>(at[i]) << (8 * i);
  return value;
}

Bytes framed(Type type, std::span<const std::byte> contents) {
  Bytes frame(kHead + contents.size());
  frame[0] = static_cast<std::byte>(type);
  put32(&frame[1], contents.size());
  if (!contents.empty()) std::memcpy(&frame[kHead], contents.data(), contents.size());
  return frame;
}

Packer::Packer() : context_(ZSTD_createCCtx()) {}
Packer::~Packer() { ZSTD_freeCCtx(context_); }

Bytes Packer::pack(std::span<const std::byte> message) {
  if (context_ == nullptr || !compression_.try_next(message.size())) return framed(Type::kPlain, message);
  const Instant begin = now();
  // What does not get an eighth smaller is not worth expanding.
  const size_t room = message.size() - message.size() / 8;
  Bytes frame(kHead + 4 + room);
  const size_t n =
      ZSTD_compressCCtx(context_, &frame[kHead + 4], room, message.data(), message.size(), kLevel);
  const size_t after = ZSTD_isError(n) != 0 ? message.size() : n + 4;
  if (!compression_.tried(message.size(), after, now() - begin)) return framed(Type::kPlain, message);
  frame.resize(kHead + after);
  frame[0] = static_cast<std::byte>(Type::kZstd);
  put32(&frame[1], after);
  put32(&frame[kHead], message.size());
  return frame;
}

Result<Bytes> expand(std::span<const std::byte> contents) {
  const size_t length = contents.size() < 4 ? SIZE_MAX : get32(contents.data());
  if (length > kMaxChannelMessage) return fail(Code::kCorrupt, "a compressed message is malformed");
  Bytes message(length);
  const auto packed = contents.subspan(4);
  const size_t n = ZSTD_decompress(message.data(), message.size(), packed.data(), packed.size());
  if (ZSTD_isError(n) != 0 || n != length) return fail(Code::kCorrupt, "a compressed message is malformed");
  return message;
}

}  // namespace clusterd::wire
