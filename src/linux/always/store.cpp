#include "linux/always/store.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <vector>

#include "linux/always/place.hpp"
#include "mirror/escape.hpp"

namespace clusterd::always {

namespace {

namespace fs = std::filesystem;

constexpr size_t kKeptOfEach = 20;
constexpr uint64_t kKeptBytes = uint64_t{256} << 20U;
constexpr uintmax_t kMaxStoreBytes = 64 << 20;

Result<void> sync_folder(const std::string& folder) {
  const Fd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0 || ::fsync(fd.get()) != 0) return failed("cannot sync", folder);
  return {};
}

Result<void> write_new(const std::string& file, const std::string& text) {
  const Fd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  bool good = fd.get() >= 0;
  for (size_t done = 0; good && done < text.size();) {
    const ssize_t n = ::write(fd.get(), text.data() + done, text.size() - done);
    good = n > 0;
    done += static_cast<size_t>(std::max<ssize_t>(n, 0));
  }
  if (good && ::fsync(fd.get()) == 0) return {};
  auto error = failed("cannot write", file);
  if (fd.get() >= 0) ::unlink(file.c_str());
  return error;
}

Result<void> make_folder(const std::string& folder) {
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return failed("cannot create", folder);
  return {};
}

// "/etc/samba/smb.conf" → "etc+samba+smb.conf"
std::string folder_name(const std::string& path) {
  std::string name = mirror::escape(path.substr(1));
  std::ranges::replace(name, '/', '+');
  return name.size() <= 200 ? name : name.substr(0, 130) + "+" + digest_of(path).substr(0, 64);
}

std::string now_text() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  tm parts{};
  ::gmtime_r(&now.tv_sec, &parts);
  std::array<char, 32> text{};
  ::strftime(text.data(), text.size(), "%Y-%m-%dT%H.%M.%S", &parts);
  return fmt::format("{}.{:06}Z", text.data(), now.tv_nsec / 1000);
}

std::string newest_in(const std::string& folder) {
  std::string newest;
  std::error_code error;
  for (const auto& file : fs::directory_iterator(folder, error))
    newest = std::max(newest, file.path().string());
  return newest;
}

// A try that fails again and again must not push out what was kept before.
bool holds(const std::string& file, const Entry& entry, const std::string& content) {
  std::error_code error;
  if (file.empty()) return false;
  if (entry.kind == Kind::kLink) return fs::read_symlink(file, error) == entry.content && !error;
  if (!fs::is_regular_file(fs::symlink_status(file, error))) return false;
  const std::ifstream stream(file, std::ios::binary);
  std::stringstream text;
  text << stream.rdbuf();
  return stream && text.str() == content;
}

}  // namespace

std::string Store::fresh_id() {
  std::array<uint8_t, 16> bytes{};
  randombytes_buf(bytes.data(), bytes.size());
  std::array<char, 33> hex{};
  sodium_bin2hex(hex.data(), hex.size(), bytes.data(), bytes.size());
  return hex.data();
}

Result<Stored> Store::load() const {
  const std::string file = folder_ + "/agreed.json";
  std::error_code error;
  if (fs::exists(fs::symlink_status(file, error))) {
    const uintmax_t size = fs::file_size(file, error);
    if (!error && size <= kMaxStoreBytes) {
      const std::ifstream stream(file, std::ios::binary);
      std::stringstream text;
      text << stream.rdbuf();
      if (auto stored = stored_from(text.str())) return std::move(*stored);
    }
    ::rename(file.c_str(), (file + ".damaged").c_str());
  }
  Stored fresh;
  fresh.store.id = fresh_id();
  if (auto saved = save(fresh); !saved) return tl::unexpected(saved.error());
  return fresh;
}

Result<void> Store::save(const Stored& stored) const {
  if (auto made = make_folder(folder_); !made) return made;
  const std::string file = folder_ + "/agreed.json", beside = file + ".new";
  ::unlink(beside.c_str());
  if (auto written = write_new(beside, encoded(stored)); !written) return written;
  if (::rename(beside.c_str(), file.c_str()) != 0) return failed("cannot replace", file);
  return sync_folder(folder_);
}

Result<std::string> Store::keep(const std::string& path, const Entry& entry,
                                const std::string& content) const {
  const std::string replaced = folder_ + "/replaced", own = replaced + "/" + folder_name(path);
  for (const std::string& folder : {folder_, replaced, own})
    if (auto made = make_folder(folder); !made) return tl::unexpected(made.error());
  if (const std::string last = newest_in(own); holds(last, entry, content)) return last;
  const std::string base = own + "/" + now_text();
  std::string file = base;
  for (int n = 1; ::access(file.c_str(), F_OK) == 0 && n < 1000; ++n) file = fmt::format("{}-{:03}", base, n);
  const Fd folder(::open(own.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (entry.kind == Kind::kLink) {
    if (::symlink(entry.content.c_str(), file.c_str()) != 0) return failed("cannot write", file);
  } else {
    if (auto written = write_new(file, content); !written) return tl::unexpected(written.error());
    const timespec time{entry.mtime_ns / 1'000'000'000, entry.mtime_ns % 1'000'000'000};
    const std::array<timespec, 2> times{time, time};
    ::utimensat(AT_FDCWD, file.c_str(), times.data(), 0);
  }
  for (const std::string& one : {own, replaced, folder_})
    if (auto synced = sync_folder(one); !synced) return tl::unexpected(synced.error());
  prune();
  return file;
}

void Store::prune() const {
  struct Kept {
    std::string name, file;
    uint64_t size = 0;
  };
  std::vector<Kept> all;
  std::error_code error;
  for (const auto& own : fs::directory_iterator(folder_ + "/replaced", error)) {
    std::vector<Kept> of_one;
    std::error_code ignored;
    for (const auto& file : fs::directory_iterator(own.path(), ignored)) {
      struct stat info {};
      if (::lstat(file.path().c_str(), &info) != 0) continue;
      of_one.push_back(
          {file.path().filename().string(), file.path().string(), static_cast<uint64_t>(info.st_size)});
    }
    std::ranges::sort(of_one, std::greater<>(), &Kept::name);
    for (size_t i = kKeptOfEach; i < of_one.size(); ++i) ::unlink(of_one[i].file.c_str());
    of_one.resize(std::min(of_one.size(), kKeptOfEach));
    all.insert(all.end(), of_one.begin(), of_one.end());
  }
  std::ranges::sort(all, std::greater<>(), &Kept::name);
  uint64_t bytes = 0;
  for (const Kept& kept : all) {
    bytes += kept.size;
    if (bytes > kKeptBytes) ::unlink(kept.file.c_str());
  }
}

}  // namespace clusterd::always
