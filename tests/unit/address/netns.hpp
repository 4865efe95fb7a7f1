// Network namespaces, a switch and a private BPF filesystem for tests that need a real kernel.
//
// Nothing has a name on the host: namespaces and mounts vanish with the process, however it ends. A test runs
// code "on a node" with `node.in([&] { … })`; sockets that were opened there stay there. One thread only.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <utility>

namespace clusterd::test {

struct Output {
  int status = -1;
  std::string text;
};

inline Output shell(const std::string& command) {
  Output out;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return out;
  std::array<char, 4096> buffer{};
  for (size_t n; (n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;)
    out.text.append(buffer.data(), n);
  const int status = ::pclose(pipe);
  out.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return out;
}

class Netns {
 public:
  Netns() {
    const int home = open_current();
    if (::unshare(CLONE_NEWNET) != 0) std::abort();
    fd_ = open_current();
    // Addresses of the test's own NICs must be usable at once.
    (void)shell(
        "ip link set lo up; echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad;"
        "echo 0 > /proc/sys/net/ipv6/conf/default/accept_ra");
    if (::setns(home, CLONE_NEWNET) != 0) std::abort();
    ::close(home);
  }
  ~Netns() { ::close(fd_); }
  Netns(const Netns&) = delete;
  Netns& operator=(const Netns&) = delete;

  template <class F>
  auto in(F&& f) const {
    const Guard guard(fd_);
    return std::forward<F>(f)();
  }
  // Runs a shell command on the node.
  Output run(const std::string& command) const {
    return in([&] { return shell(command); });
  }
  // The same, and it must succeed.
  void must(const std::string& command) const {
    const Output out = run(command);
    ASSERT_EQ(out.status, 0) << command << ": " << out.text;
  }
  // sysfs would show the NICs of the namespace in which it was mounted.
  [[nodiscard]] std::string mac(const std::string& nic) const {
    return run("ip -o link show dev " + nic + " | sed 's|.* link/ether \\([^ ]*\\) .*|\\1|' | tr -d '\\n'")
        .text;
  }
  [[nodiscard]] std::string path() const {
    return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(fd_);
  }

 private:
  struct Guard {
    explicit Guard(int to) : home(open_current()) {
      if (::setns(to, CLONE_NEWNET) != 0) std::abort();
    }
    ~Guard() {
      if (::setns(home, CLONE_NEWNET) != 0) std::abort();
      ::close(home);
    }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;
    int home;
  };
  static int open_current() { return ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC); }
  int fd_ = -1;
};

// A bridge in a namespace of its own.
class Lan {
 public:
  Lan() { switch_.must("ip link add name lan type bridge mcast_snooping 0 && ip link set lan up"); }

  // Plugs a cable between the node's new NIC and the switch's port of the given name.
  void plug(const Netns& node, const std::string& nic, const std::string& port) const {
    switch_.must("ip link add " + port + " type veth peer name " + nic + " netns " + node.path() +
                 " && ip link set " + port + " master lan up");
  }
  // A client or router with its addresses: "10.7.0.1/24 fd07::1/64".
  void host(const Netns& node, const std::string& port, const std::string& addresses) const {
    plug(node, "eth0", port);
    node.must("ip link set eth0 up; for a in " + addresses +
              "; do ip addr add $a dev eth0 nodad || exit 1; done");
  }
  // The port at which the switch has learned the MAC; empty if none.
  [[nodiscard]] std::string port_of(const std::string& mac) const {
    const Output out = switch_.run("bridge fdb show br lan | grep -v permanent | grep -i '^" + mac +
                                   " ' | sed 's/.* dev \\([^ ]*\\).*/\\1/' | head -1");
    return out.text.substr(0, out.text.find('\n'));
  }
  [[nodiscard]] const Netns& box() const { return switch_; }

 private:
  Netns switch_;
};

// Whether this process may make namespaces; made once. Also gives the process a mount namespace of its own
// with a BPF filesystem.
class Privileges {
 public:
  static Privileges& get() {
    static Privileges instance;
    return instance;
  }
  [[nodiscard]] bool ok() const { return ok_; }
  // A folder on the BPF filesystem that no other test uses.
  [[nodiscard]] std::string pin_dir() { return dir_ + "/" + std::to_string(++count_); }
  [[nodiscard]] const std::string& bpffs() const { return dir_; }

 private:
  Privileges() {
    if (::geteuid() != 0) return;
    if (::unshare(CLONE_NEWNS) != 0) return;
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return;
    std::array<char, 32> name{"/tmp/cdt-address-XXXXXX"};
    if (::mkdtemp(name.data()) == nullptr) return;
    dir_ = name.data();
    ok_ = ::mount("bpf", dir_.c_str(), "bpf", 0, nullptr) == 0;
  }
  ~Privileges() {
    if (dir_.empty()) return;
    if (ok_) ::umount2(dir_.c_str(), MNT_DETACH);
    ::rmdir(dir_.c_str());
  }
  bool ok_ = false;
  std::string dir_;
  int count_ = 0;
};

#define CLUSTERD_NEEDS_ROOT()                    \
  if (!::clusterd::test::Privileges::get().ok()) \
  GTEST_SKIP() << "needs root with CAP_SYS_ADMIN and CAP_NET_ADMIN (network namespaces, a BPF filesystem)"

}  // namespace clusterd::test
