// CPace over ristretto255 with SHA-512 (draft-irtf-cfrg-cpace-21, CPACE-RISTR255-SHA512, initiator and
// responder), with explicit key confirmation (its section 10.4).
//
// Both sides know a short code. After the exchange both have a strong key if, and only if, the codes were
// equal; an eavesdropper learns nothing about the code, and somebody in the middle can try one code per run.
// Group operations and comparisons are libsodium's, in constant time. Random numbers come from the caller.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace clusterd::pair {

using Point = std::array<uint8_t, 32>;
using Scalar = std::array<uint8_t, 32>;
using SessionKey = std::array<uint8_t, 64>;  // ISK
using Tag = std::array<uint8_t, 64>;

// The draft's string functions.
[[nodiscard]] std::string prepend_len(std::string_view data);
[[nodiscard]] std::string generator_string(std::string_view code, std::string_view channel,
                                           std::string_view session);

[[nodiscard]] Point generator(std::string_view code, std::string_view channel, std::string_view session);

// generator · scalar. nullopt only for a scalar of zero.
[[nodiscard]] std::optional<Point> share(const Point& generator, const Scalar& scalar);

struct Side {
  Point share{};
  std::string associated;  // ADa, ADb: goes into the key, so that both sides have seen the same
};

// The key, or nullopt if the peer's share is no point of the group, or the neutral one: abort then.
// Initiator first, whoever computes.
[[nodiscard]] std::optional<SessionKey> session_key(const Scalar& own, const Point& theirs,
                                                    std::string_view session, const Side& initiator,
                                                    const Side& responder);

// What a side sends to show that it has the key; `side` is that side's own.
[[nodiscard]] Tag confirmation(const SessionKey& key, std::string_view session, const Side& side);
[[nodiscard]] bool same(const Tag& one, const Tag& two);  // in constant time

}  // namespace clusterd::pair
