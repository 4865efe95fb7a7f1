#include "pair/cpace.hpp"

#include <sodium.h>

#include "base/check.hpp"

namespace clusterd::pair {

namespace {

constexpr std::string_view kDomain = "CPaceRistretto255";
constexpr std::string_view kKeyDomain = "CPaceRistretto255_ISK";
constexpr size_t kHashBlock = 128;  // input block of SHA-512

const uint8_t* bytes_of(std::string_view text) { return reinterpret_cast<const uint8_t*>(text.data()); }
template <size_t N>
std::string_view view(const std::array<uint8_t, N>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), N};
}

void wipe(std::string& text) { sodium_memzero(text.data(), text.size()); }

std::array<uint8_t, 64> hash(std::string_view data) {
  std::array<uint8_t, 64> out{};
  crypto_hash_sha512(out.data(), bytes_of(data), data.size());
  return out;
}

std::string transcript(const Side& side) {
  return prepend_len(view(side.share)) + prepend_len(side.associated);
}

}  // namespace

std::string prepend_len(std::string_view data) {
  std::string out;
  size_t length = data.size();
  do {
    const auto low = static_cast<uint8_t>(length & 0x7fU);
    length >>= 7U;
    out += static_cast<char>(length == 0 ? low : low | 0x80U);
  } while (length != 0);
  out += data;
  return out;
}

std::string generator_string(std::string_view code, std::string_view channel, std::string_view session) {
  const std::string first = prepend_len(kDomain) + prepend_len(code);
  const size_t padding = first.size() + 1 < kHashBlock ? kHashBlock - 1 - first.size() : 0;
  return first + prepend_len(std::string(padding, '\0')) + prepend_len(channel) + prepend_len(session);
}

Point generator(std::string_view code, std::string_view channel, std::string_view session) {
  CLUSTERD_CHECK(sodium_init() >= 0, "libsodium works");
  std::string text = generator_string(code, channel, session);
  auto digest = hash(text);
  Point point{};
  crypto_core_ristretto255_from_hash(point.data(), digest.data());
  wipe(text);
  sodium_memzero(digest.data(), digest.size());
  return point;
}

std::optional<Point> share(const Point& generator, const Scalar& scalar) {
  Point out{};
  if (crypto_scalarmult_ristretto255(out.data(), scalar.data(), generator.data()) != 0) return std::nullopt;
  return out;
}

std::optional<SessionKey> session_key(const Scalar& own, const Point& theirs, std::string_view session,
                                      const Side& initiator, const Side& responder) {
  Point secret{};
  // Refuses what is no canonical point, and a product that is the neutral element.
  if (crypto_core_ristretto255_is_valid_point(theirs.data()) != 1 ||
      crypto_scalarmult_ristretto255(secret.data(), own.data(), theirs.data()) != 0)
    return std::nullopt;
  std::string text = prepend_len(kKeyDomain) + prepend_len(session) + prepend_len(view(secret)) +
                     transcript(initiator) + transcript(responder);
  const SessionKey key = hash(text);
  wipe(text);
  sodium_memzero(secret.data(), secret.size());
  return key;
}

Tag confirmation(const SessionKey& key, std::string_view session, const Side& side) {
  std::string text = "CPaceMac" + std::string(session);
  text += view(key);
  auto mac_key = hash(text);
  const std::string said = transcript(side);
  Tag tag{};
  crypto_auth_hmacsha512_state state;
  crypto_auth_hmacsha512_init(&state, mac_key.data(), mac_key.size());
  crypto_auth_hmacsha512_update(&state, bytes_of(said), said.size());
  crypto_auth_hmacsha512_final(&state, tag.data());
  wipe(text);
  sodium_memzero(mac_key.data(), mac_key.size());
  sodium_memzero(&state, sizeof state);
  return tag;
}

bool same(const Tag& one, const Tag& two) { return sodium_memcmp(one.data(), two.data(), one.size()) == 0; }

}  // namespace clusterd::pair
