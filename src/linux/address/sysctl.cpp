#include "linux/address/sysctl.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

namespace clusterd {

namespace {

std::string path_of(const std::string& family, const std::string& nic, const std::string& key) {
  return "/proc/sys/net/" + family + "/conf/" + nic + "/" + key;
}

int read_sysctl(const std::string& family, const std::string& nic, const std::string& key) {
  const int fd = ::open(path_of(family, nic, key).c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  std::array<char, 16> text{};
  const ssize_t n = ::read(fd, text.data(), text.size() - 1);
  ::close(fd);
  return n > 0 ? std::atoi(text.data()) : -1;
}

// Writes only what differs: each write of some of these makes the kernel tell every listener.
void ensure(std::string& problems, const std::string& family, const std::string& nic, const std::string& key,
            int value) {
  if (read_sysctl(family, nic, key) == value || write_sysctl(family, nic, key, value)) return;
  problems += (problems.empty() ? "" : ", ") + family + "/" + nic + "/" + key;
}

}  // namespace

bool write_sysctl(const std::string& family, const std::string& nic, const std::string& key, int value) {
  const int fd = ::open(path_of(family, nic, key).c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const std::string text = std::to_string(value);
  const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  ::close(fd);
  return written;
}

std::string prepare_arp(const std::string& nic) {
  std::string problems;
  ensure(problems, "ipv4", nic, "arp_ignore", 1);
  ensure(problems, "ipv4", nic, "arp_announce", 2);
  // The larger of "all" and the NIC's own value counts, so 0 would not help where "all" is 1.
  if (read_sysctl("ipv4", nic, "rp_filter") == 1 || read_sysctl("ipv4", "all", "rp_filter") == 1)
    ensure(problems, "ipv4", nic, "rp_filter", 2);
  return problems;
}

std::string prepare_device(const std::string& device, bool ipv6) {
  std::string problems = prepare_arp(device);
  if (read_sysctl("ipv6", device, "disable_ipv6") < 0) return problems;  // a kernel without IPv6
  if (!ipv6) {
    ensure(problems, "ipv6", device, "disable_ipv6", 1);
    return problems;
  }
  ensure(problems, "ipv6", device, "accept_ra", 0);
  ensure(problems, "ipv6", device, "autoconf", 0);
  ensure(problems, "ipv6", device, "accept_dad", 0);
  ensure(problems, "ipv6", device, "disable_ipv6", 0);
  return problems;
}

}  // namespace clusterd
