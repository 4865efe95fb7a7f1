// The state file. The first byte decides whether the input is the whole file, or a body under a right
// checksum, which is what a mistake of our own would look like.
#include <sodium.h>

#include <array>

#include "core/heartbeat.hpp"
#include "linux/state/state_file.hpp"
#include "targets.hpp"

namespace clusterd::fuzz {

namespace {

std::string with_checksum(std::string_view body) {
  std::array<unsigned char, 32> hash{};
  crypto_generichash(hash.data(), hash.size(), reinterpret_cast<const unsigned char*>(body.data()),
                     body.size(), nullptr, 0);
  std::string sum;
  for (const unsigned char byte : hash) {
    sum += "0123456789abcdef"[byte >> 4U];
    sum += "0123456789abcdef"[byte & 15U];
  }
  return R"({"format":1,"checksum":")" + sum + R"(","body":)" + std::string(body) + "}\n";
}

}  // namespace

void fuzz_state(Bytes input) {
  Feed feed(input);
  const bool whole = feed.coin();
  const std::string_view rest = text_of(feed.rest());
  const auto state = decode_state(whole ? std::string(rest) : with_checksum(rest));
  if (!state) {
    require(state.error().code == Code::kCorrupt && !state.error().message.empty(),
            "a damaged file has a cause");
    return;
  }
  require(state->services.size() <= kMaxStateEntries && state->hosts.size() <= kMaxStateEntries,
          "bounded tables");
  for (const auto& [name, service] : state->services)
    require(service.lineage.size() <= kMaxLineage, "bounded lineage");
  const std::string written = encode_state(*state);
  const auto again = decode_state(written);
  require(again && *again == *state, "a state is read back as it was");
}

}  // namespace clusterd::fuzz
