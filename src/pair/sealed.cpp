#include "pair/sealed.hpp"

namespace clusterd::pair {

namespace {

void derive(std::array<uint8_t, 32>& out, const SessionKey& key, std::string_view label) {
  crypto_generichash(out.data(), out.size(), reinterpret_cast<const uint8_t*>(label.data()), label.size(),
                     key.data(), key.size());
}

}  // namespace

Sealed::Sealed(const SessionKey& key, Role role) {
  const bool joining = role == Role::kJoining;
  derive(joining ? out_key_ : in_key_, key, "clusterd-pair joining to waiting");
  derive(joining ? in_key_ : out_key_, key, "clusterd-pair waiting to joining");
}

Sealed::~Sealed() {
  sodium_memzero(out_key_.data(), out_key_.size());
  sodium_memzero(in_key_.data(), in_key_.size());
  sodium_memzero(&out_, sizeof out_);
  sodium_memzero(&in_, sizeof in_);
}

std::string Sealed::header() {
  std::string header(crypto_secretstream_xchacha20poly1305_HEADERBYTES, '\0');
  crypto_secretstream_xchacha20poly1305_init_push(&out_, reinterpret_cast<uint8_t*>(header.data()),
                                                  out_key_.data());
  return header;
}

bool Sealed::take_header(std::string_view frame) {
  ready_ = frame.size() == crypto_secretstream_xchacha20poly1305_HEADERBYTES &&
           crypto_secretstream_xchacha20poly1305_init_pull(
               &in_, reinterpret_cast<const uint8_t*>(frame.data()), in_key_.data()) == 0;
  return ready_;
}

std::string Sealed::seal(std::string_view message) {
  std::string frame(message.size() + kSealBytes, '\0');
  crypto_secretstream_xchacha20poly1305_push(&out_, reinterpret_cast<uint8_t*>(frame.data()), nullptr,
                                             reinterpret_cast<const uint8_t*>(message.data()), message.size(),
                                             nullptr, 0, crypto_secretstream_xchacha20poly1305_TAG_MESSAGE);
  return frame;
}

std::optional<std::string> Sealed::open(std::string_view frame) {
  if (!ready_ || frame.size() < kSealBytes || frame.size() > kMaxMessage + kSealBytes) return std::nullopt;
  std::string message(frame.size() - kSealBytes, '\0');
  unsigned char tag = 0;
  if (crypto_secretstream_xchacha20poly1305_pull(&in_, reinterpret_cast<uint8_t*>(message.data()), nullptr,
                                                 &tag, reinterpret_cast<const uint8_t*>(frame.data()),
                                                 frame.size(), nullptr, 0) != 0)
    return std::nullopt;
  return message;
}

}  // namespace clusterd::pair
