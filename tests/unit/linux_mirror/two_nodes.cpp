#include "two_nodes.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "config/load.hpp"
#include "linux/mirror/run.hpp"
#include "mirror/messages.hpp"

namespace clusterd {
namespace fs = std::filesystem;
namespace {

constexpr const char* kNames[] = {"serv1", "serv2"};
constexpr const char* kFolders[] = {"data", "conf", "full", "state", "run"};

void require(bool ok, const std::string& what) {
  if (!ok) throw std::runtime_error(what + ": " + std::strerror(errno));
}

// Own network and mounts for the whole test program, once.
void enter_own_namespaces() {
  static bool done = false;
  if (done) return;
  done = true;
  require(::unshare(CLONE_NEWNET | CLONE_NEWNS) == 0, "unshare");
  require(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "mount");
  (void)shell("ip link set lo up");
  for (const char* address : {"10.99.1.1/24", "10.99.1.2/24", "10.99.2.1/24", "10.99.2.2/24"}) {
    (void)shell(fmt::format("ip addr add {} dev lo", address));
  }
}

}  // namespace

std::string shell(const std::string& command) {
  std::string out;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  char chunk[4096];
  while (const size_t n = ::fread(chunk, 1, sizeof chunk, pipe)) out.append(chunk, n);
  const int status = ::pclose(pipe);
  EXPECT_EQ(status, 0) << command << "\n" << out;
  return out;
}

void write_file(const std::string& path, const std::string& text) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

bool exists(const std::string& path) { return fs::exists(fs::symlink_status(path)); }

TwoNodes::TwoNodes() {
  enter_own_namespaces();
  char name[] = "/tmp/cdt-mirror-XXXXXX";
  require(::mkdtemp(name) != nullptr, "mkdtemp");
  root = name;
  for (const char* folder : kFolders) {
    fs::create_directories(path(folder));
    for (const int node : {0, 1}) fs::create_directories(at(node, folder));
  }
  for (const int node : {0, 1}) {
    require(::mount("tmpfs", at(node, "full").c_str(), "tmpfs", 0, node == 1 ? "size=512k" : "size=8m") == 0,
            "tmpfs");
  }
  fs::create_directories("/run/sshd");
  (void)shell(fmt::format(
      "ssh-keygen -q -t ed25519 -N '' -f {0}/host_key && ssh-keygen -q -t ed25519 -N '' -f {0}/key", root));
  write_configuration();
  for (const int node : {0, 1}) daemons.push_back(std::make_unique<FakeDaemon>(at(node, "run/control.sock")));
  for (const int node : {0, 1}) start_sshd(node);
}

TwoNodes::~TwoNodes() {
  for (const pid_t pid : sshd_) {
    if (pid <= 0) continue;
    ::kill(-pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  daemons.clear();
  for (const int node : {0, 1}) ::umount2(at(node, "full").c_str(), MNT_DETACH);
  std::error_code ignored;
  fs::remove_all(root, ignored);
}

std::string TwoNodes::at(int node, const std::string& inside) const {
  return fmt::format("{}/{}/{}", root, kNames[node], inside);
}

MirrorPaths TwoNodes::paths(int node) const {
  return {root + "/config", path("state"), path("run"), kNames[node], MIRROR_PROGRAM};
}

void TwoNodes::write_configuration() {
  write_file(root + "/config/secret.key", std::string(64, 'a') + "\n");
  ::chmod((root + "/config/secret.key").c_str(), 0600);
  write_file(root + "/config/cluster.toml", fmt::format(R"([cluster]
name = "test"
reference_hosts = ["10.99.2.250"]
secret = "{0}/config/secret.key"
[ssh]
identity = "{0}/key"
known_hosts = "{0}/known_hosts"
port = 2222
[node.serv1]
service = {{ nic = "eth0", address = "10.99.2.1/24" }}
heartbeat = {{ nic = "eth1", address = "10.99.1.1/24" }}
[node.serv2]
service = {{ nic = "eth0", address = "10.99.2.2/24" }}
heartbeat = {{ nic = "eth1", address = "10.99.1.2/24" }}
)",
                                                        root));
  write_file(root + "/config/services/web.toml", fmt::format(R"(addresses = ["10.99.2.20/24"]
units = ["nothing.service"]
[[mirror]]
name = "data"
paths = ["{0}/data/", "{0}/conf/etc/app.conf"]
exclude = ["*.tmp", "/{1}/data/cache/"]
via = "rsync"
mode = "interval"
backups = {{ keep = "30d", max = "1GiB" }}
[[mirror]]
name = "full"
paths = ["{0}/full/"]
via = "rsync"
mode = "interval"
)",
                                                             root, root.substr(1)));
  for (const char* name : kNames) {
    auto config = load_config(root + "/config", name);
    if (!config) {
      for (const auto& problem : config.error()) ADD_FAILURE() << describe(problem);
      throw std::runtime_error("the test's configuration is wrong");
    }
    configs.push_back(std::move(*config));
  }
}

void TwoNodes::enter(int node) const {
  const std::string ns = fmt::format("/proc/{}/ns/mnt", sshd_.at(static_cast<size_t>(node)));
  const int fd = ::open(ns.c_str(), O_RDONLY | O_CLOEXEC);
  require(fd >= 0 && ::setns(fd, CLONE_NEWNS) == 0, "setns");
  ::close(fd);
}

void TwoNodes::start_sshd(int node) {
  const std::string own = fmt::format("{}/{}", root, kNames[node]);
  const std::string public_key = read_file(root + "/key.pub");
  write_file(
      own + "/authorized_keys",
      fmt::format("command=\"env LD_PRELOAD={} ASAN_OPTIONS=verify_asan_link_order=0 SYNC_LOG={}/sync.log "
                  "{} --config-dir {}/config --state-dir {} --run-dir {} --node {} "
                  "receive-shell\",restrict {}",
                  SYNC_LOGGER, own, MIRROR_PROGRAM, root, path("state"), path("run"), kNames[node],
                  public_key));
  std::ofstream(root + "/known_hosts", std::ios::app) << fmt::format(
      "[10.99.1.{0}]:2222,[10.99.2.{0}]:2222 {1}", node + 1, read_file(root + "/host_key.pub"));
  int ready[2];
  require(::pipe2(ready, O_CLOEXEC) == 0, "pipe");
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    bool ok = ::unshare(CLONE_NEWNS) == 0;
    for (const char* folder : kFolders) {
      ok = ok && ::mount(at(node, folder).c_str(), path(folder).c_str(), nullptr, MS_BIND, nullptr) == 0;
    }
    if (!ok || ::write(ready[1], "x", 1) != 1) ::_exit(1);
    const int log = ::open((own + "/sshd.log").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::dup2(log, 2);
    ::execl("/usr/sbin/sshd", "/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-h",
            (root + "/host_key").c_str(), "-o", "PidFile=none", "-o", "UsePAM=no", "-o",
            "PermitRootLogin=yes", "-o", "StrictModes=no", "-o",
            fmt::format("AuthorizedKeysFile={}/authorized_keys", own).c_str(), "-o",
            fmt::format("ListenAddress=10.99.1.{}:2222", node + 1).c_str(), "-o",
            fmt::format("ListenAddress=10.99.2.{}:2222", node + 1).c_str(), static_cast<char*>(nullptr));
    ::_exit(1);
  }
  ::close(ready[1]);
  char c = 0;
  require(::read(ready[0], &c, 1) == 1, "mounts of the node");
  ::close(ready[0]);
  sshd_.at(static_cast<size_t>(node)) = pid;
  const std::string log = own + "/sshd.log";
  for (int i = 0; i < 600 && read_file(log).find("10.99.2.") == std::string::npos; ++i) ::usleep(20'000);
}

int TwoNodes::inside(int node, const std::function<int()>& body) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    int code = 99;
    try {
      enter(node);
      code = body();
    } catch (...) {
    }
    ::_exit(code);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

MirrorReport TwoNodes::run(int node, const std::string& mirror, MirrorReport::Kind kind, uint64_t epoch,
                           bool confirmed) {
  MirrorOrder order;
  order.service = ServiceId(size_t{0});
  const auto& mirrors = config(node).services.at(0).mirrors;
  for (size_t i = 0; i < mirrors.size(); ++i) {
    if (mirrors[i].name == mirror) order.mirror = MirrorId(i);
  }
  order.kind = kind;
  order.epoch.value = epoch;
  order.confirmed = confirmed;
  int pipe[2];
  require(::pipe2(pipe, O_CLOEXEC) == 0, "pipe");
  const int code = inside(node, [&] {
    RunControl control;
    const auto report = run_mirror(config(node), paths(node), order, control, [](const MirrorReport&) {});
    const std::string line = clusterd::mirror::write_report(config(node), report);
    return ::write(pipe[1], line.data(), line.size()) == static_cast<ssize_t>(line.size()) ? 0 : 1;
  });
  ::close(pipe[1]);
  EXPECT_EQ(code, 0);
  char text[64 * 1024];
  const ssize_t n = ::read(pipe[0], text, sizeof text);
  ::close(pipe[0]);
  auto report = clusterd::mirror::parse_report(config(node), {text, static_cast<size_t>(n > 1 ? n - 1 : 0)});
  EXPECT_TRUE(report.has_value());
  return report.value_or(MirrorReport{});
}

std::vector<std::string> TwoNodes::syncs(int node) const {
  std::istringstream text(read_file(fmt::format("{}/{}/sync.log", root, kNames[node])));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

std::string TwoNodes::differences(const std::string& inside) {
  return shell(fmt::format("rsync -aHAXS --numeric-ids --delete -n -i --checksum {}/ {}/", at(0, inside),
                           at(1, inside)));
}

}  // namespace clusterd
