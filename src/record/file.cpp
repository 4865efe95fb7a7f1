#include "record/file.hpp"

#include <fmt/format.h>
#include <xxhash.h>
#include <zstd.h>

#include <algorithm>

#include "base/archive.hpp"
#include "base/check.hpp"

namespace clusterd::record {

namespace {

constexpr uint8_t kHeadBlock = 1;
constexpr uint8_t kItemBlock = 2;
constexpr size_t kPrefix = 1 + 4 + 4 + 8;
constexpr size_t kMaxConfigTexts = 2000;
constexpr int kLevel = 3;

uint64_t checksum_of(uint64_t before, std::span<const uint8_t> head, std::span<const uint8_t> bytes) {
  const uint64_t seeded = XXH3_64bits_withSeed(head.data(), head.size(), before);
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seeded);
}

std::vector<uint8_t> encode(const Head& head) {
  std::vector<uint8_t> out;
  ByteWriter w(out);
  Saver saver(w, head.now);
  w.signed_number(head.now.time_since_epoch().count());
  // The layout first: a reader of another version stops behind it.
  saver(head.version, head.core, head.layout, head.node, head.boot, head.part, head.wall, head.without_gate,
        head.lost_before, head.lost_why, head.config, head.state);
  w.number(head.snapshot.size());
  w.bytes(head.snapshot);
  return out;
}

Result<Head> decode_head(std::span<const uint8_t> raw) {
  ByteReader in(raw);
  Head head;
  head.now = Instant(Duration(in.signed_number()));
  Loader loader(in, head.now);
  loader(head.version, head.core, head.layout);
  if (in.bad()) return fail(Code::kCorrupt, "its head makes no sense");
  if (head.layout != event_layout()) {
    return fail(
        Code::kRefused,
        fmt::format("it was written by clusterd {:.40} (core {:.16}), whose events have another layout: "
                    "replay it with that version",
                    head.version, head.core));
  }
  loader(head.node, head.boot, head.part, head.wall, head.without_gate, head.lost_before, head.lost_why,
         head.config, head.state);
  const auto snapshot = in.bytes(in.count(kMaxBlock));
  head.snapshot.assign(snapshot.begin(), snapshot.end());
  if (!in.complete() || head.config.size() > kMaxConfigTexts)
    return fail(Code::kCorrupt, "its head makes no sense");
  return head;
}

}  // namespace

// ---- writing ----

std::vector<uint8_t> FileWriter::begin(const Head& head) {
  checksum_ = 0;
  std::vector<uint8_t> out(kMagic.begin(), kMagic.end());
  const auto first = block(kHeadBlock, encode(head));
  out.insert(out.end(), first.begin(), first.end());
  return out;
}

std::vector<uint8_t> FileWriter::items(std::span<const uint8_t> raw) { return block(kItemBlock, raw); }

std::vector<uint8_t> FileWriter::block(uint8_t kind, std::span<const uint8_t> raw) {
  CLUSTERD_CHECK(raw.size() <= kMaxBlock, "blocks are bounded");
  std::vector<uint8_t> stored(ZSTD_compressBound(raw.size()));
  const size_t length = ZSTD_compress(stored.data(), stored.size(), raw.data(), raw.size(), kLevel);
  if (ZSTD_isError(length) != 0 || length >= raw.size()) {
    stored.assign(raw.begin(), raw.end());
  } else {
    stored.resize(length);
  }
  std::vector<uint8_t> out;
  ByteWriter w(out);
  w.u8(kind);
  w.fixed32(static_cast<uint32_t>(stored.size()));
  w.fixed32(static_cast<uint32_t>(raw.size()));
  checksum_ = checksum_of(checksum_, out, stored);
  w.fixed64(checksum_);
  w.bytes(stored);
  return out;
}

// ---- reading ----

tl::unexpected<Error> FileReader::damaged(const std::string& what) const {
  return fail(Code::kCorrupt, fmt::format("damaged at byte {}: {}", block_at_, what));
}

Result<FileReader> FileReader::open(std::span<const uint8_t> bytes) {
  if (bytes.size() < kMagic.size() || !std::equal(kMagic.begin(), kMagic.end(), bytes.begin()))
    return fail(Code::kCorrupt, "it is no recording of clusterd");
  FileReader reader(bytes);
  reader.at_ = kMagic.size();
  auto first = reader.block();
  if (!first) return tl::unexpected(first.error());
  if (first->kind != kHeadBlock) return reader.damaged("the head is missing");
  auto head = decode_head(first->raw);
  if (!head) return tl::unexpected(head.error());
  reader.head_ = std::move(*head);
  return reader;
}

Result<FileReader::Block> FileReader::block() {
  block_at_ = at_;
  const auto rest = bytes_.subspan(at_);
  if (rest.size() < kPrefix) return damaged("it ends in the middle of a block");
  ByteReader in(rest);
  Block out;
  out.kind = in.u8();
  const size_t stored = in.fixed32();
  const size_t raw = in.fixed32();
  const uint64_t checksum = in.fixed64();
  if (raw > kMaxBlock || stored > raw) return damaged("the lengths of a block make no sense");
  if (in.left() < stored) return damaged("it ends in the middle of a block");
  const auto bytes = rest.subspan(kPrefix, stored);
  if (checksum_of(checksum_, rest.first(1 + 4 + 4), bytes) != checksum)
    return damaged("a checksum does not fit: bytes were changed, lost or exchanged");
  if (stored == raw) {
    out.raw.assign(bytes.begin(), bytes.end());
  } else {
    out.raw.resize(raw);
    if (ZSTD_decompress(out.raw.data(), raw, bytes.data(), stored) != raw)
      return damaged("a block cannot be decompressed");
  }
  checksum_ = checksum;
  at_ += kPrefix + stored;
  return out;
}

Result<std::optional<Item>> FileReader::next() {
  while (true) {
    if (items_) {
      auto item = items_->next();
      if (!item) return damaged(item.error().message);
      if (*item) return item;
      items_.reset();
    }
    if (at_ == bytes_.size()) return std::optional<Item>();
    auto next = block();
    if (!next) return tl::unexpected(next.error());
    if (next->kind != kItemBlock) return damaged("a block of an unknown kind");
    raw_ = std::make_unique<std::vector<uint8_t>>(std::move(next->raw));
    items_.emplace(*raw_);
  }
}

Result<Recording> decode(std::span<const uint8_t> bytes, size_t most) {
  auto reader = FileReader::open(bytes);
  if (!reader) return tl::unexpected(reader.error());
  Recording out;
  out.head = reader->head();
  while (out.items.size() < most) {
    auto item = reader->next();
    if (!item) {
      out.damage = item.error().message;
      break;
    }
    if (!*item) break;
    out.items.push_back(std::move(**item));
  }
  return out;
}

}  // namespace clusterd::record
