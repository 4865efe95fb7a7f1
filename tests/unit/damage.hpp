// Every way to damage a message a little: for tests of decoders. What has to hold for the damaged form is the
// test's own business.
#pragma once

#include <cstddef>
#include <cstdint>

namespace clusterd::testing {

// Each beginning of it, from nothing to all but the last byte.
template <class Bytes, class Visit>
void for_each_truncation(const Bytes& whole, Visit visit) {
  for (size_t length = 0; length < whole.size(); ++length) {
    visit(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)), length);
  }
}

// It with one bit turned over, for each bit; the second argument is the bit's number.
template <class Bytes, class Visit>
void for_each_flip(const Bytes& whole, Visit visit) {
  using Byte = typename Bytes::value_type;
  Bytes damaged = whole;
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    const auto turned = static_cast<Byte>(static_cast<uint8_t>(damaged[bit / 8]) ^ (1U << (bit % 8)));
    damaged[bit / 8] = turned;
    visit(damaged, bit);
    damaged[bit / 8] = whole[bit / 8];
  }
}

}  // namespace clusterd::testing
