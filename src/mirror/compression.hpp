// Whether compressing what goes to the peer pays: measured, message by message, never assumed.
//
// Compressing a byte costs time on this side and saves wire for what it takes away. It pays where the first
// is less than the second, so it needs three measurements: what compressing has cost lately, what has been
// left, and how long a byte takes on the wire while there is more to send than goes through. Where it does
// not pay, it is left out for 1, 2, 4 … 64 messages before it is tried again, since the next file may be
// another.
//
// Threading: none of its own. Units: nanoseconds per byte.
#pragma once

#include <cstddef>

#include "base/time.hpp"

namespace clusterd::mirror {

class Compression {
 public:
  static constexpr size_t kLeast = 512;  // below, the message is not worth a look
  static constexpr unsigned kLongestPause = 64;

  [[nodiscard]] bool try_next(size_t bytes);
  // What the attempt has come to. False: send it as it was.
  [[nodiscard]] bool tried(size_t before, size_t after, Duration took);
  // `bytes` have gone out in `took`, while more was waiting all the time.
  void wire_took(size_t bytes, Duration took);

 private:
  double wire_ = 0;  // 0: never was a bottleneck
  unsigned pause_ = 1, skip_ = 0;
};

}  // namespace clusterd::mirror
