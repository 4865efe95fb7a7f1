// clusterd-check against real sockets and processes, and the daemon's checks that call it.
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "linux/check/dns.hpp"
#include "linux/check/http.hpp"
#include "linux/check/local.hpp"
#include "linux/fd.hpp"
#include "linux/units/linux_checks.hpp"
#include "unit/state/temporary_folder.hpp"

namespace clusterd {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

// A socket on a free port of loopback, and a thread that serves it until the end.
class Server {
 public:
  explicit Server(int type) : fd_(socket(AF_INET, type | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    if (type == SOCK_STREAM) {
      EXPECT_EQ(listen(fd_.get(), 10), 0);
    }
    getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  virtual ~Server() = default;
  [[nodiscard]] uint16_t port() const { return port_; }

 protected:
  void serve(std::function<void(int)> each) {
    thread_ = std::thread([this, each = std::move(each)] {
      while (!ending_) each(fd_.get());
    });
  }
  void end() {
    ending_ = true;
    shutdown(fd_.get(), SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
  }
  Fd fd_;
  uint16_t port_ = 0;
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

// Says the same to everybody.
class WebServer : public Server {
 public:
  explicit WebServer(std::string answer) : Server(SOCK_STREAM), answer_(std::move(answer)) {
    serve([this](int listener) {
      const Fd one(accept(listener, nullptr, nullptr));
      if (one.get() < 0) return;
      std::array<char, 4096> buffer;
      std::string request;
      while (request.find("\r\n\r\n") == std::string::npos) {
        const ssize_t n = recv(one.get(), buffer.data(), buffer.size(), 0);
        if (n <= 0) return;
        request.append(buffer.data(), static_cast<size_t>(n));
      }
      if (request_.empty()) request_ = request;
      for (size_t at = 0; at < answer_.size();) {
        const ssize_t n = send(one.get(), answer_.data() + at, answer_.size() - at, MSG_NOSIGNAL);
        if (n <= 0) return;
        at += static_cast<size_t>(n);
      }
    });
  }
  ~WebServer() override { end(); }
  std::string request_;

 private:
  const std::string answer_;
};

std::string answer(int status, const std::string& body) {
  return "HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\nConnection: close\r\n\r\n" + body;
}

HttpQuestion question(const Server& server) {
  HttpQuestion q;
  q.url = "http://www.example.org/health?x=1";
  q.connect = "127.0.0.1:" + std::to_string(server.port());
  q.timeout = 20s;
  return q;
}

TEST(Http, StatusAndBodyDecide) {
  WebServer server(answer(200, "all is well\n"));
  HttpQuestion q = question(server);
  EXPECT_TRUE(ask_http(q).good);
  EXPECT_THAT(server.request_, HasSubstr("GET /health?x=1 HTTP/1.1\r\nHost: www.example.org\r\n"));
  q.body = "is well";
  EXPECT_TRUE(ask_http(q).good);
  q.body = "is ill";
  const Verdict ill = ask_http(q);
  EXPECT_FALSE(ill.good);
  EXPECT_EQ(ill.text, "status 200, but the answer does not contain \"is ill\"");
  q.body.clear();
  q.status_least = 201;
  q.status_most = 299;
  EXPECT_EQ(ask_http(q).text, "status 200, wanted 201-299");
}

TEST(Http, AnErrorOfTheServerIsABadAnswerAndARedirectionAGoodOne) {
  WebServer broken(answer(503, "no database"));
  EXPECT_EQ(ask_http(question(broken)).text, "status 503, wanted 200-399");
  WebServer elsewhere("HTTP/1.1 302 X\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(ask_http(question(elsewhere)).text, "status 302");
}

TEST(Http, HostileAnswersAreBadOrCutShort) {
  WebServer nonsense("\x01\x02\x03 nonsense\r\n\r\n");
  EXPECT_FALSE(ask_http(question(nonsense)).good);
  WebServer silent("");
  EXPECT_FALSE(ask_http(question(silent)).good);
  WebServer endless("HTTP/1.1 200 X\r\n\r\n" + std::string(8 << 20, 'x'));
  HttpQuestion q = question(endless);
  EXPECT_TRUE(ask_http(q).good) << "its status is known";
  q.body = "y";
  EXPECT_THAT(ask_http(q).text, HasSubstr("the first 1 MiB of the answer does not contain"));
}

TEST(Http, NobodyThere) {
  HttpQuestion q;
  {
    const Server gone(SOCK_STREAM);
    q = question(gone);
  }
  const Verdict verdict = ask_http(q);
  EXPECT_FALSE(verdict.good);
  EXPECT_THAT(verdict.text, HasSubstr(q.connect));
}

// A name server that knows one name: www.example.org A 192.0.2.7, 192.0.2.8.
class NameServer : public Server {
 public:
  explicit NameServer(int code = 0, bool wrong_number = false) : Server(SOCK_DGRAM) {
    serve([code, wrong_number](int fd) {
      std::array<uint8_t, 1024> packet{};
      sockaddr_storage from{};
      socklen_t size = sizeof from;
      const ssize_t n = recvfrom(fd, packet.data(), 512, 0, reinterpret_cast<sockaddr*>(&from), &size);
      if (n < 12) return;
      std::vector<uint8_t> out(packet.begin(), packet.begin() + n);
      out[2] = 0x84;
      out[3] = static_cast<uint8_t>(code);
      const uint16_t type =
          static_cast<uint16_t>(out[static_cast<size_t>(n) - 4] << 8U | out[static_cast<size_t>(n) - 3]);
      if (code == 0 && type == ns_t_a) {
        out[7] = 2;
        for (const uint8_t last : {uint8_t{7}, uint8_t{8}})
          out.insert(out.end(), {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, last});
      }
      if (wrong_number) {
        std::vector<uint8_t> forged = out;
        forged[0] ^= 0xff;
        forged[3] = 3;
        sendto(fd, forged.data(), forged.size(), 0, reinterpret_cast<sockaddr*>(&from), size);
      }
      sendto(fd, out.data(), out.size(), 0, reinterpret_cast<sockaddr*>(&from), size);
    });
  }
  ~NameServer() override { end(); }
};

DnsQuestion dns(const Server& server) {
  DnsQuestion q;
  q.name = "www.example.org";
  q.server = *IpAddress::parse("127.0.0.1");
  q.port = server.port();
  q.timeout = 20s;
  return q;
}

TEST(Dns, AnAnswerOfTheRightTypeIsGood) {
  const NameServer server;
  DnsQuestion q = dns(server);
  EXPECT_EQ(ask_dns(q).text, "2 answers");
  EXPECT_TRUE(ask_dns(q).good);
  q.answer = "192.0.2.8";
  EXPECT_TRUE(ask_dns(q).good);
  q.answer = "192.0.2.9";
  const Verdict other = ask_dns(q);
  EXPECT_FALSE(other.good);
  EXPECT_EQ(other.text, "A of www.example.org is 192.0.2.7, not 192.0.2.9");
  q.answer.clear();
  q.type = "AAAA";
  EXPECT_EQ(ask_dns(q).text, "the server has no AAAA of www.example.org");
}

TEST(Dns, CodesOfTheServerAreExplained) {
  EXPECT_THAT(ask_dns(dns(NameServer(3))).text, HasSubstr("NXDOMAIN"));
  EXPECT_THAT(ask_dns(dns(NameServer(2))).text, HasSubstr("SERVFAIL"));
  EXPECT_THAT(ask_dns(dns(NameServer(5))).text, HasSubstr("REFUSED"));
}

TEST(Dns, AnAnswerToAnotherQuestionIsNone) {
  const NameServer server(0, true);
  EXPECT_TRUE(ask_dns(dns(server)).good) << "the forged NXDOMAIN before it does not count";
}

TEST(Dns, SilenceAndClosedPortsAreBad) {
  DnsQuestion q;
  {
    const Server mute(SOCK_DGRAM);
    q = dns(mute);
    q.timeout = 50ms;
    EXPECT_THAT(ask_dns(q).text, HasSubstr("no answer in time"));
  }
  q.timeout = 20s;
  EXPECT_THAT(ask_dns(q).text, HasSubstr("Connection refused"));
  EXPECT_FALSE(is_dns_type("AXFR"));
}

TEST(Process, LivesOrDoesNot) {
  const TemporaryFolder folder;
  const std::string program = folder.file("a-program-with-a-long-name");
  std::filesystem::copy_file("/bin/sleep", program);
  const pid_t pid = fork();
  if (pid == 0) {
    execl(program.c_str(), program.c_str(), "1000", nullptr);
    _exit(127);
  }
  while (!find_process("a-program-with-a-long-name").good) usleep(1000);  // until it has been executed
  folder.write("app.pid", std::to_string(pid) + "\n");
  EXPECT_TRUE(find_process(folder.file("app.pid")).good);
  EXPECT_FALSE(find_process("a-program-with-a-lo").good) << "not a part of its name";
  kill(pid, SIGKILL);
  siginfo_t info{};
  waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT);
  EXPECT_FALSE(find_process("a-program-with-a-long-name").good) << "a zombie does not live";
  EXPECT_THAT(find_process(folder.file("app.pid")).text, HasSubstr("does not live"));
  waitpid(pid, nullptr, 0);
  folder.write("app.pid", "-1\n");
  EXPECT_THAT(find_process(folder.file("app.pid")).text, HasSubstr("holds no number"));
  EXPECT_THAT(find_process(folder.file("none.pid")).text, HasSubstr("does not exist"));
}

// The daemon's checks, with the real program.
class Questions : public testing::Test {
 protected:
  Questions() {
    auto& service = config_.services.emplace_back();
    service.name = "web";
    service.addresses.push_back(*Prefix::parse("127.0.0.1/8"));
  }
  CheckReport first(CheckConfig check) {
    check.every = 10ms;
    check.timeout = 20s;
    config_.services[0].checks = {std::move(check)};
    std::vector<CheckReport> reports;
    LinuxChecks checks(
        loop_, config_, [&](Event event) { reports.push_back(std::get<CheckReport>(event)); },
        CLUSTERD_CHECK);
    checks.start(ServiceId(0));
    EXPECT_TRUE(loop_.run_until([&] { return !reports.empty(); }, 60s));
    return reports.empty() ? CheckReport{} : reports.front();
  }
  EventLoop loop_;
  Config config_;
};

TEST_F(Questions, Http) {
  const WebServer server(answer(200, "fine"));
  CheckConfig check;
  check.kind = CheckConfig::Kind::kHttp;
  check.target = "http://www.example.org/";
  check.port = server.port();
  EXPECT_EQ(first(check).detail, "status 200");
  check.body = "fine";
  EXPECT_TRUE(first(check).ok);
  check.body = "--fine";
  const CheckReport bad = first(check);
  EXPECT_FALSE(bad.ok);
  EXPECT_EQ(bad.detail, "status 200, but the answer does not contain \"--fine\"");
}

TEST_F(Questions, Dns) {
  const NameServer server;
  CheckConfig check;
  check.kind = CheckConfig::Kind::kDns;
  check.target = "www.example.org";
  check.port = server.port();
  EXPECT_EQ(first(check).detail, "2 answers");
  check.answer = "192.0.2.1";
  EXPECT_FALSE(first(check).ok);
}

TEST_F(Questions, Process) {
  CheckConfig check;
  check.kind = CheckConfig::Kind::kProcess;
  check.target = "test_check";
  EXPECT_TRUE(first(check).ok);
  check.target = "no-such-process";
  EXPECT_EQ(first(check).detail, "no process is called no-such-process");
}

TEST_F(Questions, AUnitWithoutSystemdIsABadAnswerThatSaysWhy) {
  CheckConfig check;
  check.kind = CheckConfig::Kind::kUnit;
  check.target = "no-such-thing.service";
  const CheckReport report = first(check);
  EXPECT_FALSE(report.ok);
  EXPECT_NE(report.detail, "");
}

TEST_F(Questions, AProgramThatIsMissingSaysSo) {
  CheckConfig check;
  check.kind = CheckConfig::Kind::kProcess;
  check.target = "x";
  check.every = 10ms;
  config_.services[0].checks = {check};
  std::vector<CheckReport> reports;
  LinuxChecks checks(
      loop_, config_, [&](Event event) { reports.push_back(std::get<CheckReport>(event)); },
      "/nowhere/clusterd-check");
  checks.start(ServiceId(0));
  ASSERT_TRUE(loop_.run_until([&] { return !reports.empty(); }, 60s));
  EXPECT_THAT(reports[0].detail, HasSubstr("/nowhere/clusterd-check"));
}

TEST_F(Questions, AnAgentIsAskedAtItsDepth) {
  const TemporaryFolder folder;
  setenv("OCF_ROOT", folder.path().c_str(), 1);
  std::filesystem::create_directories(folder.file("resource.d/test"));
  folder.write("resource.d/test/Deep",
               "#!/bin/sh\n[ $1 = monitor ] && [ $OCF_CHECK_LEVEL = 20 ] && exit 0\n"
               "echo ocf-exit-reason:asked at $OCF_CHECK_LEVEL >&2\nexit 1\n");
  std::filesystem::permissions(folder.file("resource.d/test/Deep"), std::filesystem::perms(0755));
  UnitConfig unit;
  unit.kind = UnitConfig::Kind::kOcf;
  unit.name = "app";
  unit.ocf.provider = "test";
  unit.ocf.type = "Deep";
  config_.services[0].units.push_back(unit);
  CheckConfig check;
  check.kind = CheckConfig::Kind::kOcf;
  check.target = "app";
  check.depth = 20;
  EXPECT_TRUE(first(check).ok);
  check.depth = 10;
  const CheckReport report = first(check);
  EXPECT_FALSE(report.ok);
  EXPECT_EQ(report.detail, "exit code 1 (error): asked at 10");
  unsetenv("OCF_ROOT");
}

}  // namespace
}  // namespace clusterd
