#include "linux/mirror/files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <set>
#include <sstream>

#include "mirror/escape.hpp"

namespace clusterd {

using mirror::Entry;
using mirror::escape;

std::string errno_text(const std::string& what, const std::string& path) {
  const int error = errno;
  return fmt::format("{} {}: {}", what, escape(path), std::strerror(error));
}

Result<std::string> read_whole_file(const std::string& path, size_t limit) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.valid()) {
    return fail(errno == ENOENT ? Code::kRetry : Code::kRefused, errno_text("cannot read", path));
  }
  std::string out;
  char buffer[64 * 1024];
  while (true) {
    const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(Code::kRefused, errno_text("cannot read", path));
    if (n == 0) return out;
    out.append(buffer, static_cast<size_t>(n));
    if (out.size() > limit) return fail(Code::kCorrupt, fmt::format("{} is too long", escape(path)));
  }
}

Result<void> make_directories(const std::string& path, mode_t mode) {
  for (size_t i = 1; i <= path.size(); ++i) {
    if (i < path.size() && path[i] != '/') continue;
    const std::string part = path.substr(0, i);
    if (::mkdir(part.c_str(), mode) != 0 && errno != EEXIST) {
      return fail(Code::kRefused, errno_text("cannot create the directory", part));
    }
  }
  return {};
}

Result<void> sync_directory(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid() || ::fsync(fd.get()) != 0) return fail(Code::kUncertain, errno_text("cannot sync", path));
  return {};
}

Result<void> sync_file_systems(const std::vector<std::string>& paths) {
  std::set<dev_t> done;
  for (std::string path : paths) {
    // What is no directory (any more) is on the file system of its parent.
    Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    while (!fd.valid() && path.size() > 1) {
      path.resize(std::max<size_t>(path.rfind('/'), 1));
      fd = Fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    }
    struct stat info {};
    if (!fd.valid() || ::fstat(fd.get(), &info) != 0)
      return fail(Code::kUncertain, errno_text("cannot sync the file system of", path));
    if (done.insert(info.st_dev).second && ::syncfs(fd.get()) != 0)
      return fail(Code::kUncertain, errno_text("cannot sync the file system of", path));
  }
  return {};
}

DurableFile::~DurableFile() {
  if (fd_.valid()) ::unlink(temporary_.c_str());
}

Result<void> DurableFile::open() {
  ::unlink(temporary_.c_str());
  fd_ = Fd(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd_.valid()) return fail(Code::kRefused, errno_text("cannot write", temporary_));
  return {};
}

Result<void> DurableFile::append(std::string_view text) {
  buffer_ += text;
  return buffer_.size() > 256 * 1024 ? drain() : Result<void>{};
}

Result<void> DurableFile::drain() {
  for (std::string_view rest = buffer_; !rest.empty();) {
    const ssize_t n = ::write(fd_.get(), rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(Code::kRefused, errno_text("cannot write", temporary_));
    rest.remove_prefix(static_cast<size_t>(n));
  }
  buffer_.clear();
  return {};
}

Result<void> DurableFile::commit() {
  if (auto ok = drain(); !ok) return ok;
  if (::fsync(fd_.get()) != 0) return fail(Code::kRefused, errno_text("cannot sync", temporary_));
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    return fail(Code::kRefused, errno_text("cannot replace", path_));
  }
  fd_.reset();
  return sync_directory(path_.substr(0, path_.rfind('/')));
}

Result<void> write_durably(const std::string& path, std::string_view text) {
  DurableFile file(path);
  if (auto ok = file.open(); !ok) return ok;
  if (auto ok = file.append(text); !ok) return ok;
  return file.commit();
}

Result<std::unique_ptr<LineReader>> LineReader::open(const std::string& path) {
  auto reader = std::make_unique<LineReader>();
  reader->path_ = path;
  reader->fd_ = Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!reader->fd_.valid()) {
    return fail(errno == ENOENT ? Code::kRetry : Code::kRefused, errno_text("cannot read", path));
  }
  return reader;
}

Result<std::optional<std::string>> LineReader::next() {
  while (true) {
    const size_t newline = buffer_.find('\n', at_);
    if (newline != std::string::npos) {
      std::string line = buffer_.substr(at_, newline - at_);
      at_ = newline + 1;
      return std::optional<std::string>(std::move(line));
    }
    buffer_.erase(0, at_);
    at_ = 0;
    if (end_) {
      if (buffer_.empty()) return std::optional<std::string>{};
      return fail(Code::kCorrupt, fmt::format("{} is truncated", escape(path_)));
    }
    if (buffer_.size() > 2 * mirror::kMaxManifestLine) {
      return fail(Code::kCorrupt, fmt::format("{} has a line that is too long", escape(path_)));
    }
    char chunk[64 * 1024];
    const ssize_t n = ::read(fd_.get(), chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(Code::kRefused, errno_text("cannot read", path_));
    end_ = n == 0;
    buffer_.append(chunk, static_cast<size_t>(n));
  }
}

Result<std::unique_ptr<ManifestFile>> ManifestFile::open(const std::string& path) {
  auto lines = LineReader::open(path);
  if (!lines) {
    if (lines.error().code == Code::kRetry) return std::unique_ptr<ManifestFile>{};
    return tl::unexpected(lines.error());
  }
  auto file = std::make_unique<ManifestFile>();
  file->lines_ = std::move(*lines);
  while (!file->parser_.in_entries()) {
    auto line = file->lines_->next();
    if (!line) return tl::unexpected(line.error());
    if (!*line) return fail(Code::kCorrupt, fmt::format("{} is truncated", escape(path)));
    if (auto entry = file->parser_.line(**line); !entry) return tl::unexpected(entry.error());
  }
  return file;
}

Result<std::optional<Entry>> ManifestFile::next() {
  while (true) {
    auto line = lines_->next();
    if (!line) return tl::unexpected(line.error());
    if (!*line) {
      if (!parser_.complete()) return fail(Code::kCorrupt, "a manifest is truncated");
      return std::optional<Entry>{};
    }
    auto entry = parser_.line(**line);
    if (!entry || *entry) return entry;
  }
}

Result<std::unique_ptr<ManifestFile>> open_manifest(const std::string& path) {
  // Read once to its end: whether it is whole shows only there.
  auto whole = ManifestFile::open(path);
  bool good = whole.has_value();
  while (good && *whole) {
    auto entry = (*whole)->next();
    good = entry.has_value();
    if (good && !*entry) break;
    if (!good) whole = tl::unexpected(entry.error());
  }
  if (good) return ManifestFile::open(path);
  if (whole.error().code != Code::kCorrupt) return tl::unexpected(whole.error());
  std::fprintf(stderr, "<4>%s cannot be used and is put aside: %s\n", escape(path).c_str(),
               whole.error().message.c_str());
  if (::rename(path.c_str(), (path + ".damaged").c_str()) != 0) {
    return fail(Code::kRefused, errno_text("cannot put aside", path));
  }
  return std::unique_ptr<ManifestFile>{};
}

mirror::EntryStream entries_of(ManifestFile* manifest) {
  if (!manifest) return [] { return Result<std::optional<Entry>>(std::optional<Entry>{}); };
  return [manifest] { return manifest->next(); };
}

std::string root_path(const std::string& configured) {
  std::string path = configured;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

void count_entry(mirror::RootsNow& roots, const Entry& entry) {
  if (entry.type == 'd') return;
  for (mirror::RootNow& root : roots.roots) {
    const size_t n = root.path.size();
    if (entry.path.compare(0, n, root.path) == 0 && (entry.path.size() == n || entry.path[n] == '/')) {
      ++root.record.files;
    }
  }
}

mirror::ManifestHeader header_for(const mirror::RootsNow& roots, mirror::ManifestHeader::Role role,
                                  uint64_t epoch) {
  mirror::ManifestHeader header;
  header.role = role;
  header.epoch = epoch;
  header.time_unix = ::time(nullptr);
  header.boot = roots.boot;
  header.mounts = roots.mounts;
  for (const auto& root : roots.roots) {
    if (root.exists) header.roots.push_back(root.record);
  }
  return header;
}

std::string manifest_path(const std::string& state_dir, const std::string& service,
                          const std::string& mirror) {
  return fmt::format("{}/mirror/{}.{}.manifest", state_dir, service, mirror);
}

std::string utc_text(int64_t unix_time, const char* format) {
  const auto t = static_cast<time_t>(unix_time);
  tm parts{};
  ::gmtime_r(&t, &parts);
  char text[64];
  const size_t n = ::strftime(text, sizeof text, format, &parts);
  return std::string(text, n);
}

}  // namespace clusterd
