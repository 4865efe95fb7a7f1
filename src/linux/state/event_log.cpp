#include "linux/state/event_log.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>

#include "linux/fd.hpp"

namespace clusterd {

namespace {

constexpr size_t kMaxLine = 64 * 1024;

std::optional<uint64_t> sequence_of(const std::string& line) {
  if (line.empty() || line.size() > kMaxLine) return std::nullopt;
  boost::system::error_code error;
  boost::json::parse_options options;
  options.max_depth = 4;
  const auto value = boost::json::parse(line, error, {}, options);
  if (error || !value.is_object()) return std::nullopt;
  const auto* sequence = value.get_object().if_contains("sequence");
  if (sequence == nullptr) return std::nullopt;
  if (sequence->is_uint64()) return sequence->get_uint64();
  if (sequence->is_int64() && sequence->get_int64() >= 0) return static_cast<uint64_t>(sequence->get_int64());
  return std::nullopt;
}

void read_lines(const std::string& file, uint64_t max_bytes, std::vector<EventLine>& lines) {
  std::ifstream stream(file, std::ios::binary);
  uint64_t bytes = 0;
  std::string line;
  while (bytes < max_bytes && std::getline(stream, line)) {
    bytes += line.size() + 1;
    if (const auto sequence = sequence_of(line)) lines.push_back({*sequence, line});
  }
}

}  // namespace

EventLog::EventLog(std::string state_dir, uint64_t max_bytes)
    : file_(std::move(state_dir) + "/events.jsonl"), max_bytes_(max_bytes) {}

Result<void> EventLog::append(const std::string& line) {
  const auto failed = [this] {
    return fail(Code::kRetry, "cannot write " + file_ + ": " + std::strerror(errno));
  };
  const auto open_log = [this] {
    return Fd(open(file_.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640));
  };
  Fd fd = open_log();
  struct stat info {};
  if (fd.get() < 0 || fstat(fd.get(), &info) != 0) return failed();
  if (info.st_size > 0 && static_cast<uint64_t>(info.st_size) + line.size() + 1 > max_bytes_) {
    if (rename(file_.c_str(), (file_ + ".1").c_str()) != 0) return failed();
    fd = open_log();
    if (fd.get() < 0 || fstat(fd.get(), &info) != 0) return failed();
  }
  char last = '\n';
  if (info.st_size > 0 && pread(fd.get(), &last, 1, info.st_size - 1) != 1) return failed();
  const std::string text = (last == '\n' ? "" : "\n") + line + "\n";
  const ssize_t n = write(fd.get(), text.data(), text.size());
  if (n >= 0 && static_cast<size_t>(n) < text.size()) errno = ENOSPC;
  if (n != static_cast<ssize_t>(text.size()) || fdatasync(fd.get()) != 0) return failed();
  return {};
}

std::vector<EventLine> EventLog::read(size_t limit) const {
  std::vector<EventLine> lines;
  // Whoever made them longer was not this program.
  const uint64_t bound = 2 * max_bytes_ + kMaxLine;
  read_lines(file_ + ".1", bound, lines);
  read_lines(file_, bound, lines);
  if (lines.size() > limit) lines.erase(lines.begin(), lines.end() - static_cast<ptrdiff_t>(limit));
  return lines;
}

}  // namespace clusterd
