#include "linux/net/seal.hpp"

#include <sodium.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.hpp"

namespace clusterd {

namespace {

constexpr uint8_t kKindHeartbeat = 1;
constexpr size_t kTagBytes = crypto_aead_xchacha20poly1305_ietf_ABYTES;
constexpr size_t kQuestionBytes = 16;
static_assert(SealedChannel::kHeaderBytes == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
              "the header is the nonce");
static_assert(SealedChannel::kOverhead == SealedChannel::kHeaderBytes + kQuestionBytes + kTagBytes);

void put(uint8_t* at, uint64_t value, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) at[i] = static_cast<uint8_t>(value >> (8 * i));
}

uint64_t get(const uint8_t* at, size_t bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; ++i) value |= static_cast<uint64_t>(at[i]) << (8 * i);
  return value;
}

void need_sodium() { CLUSTERD_CHECK(sodium_init() >= 0, "libsodium needs a source of random numbers"); }

uint64_t kernel_random() {
  need_sodium();
  uint64_t value = 0;
  randombytes_buf(&value, sizeof value);
  return value;
}

std::array<uint8_t, 32> derive_key(const Secret& secret, std::string_view cluster, NodeId from) {
  std::vector<uint8_t> message;
  for (const char c : std::string_view("clusterd heartbeat 1")) message.push_back(static_cast<uint8_t>(c));
  message.push_back(static_cast<uint8_t>(from.at()));
  for (const char c : cluster) message.push_back(static_cast<uint8_t>(c));
  std::array<uint8_t, 32> key{};
  crypto_generichash(key.data(), key.size(), message.data(), message.size(), secret.data(), secret.size());
  return key;
}

uint16_t cluster_tag(std::string_view cluster) {
  std::array<uint8_t, crypto_generichash_BYTES_MIN> hash{};
  const std::vector<uint8_t> bytes(cluster.begin(), cluster.end());
  crypto_generichash(hash.data(), hash.size(), bytes.data(), bytes.size(), nullptr, 0);
  return static_cast<uint16_t>(get(hash.data(), 2));
}

// What is authenticated beside the body: the header and where the datagram has to come from.
using Authenticated = std::array<uint8_t, SealedChannel::kHeaderBytes + 17>;
Authenticated authenticated(const uint8_t* header, const IpAddress& source) {
  Authenticated out{};
  std::copy_n(header, SealedChannel::kHeaderBytes, out.begin());
  out[SealedChannel::kHeaderBytes] = static_cast<uint8_t>(source.family);
  std::copy(source.bytes.begin(), source.bytes.end(), out.begin() + SealedChannel::kHeaderBytes + 1);
  return out;
}

}  // namespace

ReplayWindow::ReplayWindow(uint64_t floor) : highest_(floor), floor_(floor) {}

void ReplayWindow::clear_bits(uint64_t from, uint64_t count) {
  if (count >= kSize) {
    bits_.fill(0);
    return;
  }
  for (uint64_t i = from; i < from + count; ++i) bits_[i % kSize / 64] &= ~(uint64_t{1} << (i % 64));
}

bool ReplayWindow::accept(uint64_t counter) {
  if (counter <= floor_) return false;
  if (counter > highest_) {
    clear_bits(highest_ + 1, counter - highest_);
    highest_ = counter;
  } else if (highest_ - counter >= kSize) {
    return false;
  }
  uint64_t& word = bits_[counter % kSize / 64];
  const uint64_t bit = uint64_t{1} << (counter % 64);
  if ((word & bit) != 0) return false;
  word |= bit;
  return true;
}

SealedChannel::SealedChannel(const Secret& secret, std::string_view cluster, NodeId self, BootId boot,
                             Random random)
    : self_(self), boot_(boot), challenge_(random ? std::move(random) : Random(kernel_random)) {
  need_sodium();
  CLUSTERD_CHECK(self.at() < kNodes, "one of the cluster's nodes");
  tag_ = cluster_tag(cluster);
  own_key_ = derive_key(secret, cluster, self);
  peer_key_ = derive_key(secret, cluster, NodeId(1 - self.at()));
}

std::vector<uint8_t> SealedChannel::seal(std::span<const uint8_t> heartbeat, const IpAddress& source) {
  CLUSTERD_CHECK(heartbeat.size() <= kMaxHeartbeatBytes, "a heartbeat fits one datagram");
  std::array<uint8_t, kMaxHeartbeatBytes + kQuestionBytes> body;
  put(body.data(), challenge_.words().asks, 8);
  put(body.data() + 8, challenge_.words().echoes, 8);
  std::copy(heartbeat.begin(), heartbeat.end(), body.begin() + kQuestionBytes);
  const size_t body_bytes = kQuestionBytes + heartbeat.size();

  std::vector<uint8_t> out(kHeaderBytes + body_bytes + kTagBytes);
  std::copy(kMagic.begin(), kMagic.end(), out.begin());
  put(&out[4], tag_, 2);
  out[6] = kKindHeartbeat;
  out[7] = static_cast<uint8_t>(self_.at());
  put(&out[8], boot_.value, 8);
  put(&out[16], ++counter_, 8);
  const Authenticated extra = authenticated(out.data(), source);
  crypto_aead_xchacha20poly1305_ietf_encrypt(out.data() + kHeaderBytes, nullptr, body.data(), body_bytes,
                                             extra.data(), extra.size(), nullptr, out.data(),
                                             own_key_.data());
  return out;
}

SealedChannel::Opened SealedChannel::open(std::span<const uint8_t> datagram, const IpAddress& source) {
  Opened out;
  const size_t known = std::min(datagram.size(), kMagic.size());
  if (!std::equal(kMagic.begin(), kMagic.begin() + static_cast<std::ptrdiff_t>(known), datagram.begin()))
    return out;
  if (datagram.size() < kOverhead || datagram.size() > kMaxBytes) {
    out.verdict = Verdict::kMalformed;
    return out;
  }
  const BootId boot{get(&datagram[8], 8)};
  if (datagram[6] != kKindHeartbeat || datagram[7] != 1 - self_.at() || boot.value == 0) return out;
  if (get(&datagram[4], 2) != tag_) {
    out.verdict = Verdict::kWrongCluster;
    return out;
  }
  std::array<uint8_t, kMaxHeartbeatBytes + kQuestionBytes> body;
  unsigned long long body_bytes = 0;
  const Authenticated extra = authenticated(datagram.data(), source);
  const auto sealed = datagram.subspan(kHeaderBytes);
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(body.data(), &body_bytes, nullptr, sealed.data(),
                                                 sealed.size(), extra.data(), extra.size(), datagram.data(),
                                                 peer_key_.data()) != 0) {
    out.verdict = Verdict::kWrongKey;
    return out;
  }
  out.boot = boot;
  out.verdict = judge(boot, get(&datagram[16], 8), {get(body.data(), 8), get(body.data() + 8, 8)});
  if (out.verdict == Verdict::kOpened) {
    out.heartbeat.assign(body.begin() + kQuestionBytes,
                         body.begin() + static_cast<std::ptrdiff_t>(body_bytes));
  }
  return out;
}

Verdict SealedChannel::judge(BootId boot, uint64_t counter, Challenge::Words words) {
  if (boot == challenge_.proven() && !window_.accept(counter)) return Verdict::kReplayed;
  switch (challenge_.judge(boot, words)) {
    case Challenge::Verdict::kProven:
      return Verdict::kOpened;
    case Challenge::Verdict::kUnproven:
      return Verdict::kUnproven;
    case Challenge::Verdict::kEnded:
      return Verdict::kReplayed;
    case Challenge::Verdict::kProvenNow:
      break;
  }
  // Only counters from here on are known to be younger than the question.
  window_ = ReplayWindow(counter - 1);
  const bool first = window_.accept(counter);
  CLUSTERD_CHECK(first, "an empty window takes the counter above its floor");
  return Verdict::kOpened;
}

}  // namespace clusterd
