#include "mirror/live/delta.hpp"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

namespace clusterd::mirror::live {
namespace {

// Bytes of the new version: what is between the literals that are not out yet and the read-ahead.
class Window {
 public:
  Window(uint64_t begin, uint64_t end, const ReadAt& read) : base_(begin), end_(end), read_(read) {}

  // Nothing before `keep_from` will be asked for any more. Valid until the next call.
  Result<std::span<const uint8_t>> view(uint64_t offset, size_t length, uint64_t keep_from) {
    if (offset < base_ || offset + length > base_ + held_) {
      if (auto ok = fill(offset + length, std::min(keep_from, offset)); !ok)
        return tl::unexpected(ok.error());
    }
    return std::span<const uint8_t>(&buffer_[static_cast<size_t>(offset - base_)], length);
  }

 private:
  // What fits into the cache of a processor is summed from there.
  static constexpr uint64_t kReadAhead = 256 * 1024;

  Result<void> fill(uint64_t until, uint64_t from) {
    const size_t kept = from >= base_ && from < base_ + held_ ? static_cast<size_t>(base_ + held_ - from) : 0;
    const auto wanted = static_cast<size_t>(std::min(end_, std::max(until, from + kept + kReadAhead)) - from);
    if (wanted > capacity_) {
      auto larger = std::make_unique_for_overwrite<uint8_t[]>(wanted);
      if (kept > 0) std::memcpy(larger.get(), &buffer_[held_ - kept], kept);
      buffer_ = std::move(larger);
      capacity_ = wanted;
    } else if (kept > 0 && from != base_) {
      std::memmove(buffer_.get(), &buffer_[held_ - kept], kept);
    }
    base_ = from;
    held_ = wanted;
    return read_(base_ + kept, std::span(buffer_.get(), wanted).subspan(kept));
  }

  std::unique_ptr<uint8_t[]> buffer_;  // not filled with zeros first, as a vector would be
  size_t capacity_ = 0, held_ = 0;
  uint64_t base_, end_;
  const ReadAt& read_;
};

}  // namespace

struct DeltaFinder::Table {
  const BlockSums& old;
  uint64_t seed;
  std::vector<uint32_t> by_weak;  // block numbers in the order of their weak sums; whole blocks only
  std::vector<uint64_t> filter;   // one bit per residue of the weak sum: most bytes end here

  static constexpr uint32_t kFilterBits = 1U << 20U;
  static uint32_t residue(uint32_t weak) { return (weak * 0x9e3779b1U) >> 12U; }
  [[nodiscard]] bool maybe(uint32_t weak) const {
    const uint32_t r = residue(weak);
    return (filter[r / 64] >> (r % 64) & 1U) != 0;
  }
  // A block with these contents.
  [[nodiscard]] std::optional<uint64_t> find(uint32_t weak, std::span<const uint8_t> block) const {
    auto it = std::lower_bound(by_weak.begin(), by_weak.end(), weak,
                               [&](uint32_t n, uint32_t w) { return old.blocks[n].weak < w; });
    std::optional<std::array<uint8_t, 12>> strong;
    for (int tries = 0; it != by_weak.end() && old.blocks[*it].weak == weak && tries < 16; ++it, ++tries) {
      if (!strong) strong = strong_sum(block, seed);
      if (old.blocks[*it].strong == *strong) return *it;
    }
    return std::nullopt;
  }
};

DeltaFinder::DeltaFinder(const BlockSums& old, uint64_t seed)
    : table_(std::make_unique<Table>(Table{old, seed, {}, {}})) {
  const size_t whole = old.block_size == 0 ? 0 : static_cast<size_t>(old.size / old.block_size);
  table_->filter.resize(Table::kFilterBits / 64);
  for (uint32_t n = 0; n < std::min(whole, old.blocks.size()); ++n) {
    table_->by_weak.push_back(n);
    const uint32_t r = Table::residue(old.blocks[n].weak);
    table_->filter[r / 64] |= uint64_t{1} << (r % 64);
  }
  std::sort(table_->by_weak.begin(), table_->by_weak.end(), [&](uint32_t a, uint32_t b) {
    const auto &x = old.blocks[a], &y = old.blocks[b];
    return x.weak != y.weak ? x.weak < y.weak : a < b;
  });
}
DeltaFinder::~DeltaFinder() = default;

// One pass over the new version. Literal bytes and adjacent copies are gathered before they go to the sink.
class DeltaFinder::Search {
 public:
  Search(const Table& table, uint64_t begin, uint64_t end, const ReadAt& read, DeltaSink& sink)
      : table_(table), sink_(sink), at_(begin), end_(end), literal_(begin), window_(begin, end, read) {}

  Result<void> run() {
    while (at_ < end_) {
      auto same = is_in_place(at_);
      if (!same) return tl::unexpected(same.error());
      auto ok = *same ? matched_in_place() : search_further();
      if (!ok) return ok;
    }
    if (auto ok = put_literals(end_); !ok) return ok;
    return put_copy();
  }

 private:
  [[nodiscard]] uint64_t length_in_place(uint64_t at) const {
    return std::min<uint64_t>(table_.old.block_size, table_.old.size - at);
  }

  // Is the block that begins here the one that began here before?
  Result<bool> is_in_place(uint64_t at) {
    const auto& old = table_.old;
    if (old.block_size == 0 || at % old.block_size != 0 || at >= old.size) return false;
    const uint64_t length = length_in_place(at);
    if (end_ - at < length) return false;
    auto block = view(at, static_cast<size_t>(length));
    if (!block) return tl::unexpected(block.error());
    return strong_sum(*block, table_.seed) == old.blocks[static_cast<size_t>(at / old.block_size)].strong;
  }

  Result<void> matched_in_place() {
    const uint64_t length = length_in_place(at_);
    if (length < table_.old.block_size) {
      auto block = view(at_, static_cast<size_t>(length));
      if (!block) return tl::unexpected(block.error());
      sink_.short_block(at_, *block);
    }
    return matched(at_, length);
  }

  Result<void> search_further() {
    const uint32_t size = table_.old.block_size;
    if (size == 0 || end_ - at_ < size || table_.by_weak.empty()) {
      at_ = size == 0 ? end_ : std::min(end_, at_ + size);
      return keep_literals_short();
    }
    return at_ % size == 0 && leave_out_ > 0 ? take_whole_block() : roll();
  }

  // As it is, unless it is one of the old blocks as a whole.
  Result<void> take_whole_block() {
    --leave_out_;
    const uint32_t size = table_.old.block_size;
    auto block = view(at_, size);
    if (!block) return tl::unexpected(block.error());
    if (const auto found = table_.find(weak_sum(*block), *block)) return matched(*found * size, size);
    at_ += size;
    return keep_literals_short();
  }

  // Moves on until a block is found, or to the next border, or to the end.
  Result<void> roll() {
    const uint32_t size = table_.old.block_size;
    auto block = view(at_, size);
    if (!block) return tl::unexpected(block.error());
    RollingSum rolling;
    rolling.start(*block);
    const uint64_t border = (at_ / size + 1) * size;
    const uint64_t last = std::min(border, end_ - size);
    while (true) {
      const uint64_t room = kMaxContent - (at_ - literal_);
      const auto steps = static_cast<size_t>(std::min({last - at_, room, kRollAtOnce}));
      auto bytes = view(at_, size + steps);
      if (!bytes) return tl::unexpected(bytes.error());
      size_t step = 0;
      for (; step < steps && !table_.maybe(rolling.value()); ++step)
        rolling.roll((*bytes)[step], (*bytes)[step + size], size);
      at_ += step;
      if (at_ == border) return nothing_found();
      if (table_.maybe(rolling.value())) {
        const auto there = bytes->subspan(step, size);
        if (const auto found = table_.find(rolling.value(), there)) {
          fruitless_ = leave_out_ = 0;
          return matched(*found * size, size);
        }
      }
      if (at_ == last) {
        at_ = std::min(border, end_);
        return nothing_found();
      }
      if (step < steps) {
        rolling.roll((*bytes)[step], (*bytes)[step + size], size);
        ++at_;
      }
      if (auto ok = keep_literals_short(); !ok) return ok;
    }
  }

  // To roll over what was changed in place finds nothing, at the price of a step for each byte. So the longer
  // that goes on, the fewer blocks are rolled over: if something has moved, one of them is enough to find it.
  Result<void> nothing_found() {
    leave_out_ = (1U << fruitless_) - 1;
    fruitless_ = std::min(fruitless_ + 1, kMaxFruitless);
    return keep_literals_short();
  }

  Result<void> matched(uint64_t from, uint64_t length) {
    if (auto ok = put_literals(at_); !ok) return ok;
    if (copy_length_ > 0 && copy_from_ + copy_length_ == from && copy_to_ + copy_length_ == at_) {
      copy_length_ += length;
    } else {
      if (auto ok = put_copy(); !ok) return ok;
      copy_from_ = from;
      copy_to_ = at_;
      copy_length_ = length;
    }
    at_ += length;
    literal_ = at_;
    return copy_length_ < kMaxCopy ? Result<void>() : put_copy();
  }

  Result<void> put_copy() {
    if (copy_length_ == 0) return {};
    const uint64_t length = std::exchange(copy_length_, 0);
    return sink_.copy(copy_from_, copy_to_, length);
  }

  Result<void> keep_literals_short() {
    return at_ - literal_ < kMaxContent ? Result<void>() : put_literals(at_);
  }

  Result<void> put_literals(uint64_t to) {
    if (literal_ == to) return {};
    if (auto ok = put_copy(); !ok) return ok;
    while (literal_ < to) {
      const auto n = static_cast<size_t>(std::min<uint64_t>(kMaxContent, to - literal_));
      auto bytes = view(literal_, n);
      if (!bytes) return tl::unexpected(bytes.error());
      if (auto ok = sink_.data(literal_, *bytes); !ok) return ok;
      literal_ += n;
    }
    return {};
  }

  Result<std::span<const uint8_t>> view(uint64_t offset, size_t length) {
    return window_.view(offset, length, literal_);
  }

  static constexpr uint32_t kMaxFruitless = 4;  // 15 of 16 blocks are not rolled over
  static constexpr uint64_t kRollAtOnce = 64 * 1024;
  const Table& table_;
  DeltaSink& sink_;
  uint64_t at_, end_;
  uint64_t literal_;  // from here to at_ nothing has matched
  uint64_t copy_from_ = 0, copy_to_ = 0, copy_length_ = 0;
  uint32_t fruitless_ = 0, leave_out_ = 0;  // so many blocks are not rolled over until one is
  Window window_;
};

Result<void> DeltaFinder::find(uint64_t begin, uint64_t end, const ReadAt& read, DeltaSink& sink) const {
  return Search(*table_, begin, end, read, sink).run();
}

}  // namespace clusterd::mirror::live
