#include "linux/mirror/manifest_part.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "linux/mirror/files.hpp"
#include "mirror/escape.hpp"
#include "mirror/live/entry.hpp"

namespace clusterd {

using mirror::Entry;

namespace {

constexpr size_t kChunk = 64 * 1024, kProbe = 4 * 1024;
constexpr uint64_t kNear = 16 * 1024;  // what is read through rather than sought in
static_assert(kChunk > 2 * mirror::kMaxManifestLine - 1);

}  // namespace

Result<std::unique_ptr<ManifestPart>> ManifestPart::open(const std::string& manifest,
                                                         std::vector<std::string> paths) {
  auto part = std::make_unique<ManifestPart>();
  part->file_ = Fd(::open(manifest.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!part->file_.valid() && errno == ENOENT) return std::unique_ptr<ManifestPart>{};
  struct stat st {};
  if (!part->file_.valid() || ::fstat(part->file_.get(), &st) != 0)
    return fail(Code::kRefused, errno_text("cannot read", manifest));
  part->name_ = manifest;
  part->size_ = static_cast<uint64_t>(st.st_size);
  part->paths_ = std::move(paths);
  if (auto ok = part->find_entries(); !ok) return tl::unexpected(ok.error());
  return part;
}

// Behind the header.
Result<void> ManifestPart::find_entries() {
  mirror::ManifestParser parser;
  while (!parser.in_entries()) {
    auto line = line_at(at_, kProbe);
    if (!line) return tl::unexpected(line.error());
    if (!*line) return fail(Code::kCorrupt, fmt::format("{} is truncated", mirror::escape(name_)));
    if (auto ok = parser.line((*line)->text); !ok) return tl::unexpected(ok.error());
    at_ += (*line)->text.size() + 1;
  }
  header_ = parser.header();
  return {};
}

Result<std::optional<Entry>> ManifestPart::next() {
  while (path_ < paths_.size()) {
    if (!placed_) {
      if (auto ok = seek(paths_[path_]); !ok) return tl::unexpected(ok.error());
      placed_ = true;
    }
    auto line = line_at(at_, kChunk);
    if (!line) return tl::unexpected(line.error());
    if (!*line || (*line)->text.starts_with("end ")) break;
    auto entry = mirror::parse_entry((*line)->text);
    if (!entry) return tl::unexpected(entry.error());
    while (path_ < paths_.size() && mirror::path_before(paths_[path_], entry->path) &&
           !mirror::live::is_within(entry->path, paths_[path_])) {
      ++path_;
      placed_ = false;
    }
    if (path_ == paths_.size()) break;
    if (!placed_ && mirror::path_before(entry->path, paths_[path_])) continue;  // sought from here
    placed_ = true;
    at_ += (*line)->text.size() + 1;
    if (mirror::live::is_within(entry->path, paths_[path_])) return std::optional<Entry>(std::move(*entry));
  }
  path_ = paths_.size();
  return std::optional<Entry>{};
}

// Forwards, to a line that is no later than the first entry that is not before `path`: in growing steps, as
// the next path is often near, and then by halves.
Result<void> ManifestPart::seek(const std::string& path) {
  uint64_t low = at_, high = size_;  // begins of lines; what is at `high` is not before `path`, or the end
  for (uint64_t step = kNear; high - low > kNear; step *= 2) {
    auto line = line_after(low + std::min(step, (high - low) / 2));
    if (!line) return tl::unexpected(line.error());
    if (!*line || (*line)->begin >= high) break;  // lines are short: what is left is read through
    if ((*line)->text.starts_with("end ")) {
      high = (*line)->begin;
      continue;
    }
    auto entry = mirror::parse_entry((*line)->text);
    if (!entry) return tl::unexpected(entry.error());
    (mirror::path_before(entry->path, path) ? low : high) = (*line)->begin;
  }
  at_ = low;
  return {};
}

Result<std::optional<ManifestPart::Line>> ManifestPart::line_after(uint64_t offset) {
  auto rest = line_at(offset, kProbe);
  if (!rest || !*rest) return rest;
  return line_at(offset + (*rest)->text.size() + 1, kProbe);
}

Result<std::optional<ManifestPart::Line>> ManifestPart::line_at(uint64_t offset, size_t chunk) {
  if (offset >= size_) return std::optional<Line>{};
  while (true) {
    const bool here = offset >= buffer_at_ && offset < buffer_at_ + buffer_.size();
    const size_t from = here ? static_cast<size_t>(offset - buffer_at_) : 0;
    const size_t newline = here ? buffer_.find('\n', from) : std::string::npos;
    if (newline != std::string::npos)
      return std::optional<Line>({offset, buffer_.substr(from, newline - from)});
    if (chunk > kChunk) return fail(Code::kCorrupt, fmt::format("{} is damaged", mirror::escape(name_)));
    if (auto ok = load(offset, chunk); !ok) return tl::unexpected(ok.error());
    chunk = chunk < kChunk ? kChunk : kChunk + 1;  // twice at most
  }
}

Result<void> ManifestPart::load(uint64_t offset, size_t chunk) {
  buffer_.resize(chunk);
  buffer_at_ = offset;
  size_t have = 0;
  while (have < chunk) {
    const ssize_t n =
        ::pread(file_.get(), buffer_.data() + have, chunk - have, static_cast<off_t>(offset + have));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(Code::kRefused, errno_text("cannot read", name_));
    if (n == 0) break;
    have += static_cast<size_t>(n);
  }
  buffer_.resize(have);
  return {};
}

}  // namespace clusterd
