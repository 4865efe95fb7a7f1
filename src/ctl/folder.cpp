#include "ctl/folder.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "pair/handover.hpp"

namespace clusterd::ctl {

namespace {

namespace fs = std::filesystem;

std::string beside(const std::string& dir, const std::string& name) {
  const size_t slash = name.rfind('/');
  if (slash == std::string::npos) return dir + "/." + name + ".new";
  return dir + "/" + name.substr(0, slash + 1) + "." + name.substr(slash + 1) + ".new";
}

tl::unexpected<std::string> failed(const std::string& file) {
  return tl::unexpected(file + ": " + std::strerror(errno));
}

tl::expected<void, std::string> write_file(const std::string& file, const std::string& text, mode_t mode) {
  ::unlink(file.c_str());
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
  if (fd < 0) return failed(file);
  bool good = ::fchmod(fd, mode) == 0;
  for (size_t done = 0; good && done < text.size();) {
    const ssize_t n = ::write(fd, text.data() + done, text.size() - done);
    good = n > 0;
    done += static_cast<size_t>(std::max<ssize_t>(n, 0));
  }
  good = good && ::fsync(fd) == 0;
  const int error = errno;
  ::close(fd);
  if (good) return {};
  ::unlink(file.c_str());
  errno = error;
  return failed(file);
}

// A file keeps the mode that it has. A new one is for everybody to read, unless it holds a secret: the
// cluster's, or what a fence agent logs in with.
mode_t mode_of(const std::string& file, const std::string& name, const std::string& text) {
  struct stat info {};
  if (pair::is_private(name)) return 0600;
  if (::stat(file.c_str(), &info) == 0) return info.st_mode & 0755U;
  return name == "cluster.toml" && text.find("[fence") != std::string::npos ? 0600 : 0644;
}

void sync_folder(const std::string& dir) {
  const int fd = ::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

}  // namespace

tl::expected<ConfigTexts, std::string> read_folder(const std::string& dir) {
  ConfigTexts texts;
  std::vector<std::string> names = {"cluster.toml", "secret.key", "mirror_key", "mirror_key.pub",
                                    "known_hosts"};
  std::error_code error;
  for (fs::directory_iterator entry(dir + "/services", error), end; !error && entry != end;
       entry.increment(error))
    names.push_back("services/" + entry->path().filename().string());
  for (const std::string& name : names) {
    const std::string file = dir + "/" + name;
    if (!pair::is_cluster_file(name) || !fs::is_regular_file(file, error)) continue;
    if (fs::file_size(file, error) > kMaxConfigFileBytes) return tl::unexpected(file + ": is too long");
    const std::ifstream stream(file, std::ios::binary);
    std::stringstream text;
    text << stream.rdbuf();
    if (!stream) return failed(file);
    texts[name] = text.str();
  }
  return texts;
}

tl::expected<Staged, std::string> Staged::stage(const std::string& dir, const ConfigTexts& files) {
  Staged staged(dir);
  std::error_code error;
  fs::create_directories(dir + "/services", error);
  if (error) return tl::unexpected(dir + ": " + error.message());
  for (const auto& [name, text] : files) {
    if (!pair::is_cluster_file(name)) return tl::unexpected(name + ": does not belong into " + dir);
    staged.names_.push_back(name);
    const auto written = write_file(beside(dir, name), text, mode_of(dir + "/" + name, name, text));
    if (!written) return tl::unexpected(written.error());
  }
  return staged;
}

Staged::~Staged() {
  for (const std::string& name : names_) ::unlink(beside(dir_, name).c_str());
}

tl::expected<void, std::string> Staged::keep() {
  for (const std::string& name : names_) {
    const std::string file = dir_ + "/" + name;
    if (::rename(beside(dir_, name).c_str(), file.c_str()) != 0) return failed(file);
  }
  sync_folder(dir_ + "/services");
  sync_folder(dir_);
  names_.clear();
  return {};
}

std::vector<std::string> put_aside_others(const std::string& dir, const ConfigTexts& files) {
  std::vector<std::string> moved;
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator entry(dir + "/services", error), end; !error && entry != end;
       entry.increment(error))
    names.push_back(entry->path().filename().string());
  for (const std::string& name : names) {
    if (name.front() == '.' || name.size() < 6 || name.compare(name.size() - 5, 5, ".toml") != 0 ||
        files.contains("services/" + name))
      continue;
    const std::string file = dir + "/services/" + name;
    if (::rename(file.c_str(), (file + ".bak").c_str()) == 0) moved.push_back(name);
  }
  return moved;
}

tl::expected<Config, std::vector<ConfigProblem>> judge(const ConfigTexts& files, const std::string& dir,
                                                       const std::string& self,
                                                       std::vector<ConfigProblem>* warnings) {
  ConfigTexts texts;
  for (const auto& [name, text] : files) {
    if (name.size() > 5 && name.compare(name.size() - 5, 5, ".toml") == 0) texts.emplace(name, text);
  }
  return parse_config(texts, dir, self, warnings);
}

}  // namespace clusterd::ctl
