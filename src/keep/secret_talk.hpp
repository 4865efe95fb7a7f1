// A connection between the two nodes of a cluster, or between clusterctl and its own node's clusterd-config.
//
// Between nodes every message is sealed. Both sides send a nonce and a fresh X25519 key in the clear; the
// keys of the two libsodium secret streams (pair/sealed.hpp) come from the shared point, both hellos, the
// names of both nodes and the cluster's secret. So only who has the secret can say or read anything, nothing
// can be repeated, sent back or sent elsewhere, and a secret that leaks later opens no recording.
//
// On the Unix socket, which root alone may open, messages go as they are.
#pragma once

#include <memory>
#include <string>

#include "linux/host/talk.hpp"
#include "linux/net/secret.hpp"
#include "pair/sealed.hpp"

namespace clusterd::keep {

inline constexpr uint16_t kPort = 7413;  // as pairing's, which has it for itself while it waits
inline constexpr std::chrono::seconds kConnectLimit{2}, kHelloLimit{3}, kAnswerLimit{15};
inline constexpr size_t kMaxMessage = 4 * 1024 * 1024;  // a set of files, with each byte escaped

struct Ends {
  std::string cluster, caller, answerer;
};

class SecretTalk {
 public:
  // For the one that has connected, and for the one that was connected to.
  [[nodiscard]] static Result<SecretTalk> call(Talk talk, const Secret& secret, const Ends& ends);
  [[nodiscard]] static Result<SecretTalk> answer(Talk talk, const Secret& secret, const Ends& ends);
  // The own node's clusterd-config.
  [[nodiscard]] static Result<SecretTalk> local(const std::string& run_dir);
  [[nodiscard]] static SecretTalk local(Talk talk) { return SecretTalk(std::move(talk), nullptr); }

  [[nodiscard]] Result<void> say(const std::string& message);
  [[nodiscard]] Result<std::string> hear(std::chrono::seconds limit = kAnswerLimit);

 private:
  SecretTalk(Talk talk, std::unique_ptr<pair::Sealed> sealed)
      : talk_(std::move(talk)), sealed_(std::move(sealed)) {}
  static Result<SecretTalk> begin(Talk talk, const Secret& secret, const Ends& ends, pair::Role role);

  Talk talk_;
  std::unique_ptr<pair::Sealed> sealed_;
};

[[nodiscard]] std::string socket_path(const std::string& run_dir);

}  // namespace clusterd::keep
