#include "keep/secret_talk.hpp"

#include <fmt/format.h>
#include <sodium.h>

#include <array>
#include <cstring>

#include "base/check.hpp"

namespace clusterd::keep {

namespace {

constexpr std::string_view kMagic = "clusterd-config 1\n";
constexpr size_t kNonceBytes = 32;
constexpr size_t kHelloBytes = kMagic.size() + kNonceBytes + crypto_scalarmult_BYTES;

using Point = std::array<uint8_t, crypto_scalarmult_BYTES>;

struct Own {
  std::array<uint8_t, crypto_scalarmult_SCALARBYTES> scalar{};
  std::string hello;
  Own() {
    CLUSTERD_CHECK(sodium_init() >= 0, "libsodium works");
    std::array<uint8_t, kNonceBytes> nonce{};
    Point point{};
    randombytes_buf(nonce.data(), nonce.size());
    randombytes_buf(scalar.data(), scalar.size());
    CLUSTERD_CHECK(crypto_scalarmult_base(point.data(), scalar.data()) == 0, "libsodium works");
    hello = std::string(kMagic);
    hello.append(reinterpret_cast<const char*>(nonce.data()), nonce.size());
    hello.append(reinterpret_cast<const char*>(point.data()), point.size());
  }
  ~Own() { sodium_memzero(scalar.data(), scalar.size()); }
  Own(const Own&) = delete;
  Own& operator=(const Own&) = delete;
};

void add(crypto_generichash_state& state, std::string_view text) {
  const uint64_t size = text.size();  // so that no text can run into the next one
  crypto_generichash_update(&state, reinterpret_cast<const uint8_t*>(&size), sizeof size);
  crypto_generichash_update(&state, reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

// nullopt: the other side's point is none that a key may come from.
std::optional<pair::SessionKey> session_key(const Own& own, const std::string& theirs, const Secret& secret,
                                            const Ends& ends, pair::Role role) {
  Point point{}, shared{};
  std::memcpy(point.data(), theirs.data() + kMagic.size() + kNonceBytes, point.size());
  if (crypto_scalarmult(shared.data(), own.scalar.data(), point.data()) != 0) return std::nullopt;
  const bool caller = role == pair::Role::kJoining;
  pair::SessionKey key{};
  crypto_generichash_state state;
  crypto_generichash_init(&state, secret.data(), secret.size(), key.size());
  add(state, "clusterd-config session 1");
  add(state, ends.cluster);
  add(state, ends.caller);
  add(state, ends.answerer);
  add(state, caller ? own.hello : theirs);
  add(state, caller ? theirs : own.hello);
  add(state, {reinterpret_cast<const char*>(shared.data()), shared.size()});
  crypto_generichash_final(&state, key.data(), key.size());
  sodium_memzero(shared.data(), shared.size());
  return key;
}

}  // namespace

std::string socket_path(const std::string& run_dir) { return run_dir + "/config.sock"; }

Result<SecretTalk> SecretTalk::begin(Talk talk, const Secret& secret, const Ends& ends, pair::Role role) {
  const auto end = TalkClock::now() + kHelloLimit;
  const auto nonsense = [&talk] {
    return fail(Code::kCorrupt, talk.peer() + ": it does not speak as clusterd-config does");
  };
  const Own own;
  if (auto sent = talk.send(own.hello, end); !sent) return tl::unexpected(sent.error());
  const auto theirs = talk.receive(kHelloBytes, end);
  if (!theirs) return tl::unexpected(theirs.error());
  if (theirs->size() != kHelloBytes || !theirs->starts_with(kMagic)) return nonsense();
  auto key = session_key(own, *theirs, secret, ends, role);
  if (!key) return nonsense();
  auto sealed = std::make_unique<pair::Sealed>(*key, role);
  sodium_memzero(key->data(), key->size());
  if (auto sent = talk.send(sealed->header(), end); !sent) return tl::unexpected(sent.error());
  const auto header = talk.receive(kHelloBytes, end);
  if (!header) return tl::unexpected(header.error());
  if (!sealed->take_header(*header)) return nonsense();
  return SecretTalk(std::move(talk), std::move(sealed));
}

Result<SecretTalk> SecretTalk::call(Talk talk, const Secret& secret, const Ends& ends) {
  return begin(std::move(talk), secret, ends, pair::Role::kJoining);
}

Result<SecretTalk> SecretTalk::answer(Talk talk, const Secret& secret, const Ends& ends) {
  return begin(std::move(talk), secret, ends, pair::Role::kWaiting);
}

Result<SecretTalk> SecretTalk::local(const std::string& run_dir) {
  auto talk = Talk::connect(socket_path(run_dir));
  if (!talk) return tl::unexpected(talk.error());
  return local(std::move(*talk));
}

Result<void> SecretTalk::say(const std::string& message) {
  const auto end = TalkClock::now() + kAnswerLimit;
  return talk_.send(sealed_ ? sealed_->seal(message) : message, end);
}

Result<std::string> SecretTalk::hear(std::chrono::seconds limit) {
  const auto frame = talk_.receive(kMaxMessage + pair::kSealBytes, TalkClock::now() + limit);
  if (!frame) return tl::unexpected(frame.error());
  if (!sealed_) return *frame;
  auto message = sealed_->open(*frame);
  if (!message)
    return fail(Code::kCorrupt,
                talk_.peer() + ": it has another secret, or the message was changed on its way");
  return std::move(*message);
}

}  // namespace clusterd::keep
