#include "linux/mirror/live/tls.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <string>

namespace clusterd {
namespace {

constexpr std::string_view kIdentity = "clusterd live mirror 1";
constexpr char kSuite[] = "TLS_AES_128_GCM_SHA256";
constexpr unsigned char kSuiteId[] = {0x13, 0x01};
constexpr size_t kReadAhead = 256 * 1024;
// AES-GCM is good for 388 GB in full records (RFC 8446, 5.5), and OpenSSL does not count them.
constexpr uint64_t kBytesPerKey = uint64_t{64} << 30;

using Clock = std::chrono::steady_clock;

// The session that both sides pretend to have had; nullptr if OpenSSL has no memory.
SSL_SESSION* make_session(SSL* ssl) {
  const auto* key = static_cast<const TlsKey*>(SSL_get_app_data(ssl));
  SSL_SESSION* session = SSL_SESSION_new();
  const SSL_CIPHER* cipher = SSL_CIPHER_find(ssl, kSuiteId);
  if (session != nullptr && cipher != nullptr &&
      SSL_SESSION_set1_master_key(session, key->data(), key->size()) == 1 &&
      SSL_SESSION_set_cipher(session, cipher) == 1 &&
      SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) == 1) {
    return session;
  }
  SSL_SESSION_free(session);
  return nullptr;
}

int find_session(SSL* ssl, const unsigned char* identity, size_t length, SSL_SESSION** session) {
  *session = nullptr;
  const bool ours = std::string_view(reinterpret_cast<const char*>(identity), length) == kIdentity;
  if (!ours) return 1;  // goes on without a key, and ends for lack of a certificate
  *session = make_session(ssl);
  return *session != nullptr ? 1 : 0;
}

int use_session(SSL* ssl, const EVP_MD* digest, const unsigned char** identity, size_t* length,
                SSL_SESSION** session) {
  *session = nullptr;
  if (digest != nullptr && EVP_MD_get_type(digest) != NID_sha256) return 1;
  *session = make_session(ssl);
  *identity = reinterpret_cast<const unsigned char*>(kIdentity.data());
  *length = kIdentity.size();
  return *session != nullptr ? 1 : 0;
}

std::string openssl_reason() {
  const unsigned long error = ERR_peek_last_error();
  const char* text = error == 0 ? nullptr : ERR_reason_error_string(error);
  return text != nullptr ? text : "the connection ended";
}

void tune(int socket) {
  const int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  ::fcntl(socket, F_SETFL, ::fcntl(socket, F_GETFL) | O_NONBLOCK);
}

}  // namespace

TlsKey derive_tls_key(const Secret& secret, std::string_view cluster, std::string_view from,
                      std::string_view to) {
  std::string context = "clusterd live mirror key";
  for (const std::string_view part : {cluster, from, to}) {
    context += '\0';
    context += part;
  }
  TlsKey key{};
  crypto_generichash(key.data(), key.size(), reinterpret_cast<const unsigned char*>(context.data()),
                     context.size(), secret.data(), secret.size());
  return key;
}

SilentPipes::SilentPipes() {
  sigset_t pipe, before;
  ::sigemptyset(&pipe);
  ::sigaddset(&pipe, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &pipe, &before);
  was_blocked_ = ::sigismember(&before, SIGPIPE) == 1;
}

SilentPipes::~SilentPipes() {
  if (was_blocked_) return;
  sigset_t pipe;
  ::sigemptyset(&pipe);
  ::sigaddset(&pipe, SIGPIPE);
  const timespec none{};
  while (::sigtimedwait(&pipe, nullptr, &none) == SIGPIPE) {
  }
  ::pthread_sigmask(SIG_UNBLOCK, &pipe, nullptr);
}

void TlsSession::Free::operator()(ssl_st* ssl) const { SSL_free(ssl); }
void TlsSession::Free::operator()(ssl_ctx_st* context) const { SSL_CTX_free(context); }

Result<TlsSession> TlsSession::start(Fd socket, TlsSide side, const TlsKey& key,
                                     std::chrono::milliseconds limit) {
  const SilentPipes silent;
  TlsSession session;
  session.socket_ = std::move(socket);
  tune(session.socket());
  if (auto ok = session.prepare(side, key); !ok) return tl::unexpected(ok.error());
  if (auto ok = session.handshake(side, limit); !ok) return tl::unexpected(ok.error());
  return session;
}

Result<void> TlsSession::prepare(TlsSide side, const TlsKey& key) {
  key_ = std::make_unique<const TlsKey>(key);
  context_.reset(SSL_CTX_new(side == TlsSide::kSource ? TLS_client_method() : TLS_server_method()));
  SSL_CTX* context = context_.get();
  if (context == nullptr) return fail(Code::kRetry, "OpenSSL cannot be prepared");
  const bool good = SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1 &&
                    SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) == 1 &&
                    SSL_CTX_set_ciphersuites(context, kSuite) == 1 &&
                    SSL_CTX_set_num_tickets(context, 0) == 1;
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  // The target has no certificate, so who comes without the key finds nothing to agree on; the source takes
  // none.
  SSL_CTX_set_verify(context, side == TlsSide::kSource ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_default_read_buffer_len(context, kReadAhead);
  if (side == TlsSide::kSource) {
    SSL_CTX_set_psk_use_session_callback(context, use_session);
  } else {
    SSL_CTX_set_psk_find_session_callback(context, find_session);
  }
  ssl_.reset(SSL_new(context));
  if (!good || !ssl_ || SSL_set_fd(ssl_.get(), socket()) != 1) {
    return fail(Code::kRetry, "OpenSSL cannot be prepared: " + openssl_reason());
  }
  SSL_set_app_data(ssl_.get(), const_cast<TlsKey*>(key_.get()));
  return {};
}

Result<void> TlsSession::handshake(TlsSide side, std::chrono::milliseconds limit) {
  const auto deadline = Clock::now() + limit;
  SSL* ssl = ssl_.get();
  while (true) {
    ERR_clear_error();
    const int result = side == TlsSide::kSource ? SSL_connect(ssl) : SSL_accept(ssl);
    if (result == 1) break;
    const int why = SSL_get_error(ssl, result);
    if (why == SSL_ERROR_SSL) return fail(Code::kRefused, "no common key: " + openssl_reason());
    if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) {
      return fail(Code::kRetry, "the connection ended in the handshake");
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd p{socket(), static_cast<short>(why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT), 0};
    const int ready = left.count() > 0 ? ::poll(&p, 1, static_cast<int>(left.count())) : 0;
    if (ready == 0) return fail(Code::kRetry, "the handshake takes too long");
    if (ready < 0 && errno != EINTR) return fail(Code::kRetry, "the connection cannot be waited for");
  }
  // "Resumed" is what OpenSSL says of a handshake that rests on the shared key.
  if (SSL_session_reused(ssl) != 1) return fail(Code::kRefused, "no common key");
  return {};
}

TlsSession::Moved TlsSession::judge(int result, size_t bytes) {
  if (result == 1) return {State::kDone, bytes};
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return {State::kWantsRead, 0};
    case SSL_ERROR_WANT_WRITE:
      return {State::kWantsWrite, 0};
    case SSL_ERROR_ZERO_RETURN:
      return {State::kEnded, 0};
    default:
      return {State::kBroken, 0};
  }
}

TlsSession::Moved TlsSession::read(std::span<std::byte> into) {
  ERR_clear_error();
  size_t bytes = 0;
  const int result = SSL_read_ex(ssl_.get(), into.data(), into.size(), &bytes);
  return judge(result, bytes);
}

TlsSession::Moved TlsSession::write(std::span<const std::byte> from) {
  ERR_clear_error();
  size_t bytes = 0;
  const int result = SSL_write_ex(ssl_.get(), from.data(), from.size(), &bytes);
  under_this_key_ += bytes;
  if (result == 1 && under_this_key_ > kBytesPerKey &&
      SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED) == 1) {
    under_this_key_ = 0;
  }
  return judge(result, bytes);
}

void TlsSession::end() {
  ERR_clear_error();
  (void)SSL_shutdown(ssl_.get());
}

}  // namespace clusterd
