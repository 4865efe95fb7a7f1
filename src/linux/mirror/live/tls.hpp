// TLS 1.3 between the two ends of a live mirror, with a key that only the two nodes have.
//
// There are no certificates. The key is derived from the cluster's secret, for one direction (from the source
// to the target): a connection that somebody leads back to its own node does not open. Knowing the key is
// what authenticates either side; the keys that encrypt come from a fresh Diffie-Hellman exchange, so a
// secret that leaks later opens no recording. No tickets, no early data: nothing can be repeated.
//
// Threading: a session is used by one thread at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/result.hpp"
#include "base/time.hpp"
#include "linux/mirror/files.hpp"
#include "linux/net/secret.hpp"

struct ssl_st;
struct ssl_ctx_st;

namespace clusterd {

using TlsKey = std::array<uint8_t, 32>;

// Of mirrors that go from the node `from` to the node `to`.
[[nodiscard]] TlsKey derive_tls_key(const Secret& secret, std::string_view cluster, std::string_view from,
                                    std::string_view to);

enum class TlsSide : uint8_t { kSource, kTarget };  // the source connects

// While it lives, a write to a connection that is gone raises no SIGPIPE in this thread: OpenSSL cannot say
// so itself.
class SilentPipes {
 public:
  SilentPipes();
  ~SilentPipes();
  SilentPipes(const SilentPipes&) = delete;
  SilentPipes& operator=(const SilentPipes&) = delete;

 private:
  bool was_blocked_ = false;
};

class TlsSession {
 public:
  // Makes the handshake on a connected stream socket, and leaves the socket non-blocking. kRetry: the
  // connection broke, or it took longer than `limit`; kRefused: the other end does not have the key.
  static Result<TlsSession> start(Fd socket, TlsSide side, const TlsKey& key,
                                  std::chrono::milliseconds limit);

  enum class State : uint8_t { kDone, kWantsRead, kWantsWrite, kEnded, kBroken };
  struct Moved {
    State state = State::kDone;
    size_t bytes = 0;  // kDone: at least one
  };
  // Never block, and need SilentPipes. After kWantsRead or kWantsWrite of `write` the same bytes have to be
  // given again.
  [[nodiscard]] Moved read(std::span<std::byte> into);
  [[nodiscard]] Moved write(std::span<const std::byte> from);
  void end();  // says goodbye, if that does not block

  [[nodiscard]] int socket() const { return socket_.get(); }

 private:
  struct Free {
    void operator()(ssl_st* ssl) const;
    void operator()(ssl_ctx_st* context) const;
  };
  TlsSession() = default;
  Result<void> prepare(TlsSide side, const TlsKey& key);
  Result<void> handshake(TlsSide side, std::chrono::milliseconds limit);
  Moved judge(int result, size_t bytes);

  Fd socket_;
  std::unique_ptr<const TlsKey> key_;  // OpenSSL's callbacks hold its address
  std::unique_ptr<ssl_ctx_st, Free> context_;
  std::unique_ptr<ssl_st, Free> ssl_;
  uint64_t under_this_key_ = 0;  // bytes written
};

}  // namespace clusterd
