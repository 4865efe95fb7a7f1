#include "ctl/shell.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

extern char** environ;  // NOLINT(readability-redundant-declaration)

namespace clusterd::ctl {

namespace {

constexpr size_t kMaxOutput = 4 * 1024 * 1024;

std::string read_all(int fd) {
  std::string all;
  char chunk[16384];
  while (true) {
    const ssize_t n = ::read(fd, chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return all;
    if (all.size() < kMaxOutput) all.append(chunk, static_cast<size_t>(n));
  }
}

}  // namespace

Ran run_program(const std::vector<std::string>& argv, bool capture) {
  Ran ran;
  std::vector<char*> arguments;
  for (const std::string& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  int ends[2] = {-1, -1};
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  if (capture && ::pipe2(ends, O_CLOEXEC) == 0) {
    ::posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    ::posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  }
  pid_t pid = 0;
  const int error = ::posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (ends[1] >= 0) ::close(ends[1]);
  if (error == 0) {
    if (ends[0] >= 0) ran.output = read_all(ends[0]);
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  } else {
    ran.code = 127;
  }
  if (ends[0] >= 0) ::close(ends[0]);
  return ran;
}

bool program_exists(const std::string& name) {
  if (name.find('/') != std::string::npos) return ::access(name.c_str(), X_OK) == 0;
  const char* path = std::getenv("PATH");
  std::string folders = (path != nullptr ? std::string(path) : "") + ":/usr/sbin:/usr/bin:/sbin:/bin:";
  while (!folders.empty()) {
    const size_t end = folders.find(':');
    const std::string folder = folders.substr(0, end);
    folders.erase(0, end + 1);
    if (!folder.empty() && ::access((folder + "/" + name).c_str(), X_OK) == 0) return true;
  }
  return false;
}

std::string unit_file_state(const std::string& unit) {
  const Ran ran = run_program({"systemctl", "is-enabled", "--", unit}, true);
  return ran.output.substr(0, ran.output.find('\n'));
}

std::vector<std::string> ssh_argv(const Config& config, LinkId link) {
  const SshConfig& ssh = config.ssh;
  std::vector<std::string> argv = {"ssh",
                                   "-o",
                                   "BatchMode=yes",
                                   "-o",
                                   "ConnectTimeout=3",
                                   "-o",
                                   "LogLevel=ERROR",
                                   "-p",
                                   std::to_string(ssh.port)};
  if (!ssh.identity.empty()) argv.insert(argv.end(), {"-i", ssh.identity});
  if (!ssh.known_hosts.empty()) argv.insert(argv.end(), {"-o", "UserKnownHostsFile=" + ssh.known_hosts});
  argv.insert(argv.end(),
              {"-l", ssh.user, "--", config.link(link).ends.at(config.peer().at()).address.address.text()});
  return argv;
}

std::string quoted(const std::string& argument) {
  std::string out = "'";
  for (const char c : argument) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

Ran run_on_peer(const Config& config, const std::vector<std::string>& arguments, bool capture) {
  std::vector<LinkId> order;
  const auto carries_service = [&](size_t link) {
    return std::any_of(config.services.begin(), config.services.end(),
                       [link](const ServiceConfig& service) { return service.link.at() == link; });
  };
  for (const bool shared : {false, true}) {
    for (size_t i = 0; i < config.links.size(); ++i) {
      if (carries_service(i) == shared) order.emplace_back(i);
    }
  }
  std::string command = "clusterctl";
  for (const std::string& argument : arguments) command += " " + quoted(argument);
  Ran ran;
  ran.code = 255;
  for (const LinkId link : order) {
    auto argv = ssh_argv(config, link);
    argv.push_back(command);
    ran = run_program(argv, capture);
    if (ran.code != 255) break;  // 255 is ssh's own failure
  }
  return ran;
}

}  // namespace clusterd::ctl
