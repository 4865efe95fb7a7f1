#include "linux/mirror/live/sender.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "linux/mirror/live/contents.hpp"
#include "linux/mirror/live/follow.hpp"
#include "mirror/live/digest.hpp"

namespace clusterd::live {

namespace ml = mirror::live;

namespace {

constexpr int kTries = 3;  // to find a file at rest
constexpr uint8_t kAll = ml::kName | ml::kAttributes | ml::kContents;
constexpr std::chrono::milliseconds kLongestWait{30'000};
constexpr size_t kMaxLately = 100'000;
constexpr size_t kMaxResting = 10'000;

bool same_version(const Status& a, const Status& b) {
  return a.size == b.size && a.mtime_ns == b.mtime_ns && a.ctime_ns == b.ctime_ns && a.inode == b.inode;
}

// Without touching the access time, where that is allowed.
Outcome<Fd> open_to_read(const Anchors& anchors, const std::string& path) {
  auto file = anchors.open_at(path, O_RDONLY | O_NONBLOCK | O_NOATIME);
  if (!file && file.error().error == EPERM) file = anchors.open_at(path, O_RDONLY | O_NONBLOCK);
  return file;
}

}  // namespace

Sender::Sender(const Anchors& anchors, AgreementStore& store, Links& links, Outbox<ml::SourceFrame>& out,
               uint64_t seed, Hooks hooks)
    : anchors_(anchors), store_(store), links_(links), out_(out), seed_(seed), hooks_(std::move(hooks)) {}

Result<void> Sender::put(ml::SourceFrame frame, Flight flight) {
  if (flight.kind != Flight::Kind::kRemove && flight.status.type != 'd') {
    if (auto ok = store_.will_hold(flight.kind == Flight::Kind::kRename ? flight.to : flight.path); !ok)
      return ok;
  }
  std::visit(
      [&](auto& f) {
        if constexpr (requires { f.number; }) f.number = ++number_;
      },
      frame);
  flight.number = number_;
  flight.since = since;
  bytes_in_flight_ += flight.bytes;
  tally.bytes += flight.bytes;
  {
    const std::lock_guard lock(paths_mutex_);
    ++paths_[flight.path];
  }
  flights_.push_back(std::move(flight));
  return out_.put(frame);
}

void Sender::sent(const std::string& path, std::string object) {
  const auto now = Clock::now();
  lately_[path] = {now, std::move(object)};
  lately_order_.emplace_back(now, path);
  if (lately_order_.size() > kMaxLately) forget_sent(lately_order_.front().first);
}

void Sender::forget_sent(Clock::time_point until) {
  while (!lately_order_.empty() && lately_order_.front().first <= until) {
    const auto it = lately_.find(lately_order_.front().second);
    if (it != lately_.end() && it->second.at <= until) lately_.erase(it);
    lately_order_.pop_front();
  }
}

Sender::Lately Sender::sent_lately(std::string_view folder) const {
  Lately out;
  for (auto it = lately_.lower_bound(folder); it != lately_.end() && ml::is_within(it->first, folder); ++it)
    out.emplace_back(it->first, it->second.object);
  return out;
}

void Sender::unreadable(const std::string& path, const Failure& why) {
  if (is_absent(why.error)) return hooks_.again({path, kAll, std::chrono::milliseconds(5), "", since});
  const unsigned strikes = strikes_[path]++;
  troubles[path] = why.text;
  hooks_.again({path, kAll,
                std::min(kLongestWait, std::chrono::milliseconds(500) * (1U << std::min(strikes, 6U))),
                why.text});
}

Result<Sender::Found> Sender::send(const std::string& path, uint8_t marks) {
  auto place = anchors_.place(path);
  auto status = place ? look(place->folder.get(), place->name) : tl::unexpected(place.error());
  if (!status) {
    if (is_absent(status.error().error)) return Found::kGone;
    unreadable(path, status.error());
    return Found::kSent;
  }
  if (status->type == 'f' && (marks & ml::kContents) != 0) return contents(path);
  if (status->type != 'd' && (marks & ml::kName) != 0) {
    const std::string other = links_.other(anchors_, *status, path);
    if (!other.empty()) {
      if (auto ok = link(other, path); !ok) return tl::unexpected(ok.error());
    }
  }
  const std::string object = object_at(place->folder.get(), place->name);
  sent(path, object);
  auto traits = read_traits(place->folder.get(), place->name, *status);
  if (!traits) {
    unreadable(path, traits.error());
    return Found::kSent;
  }
  Flight flight{.path = path, .status = *status};
  if (status->type != 'd') {
    ++tally.files;
    flight.object = object;
  }
  if (status->type == 'f') links_.note(*status, path, true);
  ml::SourceFrame frame = ml::Make{0, path, *status, std::move(*traits)};
  if (status->type == 'f') {
    const auto& make = std::get<ml::Make>(frame);
    // Just named: whether the target's version is this one shows in its time.
    const bool knows = (marks & ml::kName) == 0;
    flight.proof = Flight::Proof::kHints;
    frame = ml::Check{0, path, *status, make.traits, std::nullopt, knows};
  }
  if (auto ok = put(std::move(frame), std::move(flight)); !ok) return tl::unexpected(ok.error());
  // It may have been made anew there, and then has no other names yet.
  if (status->type != 'f' && status->type != 'd') {
    if (auto ok = link_others(path, *status); !ok) return tl::unexpected(ok.error());
  }
  return status->type == 'd' ? Found::kDirectory : Found::kSent;
}

Result<Sender::Found> Sender::contents(const std::string& path, const std::string& as) {
  auto file = open_to_read(anchors_, path);
  auto status = file ? look(file->get(), "") : tl::unexpected(file.error());
  if (file && status && status->type == 'f') {
    const Reading reading{path, as, object_at(file->get(), ""), std::move(*file)};
    sent(as, reading.object);
    return send_file(reading, *status);
  }
  // No file (any more): what it is now is looked at without opening it.
  auto now = look(anchors_, path);
  if (!now && is_absent(now.error().error)) return Found::kGone;
  if (now && now->type != 'f') return as == path ? send(path, ml::kAttributes) : Found::kGone;
  unreadable(as, file ? status.error() : file.error());
  return Found::kSent;
}

void Sender::again(const Reading& reading, std::chrono::milliseconds after, std::optional<Instant> of) {
  hooks_.again({reading.as, kAll, after, "", of, reading.object});
}

Result<Sender::Found> Sender::send_file(const Reading& reading, Status status) {
  const int file = reading.file.get();
  const auto begun = Clock::now();
  ++tally.files;
  const off_t hole = status.size == 0 ? 0 : ::lseek(file, 0, SEEK_HOLE);
  const bool sparse = hole >= 0 && static_cast<uint64_t>(hole) < status.size;
  if (status.size > ml::kMaxContent || sparse) {
    if (sending_large_) {  // one at a time
      again(reading, std::chrono::milliseconds(20), since);
      return Found::kSent;
    }
    sending_large_ = true;
    auto done = send_large(reading, status);
    sending_large_ = false;
    if (!done) return tl::unexpected(done.error());
  } else {
    for (int tries = 1;; ++tries) {
      auto sent = send_small(reading, status, tries == kTries);
      if (!sent) return tl::unexpected(sent.error());
      if (*sent) break;
      auto now = look(file, "");
      if (!now || now->size > ml::kMaxContent) {
        again(reading, std::chrono::milliseconds(5), since);
        return Found::kSent;
      }
      status = *now;
    }
  }
  // A file that is written all the time takes a twentieth of this thread at most.
  const auto cost = Clock::now() - begun;
  if (cost > std::chrono::milliseconds(2)) {
    if (resting_.size() > kMaxResting) resting_.clear();
    resting_[reading.path] = Clock::now() + std::min<Clock::duration>(20 * cost, std::chrono::seconds(20));
  }
  if (auto ok = link_others(reading.as, status); !ok) return tl::unexpected(ok.error());
  return Found::kSent;
}

// False: it changed while it was read.
Result<bool> Sender::send_small(const Reading& reading, const Status& status, bool last_try) {
  const int file = reading.file.get();
  std::vector<uint8_t> content(static_cast<size_t>(status.size));
  const bool read = read_fully(file, 0, content);
  auto traits = read_traits(file, "", status);
  auto after = look(file, "");
  const bool at_rest = read && after && same_version(status, *after);
  if (!at_rest && (!last_try || !read)) {
    if (!last_try) return false;
    again(reading, std::chrono::milliseconds(20), since);
    return true;
  }
  if (!traits) {
    unreadable(reading.as, traits.error());
    return true;
  }
  if (!at_rest) again(reading, std::chrono::milliseconds(50), std::nullopt);
  Flight flight{.path = reading.as, .status = status, .object = reading.object, .bytes = content.size()};
  if (!at_rest) flight.proof = Flight::Proof::kNone;
  auto ok = put(ml::WholeFile{0, reading.as, status, std::move(*traits), content}, std::move(flight));
  if (!ok) return tl::unexpected(ok.error());
  return true;
}

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

Result<void> Sender::send_parts(const std::string& path, int file, const Status& status, const Sums* base,
                                Sums& made) {
  class Sink : public ml::DeltaSink {
   public:
    Sink(Sender& sender) : sender_(sender) {}
    Result<void> copy(uint64_t from, uint64_t to, uint64_t length) override {
      return sender_.out_.put(ml::FileCopy{from, to, length});
    }
    Result<void> data(uint64_t offset, std::span<const uint8_t> bytes) override {
      if (auto ok = sender_.out_.put(ml::FileData{offset, bytes}); !ok) return ok;
      return sender_.hooks_.between();
    }

   private:
    Sender& sender_;
  } sink(*this);

  Summing summing(status.size, seed_, made.blocks);
  uint64_t summed = 0;
  bool whole = true;  // the sums cover the file: it was read once, in order, without holes
  const ml::ReadAt read = [&](uint64_t offset, std::span<uint8_t> into) -> Result<void> {
    if (!read_fully(file, offset, into)) return fail(Code::kUncertain, "it has become shorter: " + path);
    if (offset == summed) {
      summing.add(into);
      summed += into.size();
    } else {
      whole = false;
    }
    return {};
  };
  std::optional<ml::DeltaFinder> finder;
  if (base) finder.emplace(base->blocks, seed_);
  std::vector<uint8_t> buffer(base ? 0 : ml::kMaxContent);
  for (uint64_t at = 0; at < status.size;) {
    const auto extent = next_extent(file, at, status.size);
    if (!extent) break;
    if (finder) {
      if (auto ok = finder->find(extent->begin, extent->end, read, sink); !ok) return ok;
    }
    for (uint64_t from = extent->begin; !finder && from < extent->end;) {
      const auto part =
          std::span(buffer).first(static_cast<size_t>(std::min<uint64_t>(buffer.size(), extent->end - from)));
      if (auto ok = read(from, part); !ok) return ok;
      if (auto ok = sink.data(from, part); !ok) return ok;
      from += part.size();
    }
    at = extent->end;
  }
  summing.close();
  if (!whole || summed != status.size) made.blocks = {};
  return {};
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

Result<void> Sender::link_others(const std::string& path, const Status& status) {
  links_.note(status, path, true);
  const auto others = links_.others(anchors_, status, path);
  for (const std::string& other : others.here) {
    if (auto ok = link(path, other); !ok) return ok;
  }
  // What they are called now is heard of in a moment, and takes these marks along.
  for (const std::string& other : others.moved)
    hooks_.again({other, ml::kName | ml::kAttributes, std::chrono::milliseconds(0), "", since});
  return {};
}

Result<void> Sender::check_hash(const std::string& path) {
  auto file = open_to_read(anchors_, path);
  auto status = file ? look(file->get(), "") : tl::unexpected(file.error());
  if (!status || status->type != 'f') return contents(path) ? Result<void>() : fail(Code::kRetry, "broken");
  const std::string object = object_at(file->get(), "");
  sent(path, object);
  const auto hash = hash_contents(file->get(), status->size, seed_);
  auto traits = read_traits(file->get(), "", *status);
  auto after = look(file->get(), "");
  if (!hash || !traits || !after || !same_version(*status, *after)) {
    auto sent = contents(path);
    return sent ? Result<void>() : tl::unexpected(sent.error());
  }
  links_.note(*status, path, true);
  Flight flight{.path = path, .status = *status, .object = object};
  return put(ml::Check{0, path, *status, std::move(*traits), hash, false}, std::move(flight));
}

Result<void> Sender::check_time(const std::string& path) {
  auto sent = send(path, ml::kAttributes | ml::kName);
  return sent ? Result<void>() : tl::unexpected(sent.error());
}

Result<void> Sender::link(const std::string& leader, const std::string& path) {
  auto status = look(anchors_, path);
  if (!status) return {};
  links_.note(*status, path, true);
  const std::string object = object_at(anchors_, path);
  sent(path, object);
  Flight flight{.kind = Flight::Kind::kLink,
                .path = path,
                .to = leader,
                .status = *status,
                .object = object,
                .proof = Flight::Proof::kHints};
  return put(ml::Link{0, leader, path}, std::move(flight));
}

Result<void> Sender::rename(const std::string& from, const std::string& to, const std::string& object) {
  links_.moved(from, to);
  std::map<std::string, Sums> kept;
  for (auto it = sums_.begin(); it != sums_.end();) {
    auto path = ml::moved(it->first, from, to);
    if (path) kept[*path] = std::move(it->second);
    it = path || ml::is_within(it->first, to) ? sums_.erase(it) : std::next(it);
  }
  sums_.merge(kept);
  for (const auto& [path, was] : sent_lately(to)) lately_.erase(path);
  for (const auto& [path, was] : sent_lately(from)) {
    auto node = lately_.extract(path);
    node.key() = *ml::moved(path, from, to);
    lately_order_.emplace_back(node.mapped().at, node.key());
    lately_.insert(std::move(node));
  }
  sent(from, "");
  sent(to, object);
  return put(ml::Rename{0, from, to}, {.kind = Flight::Kind::kRename, .path = from, .to = to});
}

Result<void> Sender::remove(const std::string& path) {
  store_.leaving(path);
  return put_removal(path);
}

Result<void> Sender::remove(const std::vector<std::string>& paths) {
  if (auto ok = store_.leaving(paths); !ok) return ok;
  for (const std::string& path : paths) {
    if (auto ok = put_removal(path); !ok) return ok;
  }
  return {};
}

Result<void> Sender::put_removal(const std::string& path) {
  ++tally.removed;
  sums_.erase(path);
  links_.removed(path);
  sent(path, "");
  return put(ml::Remove{0, path}, {.kind = Flight::Kind::kRemove, .path = path});
}

}  // namespace clusterd::live
