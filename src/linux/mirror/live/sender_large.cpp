// Large files: in parts, and as a delta where the target has an older version. The third part of sender.hpp.
#include <algorithm>
#include <utility>

#include "linux/mirror/live/contents.hpp"
#include "linux/mirror/live/sender.hpp"

namespace clusterd::live {

namespace ml = mirror::live;

namespace {

constexpr size_t kMaxHeld = size_t{2} << 20U;  // sums of blocks: 32 MiB

}  // namespace

// Hands the parts to the target, and sums what it has then.
class Sender::Parts : public ml::DeltaSink {
 public:
  Parts(Sender& sender, uint64_t size, const ml::BlockSums* base) : sender_(sender), base_(base) {
    const bool large = size > ml::kMaxContent && size / ml::block_size_for(size) < kMaxHeld;
    if (large) sums_.emplace(size, sender.seed_);
  }
  Result<void> copy(uint64_t from, uint64_t to, uint64_t length) override {
    if (sums_) sums_->copied(*base_, from, to, length);
    if (auto ok = sender_.out_.put(ml::FileCopy{from, to, length}); !ok) return ok;
    return length < ml::kMaxCopy ? Result<void>() : sender_.out_.flush();  // it has something to do by then
  }
  Result<void> data(uint64_t offset, std::span<const uint8_t> bytes) override {
    if (sums_) sums_->data(offset, bytes);
    if (auto ok = sender_.out_.put(ml::FileData{offset, bytes}); !ok) return ok;
    return sender_.hooks_.between();
  }
  void hole(uint64_t begin, uint64_t end) {
    if (sums_) sums_->hole(begin, end);
  }
  void short_block(uint64_t offset, std::span<const uint8_t> bytes) override {
    if (sums_) sums_->data(offset, bytes);
  }
  // After the last part. Blocks that were not told of as a whole are read once more.
  Result<void> finish(const ml::ReadAt& read) {
    if (!sums_) return {};
    told_ = sums_->complete();
    auto made = sums_->take(read);
    if (!made) return tl::unexpected(made.error());
    made_ = std::move(*made);
    return {};
  }
  // What the target has is known exactly, also of a file that changed while it was read.
  [[nodiscard]] std::optional<ml::BlockSums> made(bool at_rest) {
    return told_ || at_rest ? std::exchange(made_, std::nullopt) : std::nullopt;
  }

 private:
  Sender& sender_;
  const ml::BlockSums* base_;
  std::optional<ml::SumsInPassing> sums_;
  bool told_ = false;  // all that they are made of
  std::optional<ml::BlockSums> made_;
};

Result<void> Sender::send_large(const Reading& reading, const Status& status) {
  const int file = reading.file.get();
  const std::string& as = reading.as;
  const auto begun = Clock::now();
  auto base = base_for(as, status);
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
  const ml::BlockSums* const blocks = *base ? &(*base)->blocks : nullptr;
  Parts parts(*this, status.size, blocks);
  auto sent = send_parts(reading, status, blocks, parts);
  const bool unreadable_now = !sent && sent.error().code == Code::kUncertain;
  if (!sent && !unreadable_now) return sent;
  auto after = look(file, "");
  const bool at_rest = sent && after && same_version(status, *after);
  // Sent as it was found, if it is never at rest: the target's old version is no better.
  const bool complete = sent.has_value() && after.has_value();
  if (!at_rest) again(reading, std::chrono::milliseconds(200), std::nullopt);
  Flight flight{
      .path = as, .status = status, .object = reading.object, .bytes = out_.bytes() - before, .begun = begun};
  if (!at_rest) flight.proof = Flight::Proof::kNone;
  if (auto ok = put(ml::FileEnd{0, complete}, std::move(flight)); !ok) return ok;
  if (!complete) flights_.back().failed = true;  // nothing was agreed on
  if (auto made = complete ? parts.made(at_rest) : std::nullopt)
    keep_sums(as, Sums{std::move(*made), number_});
  return {};
}

// What the target has of the file: as it was sent in this session, or as the target signs it.
Result<std::optional<Sender::Sums>> Sender::base_for(const std::string& path, const Status& status) {
  std::optional<Sums> base;
  if (status.size <= ml::kMaxContent) return base;
  // Its operation has to be through before anything can be built upon it.
  if (auto ok = hooks_.wait([this] { return flights_.empty(); }); !ok) return tl::unexpected(ok.error());
  base = take_sums(path);
  if (base) return base;
  signature_.reset();
  signature_complete_ = false;
  if (auto ok = out_.put(ml::WantSignature{path}); !ok) return tl::unexpected(ok.error());
  if (auto ok = hooks_.wait([this] { return signature_complete_; }); !ok) return tl::unexpected(ok.error());
  base.emplace().blocks = {signature_->size, signature_->block_size, std::move(signature_->blocks)};
  signature_.reset();
  if (base->blocks.size == 0 || !base->blocks.consistent()) base.reset();
  return base;
}

void Sender::take(ml::Signature signature) {
  if (signature_ && signature_->path == signature.path) {
    signature_->blocks.insert(signature_->blocks.end(), signature.blocks.begin(), signature.blocks.end());
  } else {
    signature_ = signature;
  }
  signature_complete_ = signature.last;
}

Result<void> Sender::send_parts(const Reading& reading, const Status& status, const ml::BlockSums* base,
                                Parts& parts) {
  const int file = reading.file.get();
  const ml::ReadAt read = [&](uint64_t offset, std::span<uint8_t> into) -> Result<void> {
    if (read_fully(file, offset, into)) return {};
    return fail(Code::kUncertain, "it has become shorter: " + reading.path);
  };
  std::optional<ml::DeltaFinder> finder;
  if (base) finder.emplace(*base, seed_);
  uint64_t at = 0;
  for (auto extent = next_extent(file, 0, status.size); extent; extent = next_extent(file, at, status.size)) {
    parts.hole(at, extent->begin);
    at = extent->end;
    auto done = finder ? finder->find(extent->begin, extent->end, read, parts)
                       : send_whole(extent->begin, extent->end, read, parts);
    if (!done) return done;
  }
  parts.hole(at, status.size);
  return parts.finish(read);
}

Result<void> Sender::send_whole(uint64_t begin, uint64_t end, const ml::ReadAt& read, ml::DeltaSink& sink) {
  std::vector<uint8_t> buffer(ml::kMaxContent);
  while (begin < end) {
    const auto part =
        std::span(buffer).first(static_cast<size_t>(std::min<uint64_t>(buffer.size(), end - begin)));
    if (auto ok = read(begin, part); !ok) return ok;
    if (auto ok = sink.data(begin, part); !ok) return ok;
    begin += part.size();
  }
  return {};
}

void Sender::keep_sums(const std::string& path, Sums sums) {
  (void)take_sums(path);
  if (sums_held_ + sums.blocks.blocks.size() > kMaxHeld) {
    sums_.clear();
    sums_held_ = 0;
  }
  sums_held_ += sums.blocks.blocks.size();
  sums_[path] = std::move(sums);
}

std::optional<Sender::Sums> Sender::take_sums(const std::string& path) {
  const auto node = sums_.extract(path);
  if (!node) return std::nullopt;
  sums_held_ -= node.mapped().blocks.blocks.size();
  return std::move(node.mapped());
}

void Sender::move_sums(const std::string& from, const std::string& to) {
  std::vector<std::string> gone, moved;
  for (const auto& [path, sums] : sums_) {
    if (ml::is_within(path, from)) moved.push_back(path);
    if (ml::is_within(path, to)) gone.push_back(path);
  }
  for (const std::string& path : gone) (void)take_sums(path);
  for (const std::string& path : moved) {
    if (auto sums = take_sums(path)) keep_sums(*ml::moved(path, from, to), std::move(*sums));
  }
}

}  // namespace clusterd::live
