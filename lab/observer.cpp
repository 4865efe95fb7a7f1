// Sees which node answers for a service address: every frame that enters the LAN switch from a node's port.
//
//   observer watch ADDRESS…        in the switch's network namespace. Reads commands from stdin, answers on
//   stdout. observer ask NIC ADDRESS…      on a host of the LAN: a broadcast ARP request (or a neighbour
//   solicitation) for
//                                  each address every 5 ms, so that whoever believes to own it says so.
//
// A frame counts as an answer when the service address speaks: IPv4 or IPv6 source, ARP sender, target of a
// neighbour advertisement. All ports are read through one packet socket, whose queue keeps the order of
// arrival. The frames are condensed to runs: {node, first, last, frames}; a new run begins when another node
// speaks. Commands: "report" prints {"runs": […], "now": …} on one line, "reset" forgets. Times:
// CLOCK_MONOTONIC, seconds.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <iostream>
#include <map>
#include <string>
#include <vector>

namespace {

using Address = std::array<uint8_t, 16>;  // IPv4 as ::ffff:a.b.c.d

double clock_seconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

Address from_v4(const uint8_t* bytes) {
  Address address{};
  address[10] = address[11] = 0xff;
  std::memcpy(&address[12], bytes, 4);
  return address;
}

Address parse(const char* text) {
  Address address{};
  uint8_t v4[4];
  if (inet_pton(AF_INET, text, v4) == 1) return from_v4(v4);
  if (inet_pton(AF_INET6, text, address.data()) == 1) return address;
  std::fprintf(stderr, "observer: %s is not an address\n", text);
  std::exit(2);
}

bool is_v4(const Address& address) {
  static const uint8_t prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return std::memcmp(address.data(), prefix, sizeof prefix) == 0;
}

struct Run {
  std::string node;
  double first = 0, last = 0, longest_gap = 0;
  uint64_t frames = 0;
  std::string mac;   // source of the newest frame
  std::string kind;  // what the first frame was
};

class Watcher {
 public:
  explicit Watcher(std::vector<Address> addresses) : addresses_(std::move(addresses)) {
    socket_ = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
    if (socket_ < 0) die("packet socket");
    int size = 64 << 20, on = 1;
    setsockopt(socket_, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    if (setsockopt(socket_, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) != 0) die("timestamps");
    fcntl(socket_, F_SETFL, O_NONBLOCK);
  }

  void run() {
    std::puts("ready");
    std::fflush(stdout);
    std::string input;
    for (;;) {
      pollfd waits[2] = {{socket_, POLLIN, 0}, {0, POLLIN, 0}};
      if (poll(waits, 2, -1) < 0) continue;
      drain();
      if (waits[1].revents != 0) {
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
  void drain() {
    for (;;) {
      uint8_t frame[256];
      sockaddr_ll from{};
      iovec part{frame, sizeof frame};
      alignas(cmsghdr) char control[128];
      msghdr message{};
      message.msg_name = &from;
      message.msg_namelen = sizeof from;
      message.msg_iov = &part;
      message.msg_iovlen = 1;
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      const ssize_t length = recvmsg(socket_, &message, 0);
      if (length < 0) return;
      if (from.sll_pkttype == PACKET_OUTGOING) continue;
      const char* kind = answer_kind(frame, static_cast<size_t>(length));
      if (kind == nullptr) continue;
      double at = clock_seconds(CLOCK_MONOTONIC);
      for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
          timespec stamp{};
          std::memcpy(&stamp, CMSG_DATA(c), sizeof stamp);
          const double wall = static_cast<double>(stamp.tv_sec) + static_cast<double>(stamp.tv_nsec) / 1e9;
          at -= clock_seconds(CLOCK_REALTIME) - wall;
        }
      }
      const std::string& node = node_of(from.sll_ifindex);
      if (!node.empty()) note(node, at, frame, kind);
    }
  }

  // The service address as the speaker of this frame, or nullptr.
  const char* answer_kind(const uint8_t* frame, size_t length) const {
    if (length < 14) return nullptr;
    const uint8_t* payload = frame + 14;
    const size_t rest = length - 14;
    const int type = frame[12] << 8 | frame[13];
    if (type == ETH_P_IP && rest >= 20 && watched(from_v4(payload + 12))) return "ipv4";
    if (type == ETH_P_ARP && rest >= 28 && watched(from_v4(payload + 14))) return "arp";
    if (type == ETH_P_IPV6 && rest >= 40) {
      Address address;
      std::memcpy(address.data(), payload + 8, 16);
      if (watched(address)) return "ipv6";
      if (payload[6] == 58 && rest >= 64 && payload[40] == 136) {
        std::memcpy(address.data(), payload + 48, 16);
        if (watched(address)) return "na";
      }
    }
    return nullptr;
  }

  bool watched(const Address& address) const {
    for (const Address& one : addresses_) {
      if (one == address) return true;
    }
    return false;
  }

  // "serv1-eth0" → "serv1"; "" for what is no node's port. Indices are never used twice within a namespace's
  // life.
  const std::string& node_of(int index) {
    const auto known = nodes_.find(index);
    if (known != nodes_.end()) return known->second;
    char name[IF_NAMESIZE] = "";
    if_indextoname(static_cast<unsigned>(index), name);
    const char* dash = std::strchr(name, '-');
    return nodes_[index] =
               dash == nullptr ? std::string() : std::string(name, static_cast<size_t>(dash - name));
  }

  void note(const std::string& node, double at, const uint8_t* frame, const char* kind) {
    if (runs_.empty() || runs_.back().node != node) {
      if (runs_.size() > 100000) runs_.erase(runs_.begin(), runs_.begin() + 50000);
      Run run;
      run.node = node;
      run.first = run.last = at;
      run.kind = kind;
      runs_.push_back(run);
    }
    Run& run = runs_.back();
    if (at - run.last > run.longest_gap) run.longest_gap = at - run.last;
    run.last = at;
    ++run.frames;
    char mac[18];
    std::snprintf(mac, sizeof mac, "%02x:%02x:%02x:%02x:%02x:%02x", frame[6], frame[7], frame[8], frame[9],
                  frame[10], frame[11]);
    run.mac = mac;
  }

  void command(const std::string& line) {
    if (line == "reset") {
      runs_.clear();
      std::puts("{}");
    } else if (line == "report") {
      std::printf("{\"now\": %.6f, \"runs\": [", clock_seconds(CLOCK_MONOTONIC));
      const char* comma = "";
      for (const Run& run : runs_) {
        std::printf(
            "%s{\"node\": \"%s\", \"first\": %.6f, \"last\": %.6f, \"longest_gap\": %.6f, "
            "\"frames\": %llu, \"mac\": \"%s\", \"kind\": \"%s\"}",
            comma, run.node.c_str(), run.first, run.last, run.longest_gap,
            static_cast<unsigned long long>(run.frames), run.mac.c_str(), run.kind.c_str());
        comma = ", ";
      }
      std::puts("]}");
    }
    std::fflush(stdout);
  }

  std::vector<Address> addresses_;
  int socket_ = -1;
  std::map<int, std::string> nodes_;
  std::vector<Run> runs_;
};

// --- asking ---------------------------------------------------------------------------------------------

uint16_t checksum(const uint8_t* data, size_t length, uint32_t sum) {
  for (size_t i = 0; i + 1 < length; i += 2) sum += static_cast<uint32_t>(data[i] << 8 | data[i + 1]);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

struct Self {
  int index;
  uint8_t mac[6];
  uint8_t v4[4];
};

std::vector<uint8_t> arp_request(const Self& self, const Address& target) {
  std::vector<uint8_t> frame(42, 0);
  std::memset(&frame[0], 0xff, 6);
  std::memcpy(&frame[6], self.mac, 6);
  const uint8_t head[10] = {0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1};
  std::memcpy(&frame[12], head, 10);
  std::memcpy(&frame[22], self.mac, 6);
  std::memcpy(&frame[28], self.v4, 4);
  std::memcpy(&frame[38], &target[12], 4);
  return frame;
}

// From our link-local address: the answers come back, whether or not we own what we say.
std::vector<uint8_t> solicitation(const Self& self, const Address& target) {
  std::vector<uint8_t> frame(14 + 40 + 32, 0);
  const uint8_t group[16] = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, target[13], target[14], target[15]};
  const uint8_t to[6] = {0x33, 0x33, 0xff, target[13], target[14], target[15]};
  std::memcpy(&frame[0], to, 6);
  std::memcpy(&frame[6], self.mac, 6);
  frame[12] = 0x86;
  frame[13] = 0xdd;
  frame[14] = 0x60;
  frame[19] = 32;
  frame[20] = 58;
  frame[21] = 255;
  const uint8_t source[16] = {0xfe,        0x80,        0,
                              0,           0,           0,
                              0,           0,           static_cast<uint8_t>(self.mac[0] ^ 2),
                              self.mac[1], self.mac[2], 0xff,
                              0xfe,        self.mac[3], self.mac[4],
                              self.mac[5]};
  std::memcpy(&frame[22], source, 16);
  std::memcpy(&frame[38], group, 16);
  frame[54] = 135;
  std::memcpy(&frame[62], target.data(), 16);
  frame[78] = 1;
  frame[79] = 1;
  std::memcpy(&frame[80], self.mac, 6);
  uint32_t pseudo = 32 + 58;
  for (size_t i = 22; i < 54; i += 2) pseudo += static_cast<uint32_t>(frame[i] << 8 | frame[i + 1]);
  const uint16_t sum = checksum(&frame[54], 32, pseudo);
  frame[56] = static_cast<uint8_t>(sum >> 8);
  frame[57] = static_cast<uint8_t>(sum);
  return frame;
}

[[noreturn]] void ask(const char* nic, const std::vector<Address>& addresses) {
  const int packet = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);  // 0: sends only
  if (packet < 0) die("packet socket");
  ifreq request{};
  std::strncpy(request.ifr_name, nic, IFNAMSIZ - 1);
  Self self{};
  if (ioctl(packet, SIOCGIFHWADDR, &request) != 0) die(nic);
  std::memcpy(self.mac, request.ifr_hwaddr.sa_data, 6);
  const int inet = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (ioctl(inet, SIOCGIFADDR, &request) != 0) die(nic);
  std::memcpy(self.v4, request.ifr_addr.sa_data + 2, 4);
  self.index = static_cast<int>(if_nametoindex(nic));
  std::vector<std::vector<uint8_t>> frames;
  for (const Address& address : addresses) {
    frames.push_back(is_v4(address) ? arp_request(self, address) : solicitation(self, address));
  }
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = self.index;
  to.sll_halen = 6;
  for (;;) {
    for (const auto& frame : frames) {
      std::memcpy(to.sll_addr, frame.data(), 6);
      (void)sendto(packet, frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof to);
    }
    const timespec pause{0, 5'000'000};
    nanosleep(&pause, nullptr);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  const int first = mode == "ask" ? 3 : 2;
  if ((mode != "ask" && mode != "watch") || argc <= first) {
    std::fprintf(stderr, "usage: observer watch ADDRESS… | observer ask NIC ADDRESS…\n");
    return 2;
  }
  std::vector<Address> addresses;
  for (int i = first; i < argc; ++i) addresses.push_back(parse(argv[i]));
  if (mode == "ask") ask(argv[2], addresses);
  Watcher(std::move(addresses)).run();
}
