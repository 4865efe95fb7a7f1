#include "linux/versions/store.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

#include "linux/fd.hpp"

namespace clusterd {

namespace {

namespace fs = std::filesystem;
using versions::Record;

tl::unexpected<Error> failed(const std::string& file) {
  return fail(Code::kRetry, file + ": " + std::strerror(errno));
}

Result<void> sync_folder(const std::string& folder) {
  const Fd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0 || ::fsync(fd.get()) != 0) return failed(folder);
  return {};
}

std::string beside(const std::string& file) {
  const size_t slash = file.rfind('/');
  return file.substr(0, slash + 1) + "." + file.substr(slash + 1) + ".new";
}

// Beside its place, and on disk.
Result<void> write_beside(const std::string& file, const std::string& text, mode_t mode) {
  const std::string name = beside(file);
  ::unlink(name.c_str());
  Fd fd(::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
  if (fd.get() < 0) return failed(name);
  bool good = ::fchmod(fd.get(), mode) == 0;
  for (size_t done = 0; good && done < text.size();) {
    const ssize_t n = ::write(fd.get(), text.data() + done, text.size() - done);
    good = n > 0;
    done += static_cast<size_t>(std::max<ssize_t>(n, 0));
  }
  if (good && ::fsync(fd.get()) == 0) return {};
  auto error = failed(name);
  ::unlink(name.c_str());
  return error;
}

Result<void> move_in(const std::string& file) {
  if (::rename(beside(file).c_str(), file.c_str()) != 0) return failed(file);
  return {};
}

Result<std::string> text_of(const std::string& file) {
  std::error_code error;
  if (!fs::is_regular_file(file, error)) return fail(Code::kCorrupt, file + ": is no regular file");
  if (fs::file_size(file, error) > versions::kMaxSetBytes)
    return fail(Code::kCorrupt, file + ": is too long");
  const std::ifstream stream(file, std::ios::binary);
  std::stringstream text;
  text << stream.rdbuf();
  if (!stream) return failed(file);
  return text.str();
}

std::vector<std::string> service_files(const std::string& dir) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(dir + "/services", error), end; !error && entry != end;
       entry.increment(error))
    names.push_back("services/" + entry->path().filename().string());
  return names;
}

Result<ConfigTexts> read_set(const std::string& dir) {
  ConfigTexts names, out;
  names.emplace("cluster.toml", "");
  for (const std::string& name : service_files(dir)) names.emplace(name, "");
  for (const auto& [name, unused] : versions::set_of(names)) {
    auto text = text_of(dir + "/" + name);
    if (!text) return tl::unexpected(text.error());
    out.emplace(name, std::move(*text));
  }
  return out;
}

// A file keeps the mode that it has; a new one is for everybody to read, unless it may hold passwords.
mode_t mode_of(const std::string& file, const std::string& text) {
  struct stat info {};
  if (::stat(file.c_str(), &info) == 0) return info.st_mode & 0755U;
  return text.find("[fence") != std::string::npos ? 0600 : 0644;
}

}  // namespace

Record VersionStore::load() const {
  const std::string file = folder_ + "/record.json";
  if (::access(file.c_str(), F_OK) != 0) return {};
  if (const auto text = text_of(file)) {
    if (auto record = versions::record_from(*text)) return *record;
  }
  ::rename(file.c_str(), (file + ".damaged").c_str());
  return {};
}

Result<Record> VersionStore::change(const std::function<bool(Record&)>& edit) const {
  std::error_code error;
  fs::create_directories(folder_, error);
  ::chmod(folder_.c_str(), 0700);
  const Fd lock(::open((folder_ + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (lock.get() < 0) return failed(folder_ + "/lock");
  while (::flock(lock.get(), LOCK_EX) != 0) {
    if (errno != EINTR) return failed(folder_ + "/lock");
  }
  Record record = load();
  const Record before = record;
  if (!edit(record)) return before;
  if (record == before) return record;
  const std::string file = folder_ + "/record.json";
  if (auto written = write_beside(file, encoded(record), 0600); !written)
    return tl::unexpected(written.error());
  if (auto moved = move_in(file); !moved) return tl::unexpected(moved.error());
  if (auto synced = sync_folder(folder_); !synced) return tl::unexpected(synced.error());
  return record;
}

Result<void> VersionStore::put(uint64_t number, const ConfigTexts& files) const {
  return put_into(folder_ + "/" + std::to_string(number), files);
}

Result<void> VersionStore::put_aside(uint64_t number, const ConfigTexts& files) const {
  return put_into(folder_ + "/edited-" + std::to_string(number), files);
}

Result<void> VersionStore::put_into(const std::string& folder, const ConfigTexts& files) const {
  const std::string partial = folder + ".new";
  std::error_code error;
  fs::remove_all(partial, error);
  fs::create_directories(partial + "/services", error);
  if (error) return fail(Code::kRetry, partial + ": " + error.message());
  ::chmod(folder_.c_str(), 0700);
  for (const auto& [name, text] : files) {
    const std::string file = partial + "/" + name;
    if (auto written = write_beside(file, text, 0600); !written) return written;
    if (auto moved = move_in(file); !moved) return moved;
  }
  for (const std::string& one : {partial + "/services", partial})
    if (auto synced = sync_folder(one); !synced) return synced;
  fs::remove_all(folder, error);
  if (::rename(partial.c_str(), folder.c_str()) != 0) return failed(folder);
  return sync_folder(folder_);
}

Result<ConfigTexts> VersionStore::files(uint64_t number) const {
  auto files = read_set(folder_ + "/" + std::to_string(number));
  if (!files)
    return fail(Code::kRefused,
                "version " + std::to_string(number) + " is not kept here: " + files.error().message);
  return files;
}

void VersionStore::prune(const Record& record) const {
  std::error_code error;
  std::vector<uint64_t> numbers;
  for (fs::directory_iterator entry(folder_, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.find_first_not_of("0123456789") == std::string::npos && name.size() < 10)
      numbers.push_back(std::stoull(name));
  }
  std::ranges::sort(numbers, std::greater<>());
  size_t kept = 0;  // those that were given up count as well: they may be wanted back
  for (const uint64_t number : numbers) {
    const bool named =
        std::ranges::any_of(record.history, [&](const auto& v) { return v.number == number; }) ||
        (record.change && record.change->to.number == number) || record.clear_of == number;
    if (++kept <= versions::kMaxKept || (named && kept <= 2 * versions::kMaxKept)) continue;
    fs::remove_all(folder_ + "/" + std::to_string(number), error);
  }
}

Result<ConfigTexts> VersionStore::edited() const { return read_set(config_dir_); }

Result<void> VersionStore::place(const ConfigTexts& files) const {
  std::error_code error;
  fs::create_directories(config_dir_ + "/services", error);
  for (const auto& [name, text] : files) {
    const std::string file = config_dir_ + "/" + name;
    if (auto written = write_beside(file, text, mode_of(file, text)); !written) return written;
  }
  for (const auto& [name, text] : files)
    if (auto moved = move_in(config_dir_ + "/" + name); !moved) return moved;
  for (const std::string& name : service_files(config_dir_)) {
    if (!name.ends_with(".toml") || files.contains(name) || name.starts_with("services/.")) continue;
    const std::string file = config_dir_ + "/" + name;
    if (::rename(file.c_str(), (file + ".bak").c_str()) != 0) return failed(file);
  }
  for (const std::string& one : {config_dir_ + "/services", config_dir_})
    if (auto synced = sync_folder(one); !synced) return synced;
  return {};
}

Result<void> VersionStore::finish_placing() const {
  const Record record = load();
  if (!record.placing || record.in_place() == nullptr) return {};
  const auto wanted = files(record.in_place()->number);
  if (!wanted) return tl::unexpected(wanted.error());
  if (auto placed = place(*wanted); !placed) return placed;
  const auto done = change([](Record& r) {
    r.placing = false;
    return true;
  });
  if (!done) return tl::unexpected(done.error());
  return {};
}

}  // namespace clusterd
