// A client that asks the service every millisecond and notes when nobody answered.
//
//   probe icmp ADDRESS | probe udp ADDRESS PORT     (IPv4)
//
// Commands on stdin, answers on stdout, one line each: "report" prints what happened since the last "reset":
//   {"now", "sent", "answered", "first_answer", "last_answer", "longest_gap", "lateness",
//    "gaps": [{"from", "to", "ms", "asked"}]}
// A gap is the time between two answers that follow each other, when it is longer than 3 ms; `asked` is when
// the first request was sent that got no answer (or an answer only after the gap), so that a stalled client
// can be told from a silent service: `lateness` is the longest time by which this program itself was late.
// Times: CLOCK_MONOTONIC, seconds.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

namespace {

constexpr uint32_t kRing = 1 << 16;
constexpr double kShortestGap = 0.003;

double now_seconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

struct Gap {
  double from, to, asked;
};

class Probe {
 public:
  Probe(bool icmp, sockaddr_in to) : icmp_(icmp), to_(to), sent_at_(kRing, 0) {
    socket_ = icmp ? socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP)
                   : socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (socket_ < 0) die("socket");
    fcntl(socket_, F_SETFL, O_NONBLOCK);
    int size = 4 << 20;
    setsockopt(socket_, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    // Not connected: answers are told by their source address, errors of one request do not stop the next.
    timer_ = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    const itimerspec every{{0, 1'000'000}, {0, 1'000'000}};
    if (timer_ < 0 || timerfd_settime(timer_, 0, &every, nullptr) != 0) die("timer");
    magic_ = static_cast<uint32_t>(getpid()) * 2654435761U;
  }

  void run() {
    std::puts("ready");
    std::fflush(stdout);
    std::string input;
    for (;;) {
      pollfd waits[3] = {{socket_, POLLIN, 0}, {timer_, POLLIN, 0}, {0, POLLIN, 0}};
      if (poll(waits, 3, -1) < 0) continue;
      if (waits[0].revents != 0) receive();
      if (waits[1].revents != 0) tick();
      if (waits[2].revents != 0) {
        char buffer[256];
        const ssize_t got = read(0, buffer, sizeof buffer);
        if (got <= 0) return;
        input.append(buffer, static_cast<size_t>(got));
        for (size_t end; (end = input.find('\n')) != std::string::npos; input.erase(0, end + 1)) {
          command(input.substr(0, end));
        }
      }
    }
  }

 private:
  struct Payload {
    uint32_t magic, sequence;
  };

  void tick() {
    uint64_t times = 0;
    if (read(timer_, &times, sizeof times) != sizeof times) return;
    if (static_cast<double>(times - 1) / 1000 > lateness_) lateness_ = static_cast<double>(times - 1) / 1000;
    uint8_t packet[8 + sizeof(Payload)] = {};
    const Payload payload{magic_, ++sequence_};
    std::memcpy(packet + 8, &payload, sizeof payload);
    sent_at_[sequence_ % kRing] = now_seconds();
    ++sent_;
    if (icmp_) {
      packet[0] = ICMP_ECHO;
      std::memcpy(packet + 4, &magic_, 2);
      const auto low = htons(static_cast<uint16_t>(sequence_));
      std::memcpy(packet + 6, &low, 2);
      uint32_t sum = 0;
      for (size_t i = 0; i < sizeof packet; i += 2)
        sum += static_cast<uint32_t>(packet[i] << 8 | packet[i + 1]);
      while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
      const auto check = htons(static_cast<uint16_t>(~sum));
      std::memcpy(packet + 2, &check, 2);
      (void)sendto(socket_, packet, sizeof packet, 0, reinterpret_cast<sockaddr*>(&to_), sizeof to_);
    } else {
      (void)sendto(socket_, packet + 8, sizeof payload, 0, reinterpret_cast<sockaddr*>(&to_), sizeof to_);
    }
  }

  void receive() {
    for (;;) {
      uint8_t packet[256];
      sockaddr_in from{};
      socklen_t size = sizeof from;
      const ssize_t got =
          recvfrom(socket_, packet, sizeof packet, 0, reinterpret_cast<sockaddr*>(&from), &size);
      if (got < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK) return;
        continue;  // an ICMP error that was queued for the socket
      }
      if (from.sin_addr.s_addr != to_.sin_addr.s_addr) continue;
      size_t offset = 0;
      if (icmp_) {
        offset = static_cast<size_t>(packet[0] & 15) * 4;
        if (static_cast<size_t>(got) < offset + 8 || packet[offset] != ICMP_ECHOREPLY) continue;
        offset += 8;
      }
      Payload payload{};
      if (static_cast<size_t>(got) < offset + sizeof payload) continue;
      std::memcpy(&payload, packet + offset, sizeof payload);
      if (payload.magic == magic_) answer(payload.sequence);
    }
  }

  void answer(uint32_t sequence) {
    const double now = now_seconds();
    if (answered_ == 0) first_ = now;
    if (answered_ > 0 && now - last_ > kShortestGap && gaps_.size() < 10000) {
      const uint32_t missed = newest_ + 1;
      gaps_.push_back({last_, now, sent_at_[missed % kRing]});
    }
    if (answered_ > 0 && now - last_ > longest_) longest_ = now - last_;
    if (static_cast<int32_t>(sequence - newest_) > 0) newest_ = sequence;
    last_ = now;
    ++answered_;
  }

  void command(const std::string& line) {
    if (line == "reset") {
      sent_ = answered_ = 0;
      lateness_ = longest_ = first_ = 0;
      gaps_.clear();
      std::puts("{}");
    } else if (line == "report") {
      std::printf(
          "{\"now\": %.6f, \"sent\": %llu, \"answered\": %llu, \"first_answer\": %.6f, "
          "\"last_answer\": %.6f, \"longest_gap\": %.6f, \"lateness\": %.6f, \"gaps\": [",
          now_seconds(), static_cast<unsigned long long>(sent_), static_cast<unsigned long long>(answered_),
          first_, last_, longest_, lateness_);
      const char* comma = "";
      for (const Gap& gap : gaps_) {
        std::printf("%s{\"from\": %.6f, \"to\": %.6f, \"ms\": %.3f, \"asked\": %.6f}", comma, gap.from,
                    gap.to, (gap.to - gap.from) * 1e3, gap.asked);
        comma = ", ";
      }
      std::puts("]}");
    }
    std::fflush(stdout);
  }

  bool icmp_;
  sockaddr_in to_;
  int socket_ = -1, timer_ = -1;
  uint32_t magic_ = 0, sequence_ = 0, newest_ = 0;
  std::vector<double> sent_at_;
  uint64_t sent_ = 0, answered_ = 0;
  double first_ = 0, last_ = 0, longest_ = 0, lateness_ = 0;
  std::vector<Gap> gaps_;
};

}  // namespace

int main(int argc, char** argv) {
  const std::string kind = argc > 1 ? argv[1] : "";
  sockaddr_in to{};
  to.sin_family = AF_INET;
  if ((kind != "icmp" && kind != "udp") || argc != (kind == "udp" ? 4 : 3) ||
      inet_pton(AF_INET, argv[2], &to.sin_addr) != 1) {
    std::fprintf(stderr, "usage: probe icmp ADDRESS | probe udp ADDRESS PORT\n");
    return 2;
  }
  if (kind == "udp") to.sin_port = htons(static_cast<uint16_t>(std::atoi(argv[3])));
  const sched_param priority{10};  // the client must not be what is late; not allowed everywhere
  (void)sched_setscheduler(0, SCHED_RR, &priority);
  Probe(kind == "icmp", to).run();
}
