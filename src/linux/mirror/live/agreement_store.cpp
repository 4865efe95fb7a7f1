#include "linux/mirror/live/agreement_store.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "linux/mirror/manifest_part.hpp"
#include "mirror/escape.hpp"

namespace clusterd::live {

using mirror::Entry;
namespace ml = mirror::live;

namespace {

constexpr std::chrono::nanoseconds kGrain{kClockGrainNs};
constexpr size_t kBuffer = 256 * 1024;
constexpr size_t kCrowd = 5000;
constexpr size_t kFewLines = 50'000,
                 kManyLines = 100'000;  // what a log may hold: its lines are read into memory

bool recordable(const std::string& line) { return line.size() <= mirror::kMaxManifestLine; }

// Of a ManifestFile or a ManifestPart; of none, nothing.
template <class Manifest>
mirror::EntryStream stream_of(std::shared_ptr<Manifest> manifest) {
  return [manifest = std::move(manifest)]() -> Result<std::optional<Entry>> {
    return manifest ? manifest->next() : Result<std::optional<Entry>>(std::optional<Entry>{});
  };
}

// The manifest as it is when this is called.
ml::Overlay::Parts parts_of(const std::string& manifest) {
  return [&manifest](std::vector<std::string> paths) -> mirror::EntryStream {
    auto part = ManifestPart::open(manifest, std::move(paths));
    if (part) return stream_of(std::shared_ptr(std::move(*part)));
    return [error = part.error()]() -> Result<std::optional<Entry>> { return tl::unexpected(error); };
  };
}

}  // namespace

AgreementStore::AgreementStore(std::string manifest_path)
    : path_(std::move(manifest_path)), log_path_(path_ + ".log") {}

Result<AgreementStore::Opened> AgreementStore::open() {
  const std::lock_guard lock(mutex_);
  return open_locked();
}

Result<AgreementStore::Opened> AgreementStore::open_locked() {
  flush_locked();
  Opened out;
  auto manifest = ManifestFile::open(path_);
  if (!manifest && manifest.error().code != Code::kCorrupt) return tl::unexpected(manifest.error());
  if (!manifest) {
    std::fprintf(stderr, "<4>%s is put aside: %s\n", mirror::escape(path_).c_str(),
                 manifest.error().message.c_str());
    (void)::rename(path_.c_str(), (path_ + ".damaged").c_str());
    manifest = std::unique_ptr<ManifestFile>{};
  }
  ml::Overlay overlay;
  good_log_ = true;
  if (auto log = LineReader::open(log_path_)) {
    while (true) {
      auto line = (*log)->next();
      if (line && !*line) break;
      good_log_ = line && overlay.take(**line);
      if (!good_log_) break;  // cut by a crash: the rest is not known
    }
  }
  lines_ = overlay.lines();
  headed_ = *manifest != nullptr;
  const std::shared_ptr<ManifestFile> file = std::move(*manifest);
  if (file) {
    out.header = file->header();
    note_empty_roots(*out.header);
  }
  // Without a manifest the log alone says what is agreed on: a first compare that was broken off.
  out.entries = std::move(overlay).over(stream_of(file), parts_of(path_));
  return out;
}

Result<AgreementStore::Opened> AgreementStore::open(const std::vector<std::string>& scopes) {
  const std::lock_guard lock(mutex_);
  flush_locked();
  if (!good_log_) return open_locked();
  std::vector<std::string> lines;
  if (auto log = LineReader::open(log_path_)) {
    while (true) {
      auto line = (*log)->next();
      if (!line) return open_locked();
      if (!*line) break;
      lines.push_back(std::move(**line));
    }
  }
  auto concerned = ml::concerned(lines, scopes);
  ml::Overlay overlay;
  for (const size_t number : concerned.lines) {
    if (!overlay.take(lines[number])) return open_locked();
  }
  Opened out;
  auto manifest = ManifestPart::open(path_, std::move(concerned.paths));
  if (!manifest) return tl::unexpected(manifest.error());
  if (*manifest) out.header = (*manifest)->header();
  out.entries = std::move(overlay).over(stream_of(std::shared_ptr(std::move(*manifest))), parts_of(path_));
  return out;
}

Result<std::optional<mirror::ManifestHeader>> AgreementStore::header() {
  auto manifest = ManifestFile::open(path_);
  if (!manifest) return tl::unexpected(manifest.error());
  if (!*manifest) return std::optional<mirror::ManifestHeader>{};
  return (*manifest)->header();
}

void AgreementStore::put_aside() {
  const std::lock_guard lock(mutex_);
  (void)::rename(path_.c_str(), (path_ + ".damaged").c_str());
  (void)::unlink(log_path_.c_str());
  log_.reset();
}

void AgreementStore::append(const std::string& line) {
  if (!recordable(line)) return;
  buffer_ += line;
  ++lines_;
  if (buffer_.size() > kBuffer) flush_locked();
}

void AgreementStore::flush() {
  const std::lock_guard lock(mutex_);
  flush_locked();
}

void AgreementStore::flush_locked() {
  if (buffer_.empty()) return;
  if (!log_.valid()) {
    log_ = Fd(::open(log_path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  }
  for (std::string_view rest = buffer_; !rest.empty() && log_.valid();) {
    const ssize_t n = ::write(log_.get(), rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {  // an older agreement costs a compare, nothing else
      good_log_ = false;
      break;
    }
    rest.remove_prefix(static_cast<size_t>(n));
  }
  buffer_.clear();
}

void AgreementStore::record(const std::string& path, const Status& status) {
  append(ml::write_agreed(ml::to_entry(status, path)));
}

void AgreementStore::agreed(const std::string& path, const Status& status, bool proven) {
  const std::lock_guard lock(mutex_);
  if (status.fresh || !proven) {
    waiting_.push_back({path, status, std::chrono::steady_clock::now()});
  } else {
    record(path, status);
  }
}

void AgreementStore::doubt() {
  const std::lock_guard lock(mutex_);
  waiting_.clear();
}

void AgreementStore::leaving(const std::string& path) {
  const std::lock_guard lock(mutex_);
  append(ml::write_leaving(path));
  flush_locked();
}

Result<void> AgreementStore::leaving(const std::vector<std::string>& paths) {
  const std::lock_guard lock(mutex_);
  for (const std::string& path : paths) append(ml::write_leaving(path));
  flush_locked();
  if (paths.empty() || !log_.valid() || ::fdatasync(log_.get()) == 0) return {};
  return fail(Code::kRetry, fmt::format("{}: {}", mirror::escape(log_path_), std::strerror(errno)));
}

void AgreementStore::gone(const std::string& path) {
  const std::lock_guard lock(mutex_);
  std::erase_if(waiting_, [&](const Waiting& w) { return ml::is_within(w.path, path); });
  append(ml::write_gone(path));
}

void AgreementStore::moved(const std::string& from, const std::string& to) {
  const std::lock_guard lock(mutex_);
  for (Waiting& w : waiting_) {
    if (auto path = ml::moved(w.path, from, to)) w.path = std::move(*path);
  }
  append(ml::write_moved(from, to));
}

void AgreementStore::settle(const Look& now) {
  const std::lock_guard lock(mutex_);
  const auto limit = std::chrono::steady_clock::now() - kGrain;
  while (!waiting_.empty() && waiting_.front().since <= limit) {
    const Waiting w = std::move(waiting_.front());
    waiting_.pop_front();
    const auto status = now(w.path);
    if (status && ml::is_unchanged(ml::to_entry(w.status, w.path), *status)) record(w.path, *status);
  }
}

bool AgreementStore::settled() {
  const std::lock_guard lock(mutex_);
  return waiting_.empty();
}

bool AgreementStore::crowded() {
  const std::lock_guard lock(mutex_);
  return waiting_.size() > kCrowd;
}

bool AgreementStore::wants_fold() {
  const std::lock_guard lock(mutex_);
  return headed_ && lines_ > std::clamp(entries_ / 2, kFewLines, kManyLines);
}

Result<void> AgreementStore::fold(const std::optional<mirror::ManifestHeader>& header) {
  const std::lock_guard lock(mutex_);
  return fold_locked(header);
}

void AgreementStore::note_empty_roots(const mirror::ManifestHeader& header) {
  empty_roots_.clear();
  for (const mirror::RootRecord& root : header.roots) {
    if (root.files == 0) empty_roots_.push_back(root.path);
  }
}

Result<void> AgreementStore::will_hold(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const auto holds = [&](const std::string& root) { return ml::is_within(path, root); };
  if (std::none_of(empty_roots_.begin(), empty_roots_.end(), holds)) return {};
  auto now = open_locked();
  if (!now) return tl::unexpected(now.error());
  if (!now->header) return {};
  for (mirror::RootRecord& root : now->header->roots) {
    if (holds(root.path)) root.files = std::max<uint64_t>(root.files, 1);
  }
  return fold_locked(now->header);
}

Result<void> AgreementStore::fold_locked(const std::optional<mirror::ManifestHeader>& header) {
  auto now = open_locked();
  if (!now) return tl::unexpected(now.error());
  if (!now->header && !header) return {};  // nothing to put it under yet
  DurableFile file(path_);
  if (auto ok = file.open(); !ok) return ok;
  if (auto ok = file.append(mirror::write_header(header ? *header : *now->header)); !ok) return ok;
  uint64_t entries = 0;
  while (true) {
    auto entry = now->entries();
    if (!entry) return tl::unexpected(entry.error());
    if (!*entry) break;
    const std::string line = mirror::write_entry(**entry);
    if (!recordable(line)) continue;
    if (auto ok = file.append(line); !ok) return ok;
    ++entries;
  }
  if (auto ok = file.append(mirror::write_end(entries)); !ok) return ok;
  if (auto ok = file.commit(); !ok) return ok;
  note_empty_roots(header ? *header : *now->header);
  log_.reset();
  ::unlink(log_path_.c_str());
  headed_ = true;
  lines_ = 0;
  entries_ = static_cast<size_t>(entries);
  return {};
}

}  // namespace clusterd::live
