// Contents, before they have a name: the first part of apply.hpp.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "linux/mirror/live/apply.hpp"
#include "linux/mirror/live/contents.hpp"
#include "mirror/live/block_sums.hpp"

namespace clusterd::live {

namespace ml = mirror::live;

namespace {

constexpr uint64_t kWriteBehind = 16 * 1024 * 1024;
constexpr size_t kWorthStarting = 64 * 1024;
constexpr uint64_t kWorthHolding = 4 * 1024 * 1024;
constexpr size_t kPiece = 256 * 1024;

Outcome<void> write_at(int file, uint64_t offset, std::span<const uint8_t> content) {
  while (!content.empty()) {
    const ssize_t n = ::pwrite(file, content.data(), content.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return failure("cannot write", "the new version");
    content = content.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return {};
}

// Holes need not be read, and there may be far more of them than anybody could read.
void tell_holes(int file, uint64_t size, ml::SumsInPassing& sums) {
  uint64_t at = 0;
  for (auto extent = next_extent(file, 0, size); extent; extent = next_extent(file, at, size)) {
    sums.hole(at, extent->begin);
    at = extent->end;
  }
  sums.hole(at, size);
}

}  // namespace

Outcome<Fd> Applier::nameless(const std::string& path) {
  const int folder = anchors_.file_system(path);
  if (folder < 0) {
    errno = EXDEV;
    return failure("outside of the mirror:", path);
  }
  Fd file(::openat(folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!file.valid()) return failure("cannot create a file for", path);
  return file;
}

void Applier::go_on_with(std::optional<Unfinished> held) {
  held_ = std::move(held);
  held_signed_ = false;
}

std::optional<Unfinished> Applier::let_go() {
  if (large_ && !large_->file.failed && large_->covered >= kWorthHolding) {
    held_ = {std::move(large_->file.path), std::move(large_->file.file)};
  }
  large_.reset();
  return std::exchange(held_, std::nullopt);
}

// What is held is of no use once its name stands for something else.
void Applier::follow_held(const ml::SourceFrame& frame) {
  const auto drop_at = [&](const std::string& path) {
    if (held_ && ml::is_within(held_->path, path)) held_.reset();
  };
  if (const auto* renamed = std::get_if<ml::Rename>(&frame)) {
    drop_at(renamed->from);
    drop_at(renamed->to);
  } else if (const auto* gone = std::get_if<ml::Remove>(&frame)) {
    drop_at(gone->path);
  } else if (const auto* file = std::get_if<ml::WholeFile>(&frame)) {
    drop_at(file->path);
  } else if (const auto* begun = std::get_if<ml::FileBegin>(&frame)) {
    if (!held_signed_ || begun->base != ml::FileBegin::Base::kSigned) drop_at(begun->path);
  }
}

bool Applier::stage(const ml::SourceFrame& frame) {
  if (held_) follow_held(frame);
  const auto add = [&](const auto& operation) {
    batch_.push_back({operation.number, operation});
    return true;
  };
  if (const auto* file = std::get_if<ml::WholeFile>(&frame)) {
    Staged staged{file->path, file->status, file->traits, Fd(), std::nullopt};
    const auto refused = own(staged.path, staged.status, staged.traits);
    auto made = refused ? tl::unexpected(*refused) : nameless(file->path);
    Outcome<void> done = made ? Outcome<void>() : tl::unexpected(made.error());
    if (made) {
      staged.file = std::move(*made);
      done = write_at(staged.file.get(), 0, file->content);
    }
    // The disk has something to do while the rest of the batch is being staged.
    if (done && file->content.size() >= kWorthStarting)
      (void)::sync_file_range(staged.file.get(), 0, 0, SYNC_FILE_RANGE_WRITE);
    if (done) done = give_attributes(staged.file.get(), staged.status, staged.traits);
    if (!done) give_up(staged, done.error());
    staged_bytes_ += file->content.size();
    batch_.push_back({file->number, std::move(staged)});
    return true;
  }
  if (const auto* part = std::get_if<ml::FileBegin>(&frame)) return begin(*part), true;
  if (const auto* part = std::get_if<ml::FileData>(&frame)) return write(part->offset, part->content), true;
  if (const auto* part = std::get_if<ml::FileCopy>(&frame)) return copy(*part), true;
  if (const auto* part = std::get_if<ml::FileEnd>(&frame)) return end(*part), true;
  if (const auto* x = std::get_if<ml::Make>(&frame)) return add_owned(*x), true;
  if (const auto* x = std::get_if<ml::Check>(&frame)) return add_owned(*x), true;
  if (const auto* x = std::get_if<ml::Rename>(&frame)) return add(*x);
  if (const auto* x = std::get_if<ml::Link>(&frame)) return add(*x);
  if (const auto* x = std::get_if<ml::Remove>(&frame)) return add(*x);
  // Whether it is one at all has been looked at when it came in.
  if (const auto* x = std::get_if<ml::Names>(&frame)) return owners_ && owners_->take(*x);
  return false;
}

// Into this node's numbers. Whom it does not know must not own anything by a number that means somebody else.
std::optional<Failure> Applier::own(const std::string& path, Status& status, Traits& traits) {
  if (!owners_) return std::nullopt;
  auto done = owners_->to_ours(path, status, traits);
  return done ? std::nullopt : std::optional(done.error());
}

template <class Frame>
void Applier::add_owned(Frame operation) {
  const uint64_t number = operation.number;
  auto refused = own(operation.path, operation.status, operation.traits);
  batch_.push_back({number, std::move(operation), std::move(refused)});
}

void Applier::begin(const ml::FileBegin& frame) {
  large_.emplace();
  Large& large = *large_;
  large.file.path = frame.path;
  large.file.status = frame.status;
  large.file.traits = frame.traits;
  large.file.failed = own(frame.path, large.file.status, large.file.traits);
  if (large.file.failed) return;
  large.in_place = held_ && held_->path == frame.path;
  auto made = large.in_place ? Outcome<Fd>(std::move(held_->file)) : nameless(frame.path);
  if (large.in_place) held_.reset();
  if (!made) {
    large.file.failed = made.error();
    return;
  }
  large.file.file = std::move(*made);
  if (frame.base != ml::FileBegin::Base::kNone) open_base(frame, large);
}

void Applier::open_base(const ml::FileBegin& frame, Large& large) {
  auto base = large.in_place ? Outcome<Fd>(Fd(::fcntl(large.file.file.get(), F_DUPFD_CLOEXEC, 0)))
                             : anchors_.open_at(frame.path, O_RDONLY | O_NONBLOCK);
  if (!base || !base->valid()) {
    large.file.failed = Failure{ESTALE, "the old version is not there"};
    return;
  }
  auto status = look(base->get(), "");
  const auto known = status ? bases_.find({status->device, status->inode}) : bases_.end();
  // Only what the source knows exactly can be built upon.
  const bool meant = known != bases_.end() && (frame.base == ml::FileBegin::Base::kSigned
                                                   ? known->second.signed_at == status->ctime_ns
                                                   : known->second.made_at == status->ctime_ns &&
                                                         known->second.number == frame.base_number);
  if (!meant || status->type != 'f') {
    large.file.failed = Failure{ESTALE, "the old version is not what was agreed on"};
    return;
  }
  large.base = std::move(*base);
  large.base_status = *status;
  large.cloned = large.in_place || ::ioctl(large.file.file.get(), FICLONE, large.base.get()) == 0;
}

// Between the last part and the next one.
void Applier::leave_hole(Large& large, uint64_t until) {
  if (!large.cloned || until <= large.covered) return;
  (void)::fallocate(large.file.file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                    static_cast<off_t>(large.covered), static_cast<off_t>(until - large.covered));
  large.intact = std::min(large.intact, large.covered);
}

Outcome<void> Applier::put(Large& large, uint64_t offset, std::span<const uint8_t> content) {
  if (offset < large.covered || offset + content.size() > large.file.status.size) {
    errno = EPROTO;
    return failure("parts out of order:", large.file.path);
  }
  const int file = large.file.file.get();
  leave_hole(large, offset);
  large.intact = std::min(large.intact, offset);
  if (auto done = write_at(file, offset, content); !done) return done;
  large.covered = offset + content.size();
  write_behind(large, content.size());
  return {};
}

// The disk begins early with what has been written, up to `covered`: the batch's sync is short then.
void Applier::write_behind(Large& large, uint64_t length) {
  large.unsynced += length;
  if (large.unsynced < kWriteBehind) return;
  (void)::sync_file_range(large.file.file.get(), static_cast<off_t>(large.covered - large.unsynced),
                          static_cast<off_t>(large.unsynced), SYNC_FILE_RANGE_WRITE);
  large.unsynced = 0;
}

Outcome<void> Applier::put(Large& large, const ml::FileCopy& frame) {
  const bool fits = frame.to >= large.covered && frame.length <= ml::kMaxFileSize &&
                    frame.to + frame.length <= large.file.status.size &&
                    frame.from + frame.length <= large.base_status.size && large.base.valid();
  if (!fits) {
    errno = EPROTO;
    return failure("parts out of order:", large.file.path);
  }
  const int file = large.file.file.get();
  leave_hole(large, frame.to);
  const bool is_there = large.cloned && frame.from == frame.to;
  if (is_there || large.in_place) {
    large.covered = frame.to + frame.length;
    return is_there ? Outcome<void>() : copy_in_place(large, frame);
  }
  auto from = static_cast<off_t>(frame.from), to = static_cast<off_t>(frame.to);
  for (uint64_t left = frame.length; left > 0;) {
    const ssize_t n = ::copy_file_range(large.base.get(), &from, file, &to,
                                        static_cast<size_t>(std::min(left, kWriteBehind)), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return failure("cannot copy from the old version of", large.file.path);
    left -= static_cast<uint64_t>(n);
    large.covered = static_cast<uint64_t>(to);
    write_behind(large, static_cast<uint64_t>(n));
  }
  return {};
}

// Forwards, so that what is copied downwards may overlap itself.
Outcome<void> Applier::copy_in_place(Large& large, const ml::FileCopy& frame) {
  const bool is_there = frame.from > frame.to || frame.from + frame.length <= large.intact;
  if (!is_there) {
    errno = ESTALE;
    return failure("what is to be copied has been written over:", large.file.path);
  }
  large.intact = std::min(large.intact, frame.to);
  const int file = large.file.file.get();
  std::vector<uint8_t> piece(kPiece);
  for (uint64_t done = 0; done < frame.length;) {
    const auto part =
        std::span(piece).first(static_cast<size_t>(std::min<uint64_t>(kPiece, frame.length - done)));
    if (!read_fully(file, frame.from + done, part)) return failure("cannot read", large.file.path);
    if (auto written = write_at(file, frame.to + done, part); !written) return written;
    done += part.size();
  }
  return {};
}

void Applier::write(uint64_t offset, std::span<const uint8_t> content) {
  if (!large_ || large_->file.failed) return;
  if (auto done = put(*large_, offset, content); !done) give_up(*large_, done.error());
}

void Applier::copy(const ml::FileCopy& frame) {
  if (!large_ || large_->file.failed) return;
  if (auto done = put(*large_, frame); !done) give_up(*large_, done.error());
}

void Applier::give_up(Large& large, const Failure& why) {
  large.base.reset();  // it may be the same file
  give_up(large.file, why);
}

// What does not fit makes room at once for what is smaller. btrfs has that room only after its next
// transaction, which may be half a minute away.
void Applier::give_up(Staged& file, const Failure& why) {
  file.failed = why;
  if ((why.error != ENOSPC && why.error != EDQUOT) || !file.file.valid()) return;
  file.file.reset();
  if (const int folder = anchors_.file_system(file.path); folder >= 0) (void)::syncfs(folder);
}

Outcome<void> Applier::finish(Large& large) {
  const int file = large.file.file.get();
  // Anything behind the last part is a hole; and a clone may have been longer.
  if (large.cloned && large.covered < large.base_status.size &&
      ::ftruncate(file, static_cast<off_t>(large.covered)) != 0)
    return failure("cannot write", large.file.path);
  if (::ftruncate(file, static_cast<off_t>(large.file.status.size)) != 0) {
    return failure("cannot write", large.file.path);
  }
  if (large.base.valid() && !large.in_place) {
    auto now = look(large.base.get(), "");
    if (!now || now->ctime_ns != large.base_status.ctime_ns) {
      errno = ESTALE;
      return failure("the old version has changed:", large.file.path);
    }
  }
  return give_attributes(file, large.file.status, large.file.traits);
}

void Applier::end(const ml::FileEnd& frame) {
  if (!large_) {
    batch_.push_back({frame.number, Nothing{}});
    return;
  }
  Large large = std::move(*large_);
  large_.reset();
  if (!frame.complete) {
    unfinished_.insert(large.file.path);
    batch_.push_back({frame.number, Nothing{}});
    return;
  }
  if (!large.file.failed) {
    if (auto done = finish(large); !done) large.file.failed = done.error();
  }
  if (!large.in_place) large.file.old = std::move(large.base);
  batch_.push_back({frame.number, std::move(large.file)});
}

Outcome<ml::Signature> Applier::signature(const std::string& path,
                                          const std::function<void(ml::Signature)>& part) {
  ml::Signature end;
  end.path = path;
  auto named = anchors_.open_at(path, O_RDONLY | O_NONBLOCK);
  auto status = named ? look(named->get(), "") : tl::unexpected(named.error());
  int file = named ? named->get() : -1;
  if (held_ && held_->path == path) {
    const auto held = look(held_->file.get(), "");
    held_signed_ = held && (!status || status->type != 'f' || status->size <= held->size);
    if (held_signed_) {
      status = held;
      file = held_->file.get();
    }
  }
  if (!status || status->type != 'f' || status->size == 0) return end;
  const auto read = [&](uint64_t at, std::span<uint8_t> into) -> clusterd::Result<void> {
    return read_fully(file, at, into) ? clusterd::Result<void>()
                                      : fail(Code::kRetry, "it has become shorter");
  };
  ml::SumsInPassing passing(status->size, seed_);
  tell_holes(file, status->size, passing);
  auto sums = passing.take(read);
  auto after = look(file, "");
  if (!sums || !after || after->ctime_ns != status->ctime_ns) return end;
  bases_[{status->device, status->inode}].signed_at = status->ctime_ns;
  end.size = sums->size;
  end.block_size = sums->block_size;
  for (size_t i = 0; i < sums->blocks.size(); i += ml::kMaxBlocks) {
    ml::Signature piece = end;
    const size_t n = std::min(ml::kMaxBlocks, sums->blocks.size() - i);
    piece.blocks.assign(sums->blocks.begin() + static_cast<ptrdiff_t>(i),
                        sums->blocks.begin() + static_cast<ptrdiff_t>(i + n));
    piece.last = i + n == sums->blocks.size();
    if (piece.last) return piece;
    part(std::move(piece));
  }
  return end;
}

}  // namespace clusterd::live
