#include "ctl/ssh_keys.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "ctl/shell.hpp"

namespace clusterd::ctl {

namespace {

namespace fs = std::filesystem;

std::string two_words(const std::string& line) {
  std::istringstream words(line);
  std::string kind, key;
  words >> kind >> key;
  return key.empty() ? "" : kind + " " + key;
}

// clusterd-mirror lies beside clusterctl.
std::string mirror_program() {
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  const std::string beside = (self.parent_path() / "clusterd-mirror").string();
  return !error && ::access(beside.c_str(), X_OK) == 0 ? beside : "/usr/bin/clusterd-mirror";
}

std::string read_if_there(const std::string& file) {
  const std::ifstream stream(file, std::ios::binary);
  std::stringstream text;
  if (stream) text << stream.rdbuf();
  return text.str();
}

}  // namespace

bool make_mirror_key(const std::string& dir) {
  const std::string file = dir + "/mirror_key";
  if (::access(file.c_str(), R_OK) == 0) return true;
  return run_program({"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "clusterd", "-f", file}, true)
             .code == 0;
}

std::vector<std::string> own_host_keys() {
  std::vector<std::string> keys;
  for (const char* kind : {"ed25519", "ecdsa", "rsa"}) {
    const std::string key = two_words(read_if_there(fmt::format("/etc/ssh/ssh_host_{}_key.pub", kind)));
    if (!key.empty()) keys.push_back(key);
  }
  return keys;
}

std::string known_hosts(const Config& config, const std::string& self, const std::vector<std::string>& own,
                        const std::vector<std::string>& theirs) {
  std::string out;
  for (size_t node = 0; node < kNodes; ++node) {
    std::string names = config.nodes.at(node).name;
    for (const LinkConfig& link : config.links) names += "," + link.ends.at(node).address.address.text();
    for (const std::string& key : config.nodes.at(node).name == self ? own : theirs)
      out += names + " " + key + "\n";
  }
  return out;
}

std::string authorise(const std::string& public_key) {
  const std::string key = two_words(public_key);
  if (key.empty()) return "there is no public key";
  const passwd* user = ::getpwuid(::geteuid());
  const std::string folder = std::string(user != nullptr ? user->pw_dir : "/root") + "/.ssh";
  const std::string file = folder + "/authorized_keys";
  const std::string before = read_if_there(file);
  if (before.find(key) != std::string::npos) return "";
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return folder + ": " + std::strerror(errno);
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return file + ": " + std::strerror(errno);
  std::string line = before.empty() || before.back() == '\n' ? "" : "\n";
  line += fmt::format("restrict,command=\"{} receive-shell\" {} clusterd\n", mirror_program(), key);
  const bool good =
      ::write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size()) && ::fsync(fd) == 0;
  const int error = errno;
  ::close(fd);
  return good ? "" : file + ": " + std::strerror(error);
}

}  // namespace clusterd::ctl
