// What both ends of a pairing share: the handshake over a connection, then sealed messages. Internal to
// src/ctl.
#pragma once

#include <csignal>
#include <memory>
#include <string>

#include "base/result.hpp"
#include "linux/host/talk.hpp"
#include "pair/handshake.hpp"
#include "pair/sealed.hpp"

namespace clusterd::ctl {

inline constexpr std::chrono::seconds kHandshakeLimit{10};
inline constexpr std::chrono::seconds kHandoverLimit{60};

[[nodiscard]] pair::Random random_bytes();

struct Met {
  pair::Failure failure = pair::Failure::kNone;
  std::string why;  // the connection broke
};

class PairTalk {
 public:
  PairTalk(Talk talk, pair::Role role) : talk_(std::move(talk)), role_(role) {}

  // The handshake, and the sealed channel after it.
  [[nodiscard]] Met meet(const std::string& code, const std::string& own_name);
  [[nodiscard]] Result<void> say(const std::string& message);
  [[nodiscard]] Result<std::string> hear();
  [[nodiscard]] const std::string& address() const { return talk_.peer(); }
  [[nodiscard]] const std::string& peer_name() const { return peer_name_; }

 private:
  Talk talk_;
  pair::Role role_;
  std::unique_ptr<pair::Sealed> sealed_;
  std::string peer_name_;
};

}  // namespace clusterd::ctl
