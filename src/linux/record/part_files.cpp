#include "linux/record/part_files.hpp"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <thread>
#include <utility>

namespace clusterd {

namespace {

namespace fs = std::filesystem;

constexpr size_t kParts = 8;
constexpr size_t kMaxFiles = 10'000;
constexpr uint64_t kLeastShare = uint64_t{128} * 1024;
constexpr uint64_t kMostShare = uint64_t{8} << 20U;
constexpr int kNice = 10;

struct Part {
  uint64_t number = 0;
  fs::path file;
  uint64_t size = 0;
};

// "000012-20261122T204500Z.rec"; whatever else lies in the folder is nobody's business here.
std::vector<Part> parts_of(const std::string& folder) {
  std::vector<Part> parts;
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (; !error && entry != fs::directory_iterator() && parts.size() < kMaxFiles; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (entry->path().extension() != ".rec") continue;
    Part part;
    const auto [end, bad] = std::from_chars(name.data(), name.data() + name.size(), part.number);
    if (bad != std::errc() || end == name.data() + name.size() || *end != '-') continue;
    std::error_code ignored;
    part.file = entry->path();
    part.size = entry->file_size(ignored);
    if (!ignored) parts.push_back(std::move(part));
  }
  std::sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) { return a.number < b.number; });
  return parts;
}

Result<void> failed(const std::string& what) {
  return fail(Code::kRetry, what + ": " + std::strerror(errno));
}

}  // namespace

PartFiles::PartFiles(std::string folder, uint64_t max_bytes, uint64_t least_free)
    : folder_(std::move(folder)),
      max_bytes_(max_bytes),
      least_free_(least_free),
      share_(std::clamp(max_bytes / kParts, kLeastShare, kMostShare)) {}

Result<void> PartFiles::begin(std::span<const uint8_t> bytes, WallTime wall) {
  fd_ = Fd();
  size_ = 0;
  if (::mkdir(folder_.c_str(), 0700) != 0 && errno != EEXIST) return failed("cannot make " + folder_);
  const auto parts = parts_of(folder_);
  const uint64_t number = parts.empty() ? 1 : parts.back().number + 1;
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(wall.time_since_epoch());
  file_ = fmt::format("{}/{:06}-{:%Y%m%dT%H%M%SZ}.rec", folder_, number,
                      fmt::gmtime(static_cast<std::time_t>(seconds.count())));
  fd_ = Fd(::open(file_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW | O_APPEND, 0600));
  if (fd_.get() < 0) return failed("cannot make " + file_);
  auto written = append(bytes);
  if (!written) ::unlink(file_.c_str());  // a file without a head is of no use
  return written;
}

// Old files go first; then the disk must have something to spare for others.
Result<void> PartFiles::make_room(size_t bytes) {
  auto parts = parts_of(folder_);
  uint64_t total = bytes;
  for (const Part& part : parts) total += part.size;
  for (const Part& part : parts) {
    if (total <= max_bytes_) break;
    if (part.file == file_) continue;
    std::error_code error;
    if (fs::remove(part.file, error)) total -= part.size;
  }
  struct statvfs disk {};
  if (::statvfs(folder_.c_str(), &disk) != 0) return failed("cannot ask for the room under " + folder_);
  if (disk.f_bavail * disk.f_frsize < least_free_ + bytes) {
    return fail(Code::kRetry, fmt::format("less than {} MiB are free under {}", least_free_ >> 20U, folder_));
  }
  return {};
}

Result<void> PartFiles::append(std::span<const uint8_t> bytes) {
  if (fd_.get() < 0) return fail(Code::kRetry, "there is no file");
  auto done = make_room(bytes.size());
  size_t written = 0;
  while (done && written < bytes.size()) {
    const ssize_t n = ::write(fd_.get(), bytes.data() + written, bytes.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) done = failed("cannot write " + file_);
    if (n > 0) written += static_cast<size_t>(n);
  }
  if (done) {
    size_ += written;
    return {};
  }
  if (::ftruncate(fd_.get(), static_cast<off_t>(size_)) != 0) {
    // Then the file ends within a block, which its reader will see.
  }
  fd_ = Fd();
  return done;
}

void start_quiet_thread(std::function<void()> work) {
  // Signals are the reactor's business: the mask is inherited.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread([work = std::move(work)] {
    const sched_param none{};
    pthread_setschedparam(pthread_self(), SCHED_OTHER, &none);
    ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), kNice);
    work();
  }).detach();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace clusterd
