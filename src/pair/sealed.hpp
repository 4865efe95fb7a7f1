// What two paired nodes say to each other: messages that nobody else reads, changes, repeats or reorders
// (XChaCha20-Poly1305 streams of libsodium, one per direction, with keys of the session).
#pragma once

#include <sodium.h>

#include <optional>
#include <string>
#include <string_view>

#include "pair/handshake.hpp"

namespace clusterd::pair {

inline constexpr size_t kMaxMessage = 6 * 1024 * 1024;
inline constexpr size_t kSealBytes = crypto_secretstream_xchacha20poly1305_ABYTES;

class Sealed {
 public:
  Sealed(const SessionKey& key, Role role);
  ~Sealed();
  Sealed(const Sealed&) = delete;
  Sealed& operator=(const Sealed&) = delete;

  // The first frame in each direction is the stream's header.
  [[nodiscard]] std::string header();
  [[nodiscard]] bool take_header(std::string_view frame);

  [[nodiscard]] std::string seal(std::string_view message);
  [[nodiscard]] std::optional<std::string> open(std::string_view frame);

 private:
  std::array<uint8_t, crypto_secretstream_xchacha20poly1305_KEYBYTES> out_key_{}, in_key_{};
  crypto_secretstream_xchacha20poly1305_state out_{}, in_{};
  bool ready_ = false;
};

}  // namespace clusterd::pair
