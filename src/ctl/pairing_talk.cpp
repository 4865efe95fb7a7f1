#include "ctl/pairing_talk.hpp"

#include <sodium.h>

#include "base/check.hpp"

namespace clusterd::ctl {

using pair::Failure;
using pair::Role;

pair::Random random_bytes() {
  CLUSTERD_CHECK(sodium_init() >= 0, "libsodium works");
  pair::Random random;
  randombytes_buf(random.nonce.data(), random.nonce.size());
  randombytes_buf(random.scalar.data(), random.scalar.size());
  return random;
}

Met PairTalk::meet(const std::string& code, const std::string& own_name) {
  const auto end = TalkClock::now() + kHandshakeLimit;
  pair::Handshake handshake(role_, code, own_name, random_bytes());
  std::string frame = role_ == Role::kJoining ? handshake.first() : "";
  pair::Step step;
  while (!step.done) {
    if (!frame.empty()) {
      if (auto sent = talk_.send(frame, end); !sent) return {Failure::kNone, sent.error().message};
    }
    const auto received = talk_.receive(pair::kMaxHandshakeFrame, end);
    if (!received) {
      const bool nonsense = received.error().code == Code::kCorrupt;
      return {nonsense ? Failure::kStranger : Failure::kNone, received.error().message};
    }
    step = handshake.take(*received);
    frame = step.send;
    if (!frame.empty() && (step.done || step.failure != Failure::kNone)) {
      if (auto sent = talk_.send(frame, end); !sent && step.done)
        return {Failure::kNone, sent.error().message};
    }
    if (step.failure != Failure::kNone) return {step.failure, "the handshake failed"};
  }
  peer_name_ = handshake.peer_name();
  sealed_ = std::make_unique<pair::Sealed>(handshake.key(), role_);
  if (auto sent = talk_.send(sealed_->header(), end); !sent) return {Failure::kNone, sent.error().message};
  const auto header = talk_.receive(pair::kMaxHandshakeFrame, end);
  if (!header || !sealed_->take_header(*header)) return {Failure::kNone, "the connection ended"};
  return {};
}

Result<void> PairTalk::say(const std::string& message) {
  return talk_.send(sealed_->seal(message), TalkClock::now() + kHandoverLimit);
}

Result<std::string> PairTalk::hear() {
  const auto frame = talk_.receive(pair::kMaxMessage + pair::kSealBytes, TalkClock::now() + kHandoverLimit);
  if (!frame) return tl::unexpected(frame.error());
  auto message = sealed_->open(*frame);
  if (!message) return fail(Code::kCorrupt, address() + ": a message was changed on its way");
  return std::move(*message);
}

}  // namespace clusterd::ctl
