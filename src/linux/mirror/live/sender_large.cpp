// Large files: in parts, and as a delta where the target has an older version. The third part of sender.hpp.
#include <algorithm>

#include "linux/mirror/live/contents.hpp"
#include "linux/mirror/live/sender.hpp"

namespace clusterd::live {

namespace ml = mirror::live;

Result<void> Sender::send_large(const Reading& reading, const Status& status) {
  const int file = reading.file.get();
  const std::string& as = reading.as;
  Sums space, made;
  auto base = base_for(as, status, space);
  if (!base) return tl::unexpected(base.error());
  auto traits = read_traits(file, "", status);
  if (!traits) {
    unreadable(as, traits.error());
    return {};
  }
  ml::FileBegin begin{as, status, std::move(*traits), ml::FileBegin::Base::kNone, 0};
  if (*base) {
    begin.base = (*base)->number == 0 ? ml::FileBegin::Base::kSigned : ml::FileBegin::Base::kKnown;
    begin.base_number = (*base)->number;
  }
  if (auto ok = out_.put(begin); !ok) return ok;
  const uint64_t before = out_.bytes();
  auto parts = send_parts(reading.path, file, status, *base, made);
  const bool unreadable_now = !parts && parts.error().code == Code::kUncertain;
  if (!parts && !unreadable_now) return parts;
  auto after = look(file, "");
  const bool at_rest = parts && after && same_version(status, *after);
  // Sent as it was found, if it is never at rest: the target's old version is no better.
  const bool complete = parts.has_value() && after.has_value();
  if (!at_rest) again(reading, std::chrono::milliseconds(200), std::nullopt);
  Flight flight{.path = as, .status = status, .object = reading.object, .bytes = out_.bytes() - before};
  if (!at_rest) flight.proof = Flight::Proof::kNone;
  if (auto ok = put(ml::FileEnd{0, complete}, std::move(flight)); !ok) return ok;
  if (!complete) flights_.back().failed = true;  // nothing was agreed on
  if (complete && at_rest) {
    made.number = number_;
    keep_sums(as, std::move(made));
  } else {
    sums_.erase(as);
  }
  return {};
}

// What the target has of the file: as it was sent in this session, or as the target signs it.
Result<const Sender::Sums*> Sender::base_for(const std::string& path, const Status& status, Sums& space) {
  if (status.size <= ml::kMaxContent) return nullptr;
  // Its operation has to be through before anything can be built upon it.
  if (auto ok = hooks_.wait([this] { return flights_.empty(); }); !ok) return tl::unexpected(ok.error());
  if (const auto known = sums_.find(path); known != sums_.end()) return &known->second;
  signature_.reset();
  signature_complete_ = false;
  if (auto ok = out_.put(ml::WantSignature{path}); !ok) return tl::unexpected(ok.error());
  if (auto ok = hooks_.wait([this] { return signature_complete_; }); !ok) return tl::unexpected(ok.error());
  space.blocks = {signature_->size, signature_->block_size, std::move(signature_->blocks)};
  signature_.reset();
  if (space.blocks.size == 0 || !space.blocks.consistent()) return nullptr;
  return &space;
}

void Sender::take(ml::Signature signature) {
  if (signature_ && signature_->path == signature.path) {
    signature_->blocks.insert(signature_->blocks.end(), signature.blocks.begin(), signature.blocks.end());
  } else {
    signature_ = signature;
  }
  signature_complete_ = signature.last;
}

namespace {

// Sums the new version in passing, block by block.
class Summing {
 public:
  Summing(uint64_t size, uint64_t seed, ml::BlockSums& sums) : seed_(seed), sums_(sums) {
    sums.size = size;
    sums.block_size = ml::block_size_for(size);
    block_.reserve(sums.block_size);
  }
  void add(std::span<const uint8_t> bytes) {
    while (!bytes.empty()) {
      const size_t n = std::min(bytes.size(), sums_.block_size - block_.size());
      if (block_.empty() && n == sums_.block_size) {  // straight through
        sums_.blocks.push_back(ml::block_sum(bytes.first(n), seed_));
      } else {
        block_.insert(block_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(n));
        if (block_.size() == sums_.block_size) close();
      }
      bytes = bytes.subspan(n);
    }
  }
  void close() {
    if (!block_.empty()) sums_.blocks.push_back(ml::block_sum(block_, seed_));
    block_.clear();
  }

 private:
  uint64_t seed_;
  ml::BlockSums& sums_;
  std::vector<uint8_t> block_;
};

}  // namespace

// Hands the parts to the target, and remembers which of them it has already.
class Sender::Parts : public ml::DeltaSink {
 public:
  explicit Parts(Sender& sender) : sender_(sender) {}
  Result<void> copy(uint64_t from, uint64_t to, uint64_t length) override {
    if (from == to) kept.add(from, from + length);
    if (auto ok = sender_.out_.put(ml::FileCopy{from, to, length}); !ok) return ok;
    return length < ml::kMaxCopy ? Result<void>() : sender_.out_.flush();  // it has something to do by then
  }
  Result<void> data(uint64_t offset, std::span<const uint8_t> bytes) override {
    if (auto ok = sender_.out_.put(ml::FileData{offset, bytes}); !ok) return ok;
    return sender_.hooks_.between();
  }
  ml::Kept kept;

 private:
  Sender& sender_;
};

Result<void> Sender::send_parts(const std::string& path, int file, const Status& status, const Sums* base,
                                Sums& made) {
  const ml::ReadAt read = [&](uint64_t offset, std::span<uint8_t> into) -> Result<void> {
    if (read_fully(file, offset, into)) return {};
    return fail(Code::kUncertain, "it has become shorter: " + path);
  };
  Parts parts(*this);
  auto covered = base ? send_delta(file, status, base->blocks, read, parts)
                      : send_whole(file, status, read, parts, made.blocks);
  if (!covered) return tl::unexpected(covered.error());
  if (*covered != status.size) {  // holes
    made.blocks = {};
  } else if (base) {
    auto sums = ml::sum_blocks(status.size, seed_, read, base->blocks, parts.kept);
    if (!sums) return tl::unexpected(sums.error());
    made.blocks = std::move(*sums);
  }
  return {};
}

// How much of it is no hole.
Result<uint64_t> Sender::send_delta(int file, const Status& status, const ml::BlockSums& base,
                                    const ml::ReadAt& read, ml::DeltaSink& sink) {
  const ml::DeltaFinder finder(base, seed_);
  uint64_t covered = 0;
  for (auto extent = next_extent(file, 0, status.size); extent;
       extent = next_extent(file, extent->end, status.size)) {
    if (auto ok = finder.find(extent->begin, extent->end, read, sink); !ok) return tl::unexpected(ok.error());
    covered += extent->end - extent->begin;
  }
  return covered;
}

Result<uint64_t> Sender::send_whole(int file, const Status& status, const ml::ReadAt& read,
                                    ml::DeltaSink& sink, ml::BlockSums& sums) {
  Summing summing(status.size, seed_, sums);
  std::vector<uint8_t> buffer(ml::kMaxContent);
  uint64_t covered = 0;
  for (auto extent = next_extent(file, 0, status.size); extent;
       extent = next_extent(file, extent->end, status.size)) {
    for (uint64_t from = extent->begin; from < extent->end;) {
      const auto part =
          std::span(buffer).first(static_cast<size_t>(std::min<uint64_t>(buffer.size(), extent->end - from)));
      if (auto ok = read(from, part); !ok) return tl::unexpected(ok.error());
      summing.add(part);
      if (auto ok = sink.data(from, part); !ok) return tl::unexpected(ok.error());
      from += part.size();
    }
    covered += extent->end - extent->begin;
  }
  summing.close();
  return covered;
}

void Sender::keep_sums(const std::string& path, Sums sums) {
  constexpr size_t kMaxHeld = size_t{2} << 20U;  // blocks: 32 MiB
  if (const auto old = sums_.find(path); old != sums_.end()) {
    sums_held_ -= old->second.blocks.blocks.size();
    sums_.erase(old);
  }
  if (sums.blocks.blocks.empty()) return;
  if (sums_held_ + sums.blocks.blocks.size() > kMaxHeld) {
    sums_.clear();
    sums_held_ = 0;
  }
  sums_held_ += sums.blocks.blocks.size();
  sums_[path] = std::move(sums);
}

}  // namespace clusterd::live
