// The exchange between a node that waits and one that joins, until both know that the other one has the same
// code.
//
//   joining → waiting   hello: version, 16 random bytes, name
//   joining ← waiting   hello                                   session = both random parts
//   joining → waiting   share                                   CPace (cpace.hpp)
//   joining ← waiting   share
//   joining → waiting   confirmation                            the waiting node counts a wrong one
//   joining ← waiting   confirmation, or "refused"
//
// The joining node confirms first: whoever guesses learns whether the guess was right only by an attempt that
// the waiting node has counted. Pure: frames in, frames out; the caller has the connection, the clock and the
// random bytes.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "pair/cpace.hpp"

namespace clusterd::pair {

enum class Role : uint8_t { kJoining, kWaiting };

struct Random {
  std::array<uint8_t, 16> nonce{};
  std::array<uint8_t, 64> scalar{};
};

// Before the confirmation no frame is longer.
inline constexpr size_t kMaxHandshakeFrame = 256;

enum class Failure : uint8_t {
  kNone,
  kStranger,   // no clusterd that pairs, or another version of it
  kWrongCode,  // the peer has another code, or is not the peer
  kBadShare,   // what no honest node sends
  kRefused,    // the waiting node counts it as wrong, or its code is void
};

struct Step {
  std::string send;  // the next frame; empty = none
  bool done = false;
  Failure failure = Failure::kNone;
};

class Handshake {
 public:
  Handshake(Role role, std::string code, std::string name, const Random& random);
  ~Handshake();
  Handshake(const Handshake&) = delete;
  Handshake& operator=(const Handshake&) = delete;

  [[nodiscard]] std::string first();  // the joining node's first frame
  [[nodiscard]] Step take(std::string_view frame);

  // After `done`.
  [[nodiscard]] const SessionKey& key() const { return key_; }
  [[nodiscard]] const std::string& peer_name() const { return peer_; }

  // What the waiting node sends instead of its hello when its code is void.
  [[nodiscard]] static std::string refusal();

 private:
  enum class Await : uint8_t { kHello, kShare, kConfirmation, kNothing };
  [[nodiscard]] std::string hello() const;
  Step take_hello(std::string_view body);
  Step take_share(std::string_view body);
  Step take_confirmation(std::string_view body);
  Step fail(Failure failure);

  Role role_;
  std::string code_, name_, peer_, session_;
  Random random_;
  Scalar scalar_{};
  Point own_share_{};
  Side joining_, waiting_;
  SessionKey key_{};
  Await await_ = Await::kHello;
};

}  // namespace clusterd::pair
