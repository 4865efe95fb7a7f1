#include "base/bytes.hpp"

namespace clusterd {

void ByteWriter::number(uint64_t v) {
  while (v >= 0x80) {
    u8(static_cast<uint8_t>(v | 0x80U));
    v >>= 7U;
  }
  u8(static_cast<uint8_t>(v));
}

uint8_t ByteReader::u8() {
  if (bad_ || in_.empty()) {
    bad_ = true;
    return 0;
  }
  const uint8_t v = in_.front();
  in_ = in_.subspan(1);
  return v;
}

uint64_t ByteReader::number() {
  uint64_t v = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const uint64_t byte = u8();
    if (shift == 63 && byte > 1) break;  // more than 64 bits
    v |= (byte & 0x7fU) << shift;
    // One number has one way to be written: no zeros are appended.
    if (shift > 0 && byte == 0) break;
    if ((byte & 0x80U) == 0) return bad_ ? 0 : v;
  }
  bad_ = true;
  return 0;
}

uint64_t ByteReader::little(size_t bytes) {
  if (bad_ || in_.size() < bytes) {
    bad_ = true;
    return 0;
  }
  uint64_t v = 0;
  for (size_t i = 0; i < bytes; ++i) v |= static_cast<uint64_t>(in_[i]) << (8 * i);
  in_ = in_.subspan(bytes);
  return v;
}

std::string ByteReader::text(size_t most) {
  const auto part = bytes(static_cast<size_t>(limited(number(), most)));
  return {part.begin(), part.end()};
}

std::span<const uint8_t> ByteReader::bytes(size_t count) {
  if (bad_ || in_.size() < count) {
    bad_ = true;
    return {};
  }
  const auto part = in_.subspan(0, count);
  in_ = in_.subspan(count);
  return part;
}

}  // namespace clusterd
