// BpfGate::self_test: the gate against real packets, on the loopback NIC of a network namespace of its own.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "linux/gate/bpf_gate.hpp"
#include "linux/gate/gate_program.hpp"

namespace clusterd {

namespace {

constexpr const char* kGated = "127.0.0.9";
constexpr const char* kFree = "127.0.0.1";
constexpr int kPatienceMs = 2000;  // the loopback answers in microseconds; this is for a stalled machine

struct Socket {
  int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  Socket() = default;
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket() {
    if (fd >= 0) ::close(fd);
  }
};

sockaddr_in address(const char* text, uint16_t port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(port);
  ::inet_pton(AF_INET, text, &out.sin_addr);
  return out;
}

bool bind_to(int fd, const char* text, uint16_t port) {
  const sockaddr_in at = address(text, port);
  return ::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof(at)) == 0;
}

bool loopback_up() {
  const Socket control;
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP;
  return ::ioctl(control.fd, SIOCSIFFLAGS, &request) == 0;
}

// Sends from the gated address, then from a free one. Packets on the loopback keep their order, so when the
// second has come, the first either came before it or was dropped.
Result<bool> gated_packet_passes() {
  const Socket receiver, gated, free;
  if (!bind_to(receiver.fd, kFree, 9) || !bind_to(gated.fd, kGated, 0) || !bind_to(free.fd, kFree, 0))
    return fail(Code::kRetry, fmt::format("no sockets for the test: {}", std::strerror(errno)));
  const sockaddr_in to = address(kFree, 9);
  const auto* target = reinterpret_cast<const sockaddr*>(&to);
  (void)::sendto(gated.fd, "g", 1, 0, target, sizeof(to));  // a drop may be reported here: no matter
  if (::sendto(free.fd, "f", 1, 0, target, sizeof(to)) != 1)
    return fail(Code::kRefused, fmt::format("the gate holds up foreign packets: {}", std::strerror(errno)));
  bool passed = false;
  for (;;) {
    pollfd ready{receiver.fd, POLLIN, 0};
    char what = 0;
    if (::poll(&ready, 1, kPatienceMs) != 1 || ::recv(receiver.fd, &what, 1, 0) != 1)
      return fail(Code::kRefused, "a packet that is none of the gate's business was lost");
    if (what == 'f') return passed;
    passed = true;
  }
}

Result<void> expect_passing(bool expected, const char* when) {
  const auto passes = gated_packet_passes();
  if (!passes) return tl::unexpected(passes.error());
  if (*passes == expected) return {};
  return fail(Code::kRefused, fmt::format("the gate does not work on this kernel: {} packets {}", when,
                                          *passes ? "pass" : "are dropped"));
}

uint64_t boottime_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<uint64_t>(now.tv_nsec);
}

Result<void> run() {
  if (::unshare(CLONE_NEWNET) != 0) {
    return fail(Code::kConfig, fmt::format("the gate cannot be tried: no network namespace of its own ({})",
                                           std::strerror(errno)));
  }
  if (!loopback_up()) return fail(Code::kRetry, "the loopback of the test's network namespace stays down");
  auto program = GateProgram::load("");
  if (!program) return tl::unexpected(program.error());
  if (auto done = (*program)->put_address(*IpAddress::parse(kGated), 0); !done) return done;
  if (auto done = (*program)->attach("lo"); !done) return done;
  if (auto done = expect_passing(false, "with the gate shut"); !done) return done;
  (*program)->set_deadline(0, boottime_ns() + 3600ULL * 1'000'000'000U);
  if (auto done = expect_passing(true, "with the gate open"); !done) return done;
  (*program)->set_deadline(0, boottime_ns());
  return expect_passing(false, "after the deadline");
}

}  // namespace

Result<void> BpfGate::self_test() {
  Result<void> outcome;
  // A thread of its own, because it leaves the network namespace for good.
  std::thread worker([&outcome] { outcome = run(); });
  worker.join();
  return outcome;
}

}  // namespace clusterd
