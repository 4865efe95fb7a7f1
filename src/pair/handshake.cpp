#include "pair/handshake.hpp"

#include <sodium.h>

#include <algorithm>

#include "config/draft.hpp"

namespace clusterd::pair {

namespace {

constexpr std::string_view kMagic = "clusterd-pair 1\n";
constexpr char kHello = 'h', kShare = 's', kConfirm = 'c', kRefuse = 'r';
constexpr size_t kMaxName = 63;

template <size_t N>
std::string text_of(const std::array<uint8_t, N>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), N};
}
template <size_t N>
bool fill(std::array<uint8_t, N>& out, std::string_view body) {
  if (body.size() != N) return false;
  std::copy(body.begin(), body.end(), out.begin());
  return true;
}

}  // namespace

Handshake::Handshake(Role role, std::string code, std::string name, const Random& random)
    : role_(role), code_(std::move(code)), name_(std::move(name)), random_(random) {
  crypto_core_ristretto255_scalar_reduce(scalar_.data(), random_.scalar.data());
}

Handshake::~Handshake() {
  sodium_memzero(code_.data(), code_.size());
  sodium_memzero(random_.scalar.data(), random_.scalar.size());
  sodium_memzero(scalar_.data(), scalar_.size());
  sodium_memzero(key_.data(), key_.size());
}

std::string Handshake::refusal() { return std::string(1, kRefuse); }

std::string Handshake::hello() const {
  return std::string(1, kHello) + std::string(kMagic) + text_of(random_.nonce) + name_;
}

std::string Handshake::first() { return hello(); }

Step Handshake::fail(Failure failure) {
  await_ = Await::kNothing;
  return {role_ == Role::kWaiting && failure != Failure::kStranger ? refusal() : "", false, failure};
}

Step Handshake::take(std::string_view frame) {
  if (frame.empty() || frame.size() > kMaxHandshakeFrame) return fail(Failure::kStranger);
  const char kind = frame.front();
  const std::string_view body = frame.substr(1);
  if (kind == kRefuse && role_ == Role::kJoining && await_ != Await::kNothing) return fail(Failure::kRefused);
  if (kind == kHello && await_ == Await::kHello) return take_hello(body);
  if (kind == kShare && await_ == Await::kShare) return take_share(body);
  if (kind == kConfirm && await_ == Await::kConfirmation) return take_confirmation(body);
  return fail(Failure::kStranger);
}

Step Handshake::take_hello(std::string_view body) {
  constexpr size_t kNonce = 16;
  if (body.substr(0, kMagic.size()) != kMagic || body.size() < kMagic.size() + kNonce)
    return fail(Failure::kStranger);
  const std::string theirs(body.substr(kMagic.size(), kNonce));
  peer_ = body.substr(kMagic.size() + kNonce);
  if (!config::is_name(peer_, ".-_", kMaxName)) return fail(Failure::kStranger);
  const std::string ours = text_of(random_.nonce);
  if (theirs == ours) return fail(Failure::kStranger);  // our own words, sent back
  session_ = role_ == Role::kJoining ? ours + theirs : theirs + ours;
  joining_.associated = role_ == Role::kJoining ? name_ : peer_;
  waiting_.associated = role_ == Role::kJoining ? peer_ : name_;
  const std::string channel = prepend_len("clusterd-pair joining") + prepend_len("clusterd-pair waiting");
  const auto own = share(generator(code_, channel, session_), scalar_);
  if (!own) return fail(Failure::kBadShare);  // a scalar of zero, once in 2^252
  own_share_ = *own;
  await_ = Await::kShare;
  if (role_ == Role::kWaiting) return {hello(), false, Failure::kNone};
  return {std::string(1, kShare) + text_of(own_share_), false, Failure::kNone};
}

Step Handshake::take_share(std::string_view body) {
  Point theirs{};
  if (!fill(theirs, body)) return fail(Failure::kStranger);
  joining_.share = role_ == Role::kJoining ? own_share_ : theirs;
  waiting_.share = role_ == Role::kJoining ? theirs : own_share_;
  const auto key = session_key(scalar_, theirs, session_, joining_, waiting_);
  if (!key) return fail(Failure::kBadShare);
  key_ = *key;
  await_ = Await::kConfirmation;
  if (role_ == Role::kWaiting) return {std::string(1, kShare) + text_of(own_share_), false, Failure::kNone};
  return {std::string(1, kConfirm) + text_of(confirmation(key_, session_, joining_)), false, Failure::kNone};
}

Step Handshake::take_confirmation(std::string_view body) {
  Tag theirs{};
  if (!fill(theirs, body)) return fail(Failure::kStranger);
  const Side& peer_side = role_ == Role::kJoining ? waiting_ : joining_;
  if (!same(theirs, confirmation(key_, session_, peer_side))) return fail(Failure::kWrongCode);
  await_ = Await::kNothing;
  if (role_ == Role::kJoining) return {"", true, Failure::kNone};
  return {std::string(1, kConfirm) + text_of(confirmation(key_, session_, waiting_)), true, Failure::kNone};
}

}  // namespace clusterd::pair
