// Numbers and texts as bytes, for the flight recorder and its snapshots: variable-length integers, counted
// texts and lists.
//
// `ByteReader` takes every byte as hostile: reads past the end, or beyond a bound, give zeros and set `bad`,
// which is looked at once, at the end. Counts are bounded before anything is reserved, so a damaged file
// cannot make the reader allocate much more than the file's own size.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hpp"

namespace clusterd {

// Texts beyond this are not written: whoever writes them records a gap instead.
inline constexpr size_t kMaxText = 1024 * 1024;

class ByteWriter {
 public:
  explicit ByteWriter(std::vector<uint8_t>& out) : out_(out) {}
  void u8(uint8_t v) { out_.push_back(v); }
  void flag(bool v) { u8(v ? 1 : 0); }
  void fixed32(uint32_t v) { little(v, 4); }
  void fixed64(uint64_t v) { little(v, 8); }
  void number(uint64_t v);  // 7 bits a byte, the lowest first
  void signed_number(int64_t v) { number((static_cast<uint64_t>(v) << 1U) ^ static_cast<uint64_t>(v >> 63)); }
  void duration(Duration v) { signed_number(v.count()); }
  void text(std::string_view v) {
    number(v.size());
    out_.insert(out_.end(), v.begin(), v.end());
  }
  void bytes(std::span<const uint8_t> v) { out_.insert(out_.end(), v.begin(), v.end()); }
  [[nodiscard]] size_t size() const { return out_.size(); }

 private:
  void little(uint64_t v, size_t bytes) {
    for (size_t i = 0; i < bytes; ++i) out_.push_back(static_cast<uint8_t>(v >> (8 * i)));
  }
  std::vector<uint8_t>& out_;
};

class ByteReader {
 public:
  explicit ByteReader(std::span<const uint8_t> in) : in_(in) {}
  uint8_t u8();
  bool flag() { return limited(u8(), 1) != 0; }
  uint32_t fixed32() { return static_cast<uint32_t>(little(4)); }
  uint64_t fixed64() { return little(8); }
  uint64_t number();
  int64_t signed_number() {
    const uint64_t v = number();
    return static_cast<int64_t>((v >> 1U) ^ (~(v & 1U) + 1));
  }
  Duration duration() { return Duration(signed_number()); }
  std::string text(size_t most = kMaxText);
  std::span<const uint8_t> bytes(size_t count);
  // `value` if it is at most `most`; otherwise 0, and all is bad.
  uint64_t limited(uint64_t value, uint64_t most) {
    if (value > most) bad_ = true;
    return bad_ ? 0 : value;
  }
  // A count of things of which each takes at least one byte of what is left.
  size_t count(size_t most) {
    const uint64_t v = limited(number(), most);
    return static_cast<size_t>(limited(v, in_.size()));
  }
  void fail_if(bool condition) { bad_ = bad_ || condition; }
  [[nodiscard]] bool bad() const { return bad_; }
  [[nodiscard]] bool empty() const { return in_.empty(); }
  [[nodiscard]] size_t left() const { return in_.size(); }
  [[nodiscard]] bool complete() const { return !bad_ && in_.empty(); }

 private:
  uint64_t little(size_t bytes);
  std::span<const uint8_t> in_;
  bool bad_ = false;
};

}  // namespace clusterd
