#include "mirror/live_hello.hpp"

#include <fmt/format.h>

#include "base/bytes.hpp"
#include "base/mark.hpp"

namespace clusterd::mirror {
namespace {

constexpr uint32_t kMagic = 0x6d6c6c63;  // "cllm"
constexpr size_t kMostName = 255;
constexpr size_t kMostReason = 2000;

std::vector<std::byte> as_message(const std::vector<uint8_t>& bytes) {
  const auto view = std::as_bytes(std::span(bytes));
  return {view.begin(), view.end()};
}

std::span<const uint8_t> as_numbers(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
}

ByteWriter begin(std::vector<uint8_t>& out, uint64_t version) {
  ByteWriter writer(out);
  writer.fixed32(kMagic);
  writer.number(version);
  return writer;
}

tl::unexpected<Error> malformed() {
  mark(Mark::kMessageRefused);
  return fail(Code::kCorrupt, "the other end does not speak as a live mirror does");
}

// Magic and version, which stand in the same place in every version.
Result<uint64_t> read_begin(ByteReader& in) {
  const bool ours = in.fixed32() == kMagic;
  const uint64_t version = in.number();
  if (in.bad() || !ours) return malformed();
  if (version >= kNumericVersion && version <= kLiveVersion) return version;
  mark(Mark::kMessageRefused);
  return fail(Code::kRefused, fmt::format("it speaks version {} of the live mirror and this node version {}: "
                                          "install the same version of clusterd on both nodes",
                                          version, kLiveVersion));
}

}  // namespace

uint64_t hash_of(const MirrorConfig& mirror) {
  uint64_t hash = 0xcbf29ce484222325ULL;  // FNV-1a, as in config/fingerprint.cpp
  const auto add = [&hash](std::string_view text) {
    for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3ULL;
    hash = (hash ^ 0xffU) * 0x100000001b3ULL;
  };
  for (const auto& path : mirror.paths) add(path);
  add("");
  for (const auto& pattern : mirror.exclude) add(pattern);
  add(mirror.remove ? "delete" : "keep");
  return hash;
}

std::vector<std::byte> encode(const Hello& hello) {
  std::vector<uint8_t> out;
  // Whoever does not know owners by name must not take this for numbers.
  ByteWriter writer = begin(out, hello.ids == Ids::kName ? kLiveVersion : kNumericVersion);
  for (const auto* text : {&hello.cluster, &hello.from, &hello.to, &hello.service, &hello.mirror})
    writer.text(*text);
  writer.number(hello.epoch);
  writer.fixed64(hello.what);
  return as_message(out);
}

std::vector<std::byte> encode(const Answer& answer) {
  std::vector<uint8_t> out;
  ByteWriter writer = begin(out, kNumericVersion);
  writer.u8(static_cast<uint8_t>(answer.verdict));
  writer.text(std::string_view(answer.reason).substr(0, kMostReason));
  return as_message(out);
}

Result<Hello> decode_hello(std::span<const std::byte> bytes) {
  ByteReader in(as_numbers(bytes));
  const auto version = read_begin(in);
  if (!version) return tl::unexpected(version.error());
  Hello hello;
  hello.ids = *version == kNumericVersion ? Ids::kNumeric : Ids::kName;
  for (auto* text : {&hello.cluster, &hello.from, &hello.to, &hello.service, &hello.mirror})
    *text = in.text(kMostName);
  hello.epoch = in.number();
  hello.what = in.fixed64();
  if (!in.complete()) return malformed();
  return hello;
}

Result<Answer> decode_answer(std::span<const std::byte> bytes) {
  ByteReader in(as_numbers(bytes));
  if (const auto version = read_begin(in); !version) return tl::unexpected(version.error());
  Answer answer;
  answer.verdict =
      static_cast<Answer::Verdict>(in.limited(in.u8(), static_cast<uint8_t>(Answer::Verdict::kFailed)));
  answer.reason = in.text(kMostReason);
  if (!in.complete()) return malformed();
  return answer;
}

}  // namespace clusterd::mirror
