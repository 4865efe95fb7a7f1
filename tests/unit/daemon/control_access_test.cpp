// Who may do what on the control socket, tried with processes that really are somebody else.
#include <fcntl.h>
#include <grp.h>

#include <array>
#include <fstream>
#include <numeric>
#include <optional>

#include "control_bench.hpp"

namespace clusterd {
namespace {

using namespace testing;  // NOLINT: control_bench.hpp

TEST(AccessGroups, AreReadFromTheFileAlone) {
  EXPECT_EQ(parse_groups("root:x:0:\nclusterd:x:998:monitor\nclusterd-admin:x:997:anna,berta\n"),
            (AccessGroups{998, 997}));
  EXPECT_EQ(parse_groups("clusterd-admin::7"), (AccessGroups{std::nullopt, 7}));
  EXPECT_EQ(parse_groups("clusterd:x:5:\nclusterd:x:6:\n"), (AccessGroups{5, std::nullopt}));
  for (const char* none : {"", "\n\n", "clusterd", "clusterd:", "clusterd:x:", "clusterd:x:-1:",
                           "clusterd:x:1x:", "clusterd:x:4294967295:", "clusterd:x:99999999999:",
                           "#clusterd:x:5:", " clusterd:x:5:", "clusterdd:x:5:", "clusterd-admin-x:x:5:"}) {
    EXPECT_EQ(parse_groups(none), AccessGroups{}) << none;
  }
  EXPECT_EQ(access_groups("/nonexistent"), AccessGroups{});
}

TEST(AccessGroups, SayWhatEachMayDo) {
  EXPECT_EQ(access_of({1, 0, {0}}, {}), Access::kAdmin);
  EXPECT_EQ(access_of({1, 1000, {4001}}, {}), Access::kNone) << "no group, no member";
  EXPECT_EQ(access_of({1, 1000, {1000, 4001}}, kGroups), Access::kRead);
  EXPECT_EQ(access_of({1, 1000, {1000, 4001, 4002}}, kGroups), Access::kAdmin);
  EXPECT_EQ(access_of({1, 1000, {4002}}, kGroups), Access::kAdmin);
  EXPECT_EQ(access_of({1, 1000, {1000}}, kGroups), Access::kNone);
}

// What a stranger sees: the daemon is tested from outside, so the answers come through this pipe of one byte.
enum Outcome : uint8_t { kServed = 1, kForbidden, kForbiddenWithRemedy, kNotConnected, kOther, kNoStranger };

class ControlAccess : public ControlServerTest {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
    ControlServerTest::SetUp();
    ASSERT_EQ(::chmod(folder_.c_str(), 0755), 0);
    serve();
  }

  // One request by a process of user 65534 with these groups.
  Outcome ask(gid_t primary, const std::vector<gid_t>& groups, const std::string& request,
              const char* remedy) {
    const pid_t child = ::fork();
    if (child == 0) {
      if (::setgroups(groups.size(), groups.data()) != 0 || ::setresgid(primary, primary, primary) != 0 ||
          ::setresuid(65534, 65534, 65534) != 0) {
        ::_exit(kNoStranger);
      }
      Client client(path_);
      if (!client.connected()) ::_exit(kNotConnected);
      client.send(request);
      pollfd poller{client.fd(), POLLIN, 0};
      while (!client.has("\r\n\r\n") && ::poll(&poller, 1, 20'000) > 0 && !client.closed()) {
      }
      if (client.has("200 OK")) ::_exit(kServed);
      if (!client.has("403 Forbidden")) ::_exit(kOther);
      ::_exit(client.has(remedy) ? kForbiddenWithRemedy : kForbidden);
    }
    int status = -1;
    bool ended = false;
    EXPECT_TRUE(until([&] { return ended = ended || ::waitpid(child, &status, WNOHANG) == child; }));
    return WIFEXITED(status) ? static_cast<Outcome>(WEXITSTATUS(status)) : kOther;
  }
  Outcome look(gid_t primary, const std::vector<gid_t>& groups) {
    return ask(primary, groups, get("/v1/status", "Connection: close\r\n"), "usermod -aG clusterd NAME");
  }
  Outcome act(gid_t primary, const std::vector<gid_t>& groups) {
    return ask(primary, groups, post(R"({"kind":"stop-services"})"), "usermod -aG clusterd-admin NAME");
  }
};

TEST_F(ControlAccess, ReadersMayLookAndNotAct) {
  EXPECT_EQ(look(65534, {4001}), kServed);
  EXPECT_EQ(look(4001, {}), kServed) << "the primary group is one of a process's groups";
  EXPECT_EQ(act(65534, {4001}), kForbiddenWithRemedy);
  EXPECT_EQ(act(4001, {}), kForbiddenWithRemedy);
  EXPECT_TRUE(backend_.requests.empty());
  EXPECT_EQ(server_->stats().refused, 2U);
  EXPECT_EQ(ask(65534, {4001}, post("{}", "/v1/likeness"), "usermod -aG clusterd-admin NAME"),
            kForbiddenWithRemedy);
  EXPECT_TRUE(backend_.reports.empty());
}

TEST_F(ControlAccess, AdministratorsMayDoBothWithoutBeingReaders) {
  EXPECT_EQ(look(65534, {4002}), kServed);
  EXPECT_EQ(act(65534, {4002}), kServed);
  EXPECT_EQ(act(4002, {}), kServed);
  EXPECT_EQ(backend_.requests.size(), 2U);
}

TEST_F(ControlAccess, ManyGroupsAreAllLookedAt) {
  std::vector<gid_t> groups(3000);
  std::iota(groups.begin(), groups.end(), 10'000);
  EXPECT_EQ(look(65534, groups), kNotConnected);
  groups.push_back(4002);
  EXPECT_EQ(act(65534, groups), kServed);
}

TEST_F(ControlAccess, StrangersDoNotEvenConnect) {
  EXPECT_EQ(look(65534, {}), kNotConnected);
  EXPECT_EQ(act(65534, {4000, 4003}), kNotConnected);
  EXPECT_EQ(look(0, {0}), kNotConnected) << "root's group is not root";
  EXPECT_EQ(server_->stats().accepted, 0U);
}

// Were it not for the file's permissions, the kernel's word still counts.
TEST_F(ControlAccess, StrangersGetNothingThroughALooseSocketEither) {
  ASSERT_EQ(::chmod(path_.c_str(), 0666), 0);
  EXPECT_EQ(look(65534, {}), kForbiddenWithRemedy);
  EXPECT_EQ(act(65534, {}), kForbiddenWithRemedy);
  EXPECT_TRUE(backend_.requests.empty());
}

TEST_F(ControlAccess, WithoutGroupsOnlyRootMay) {
  serve({}, {});
  struct stat info {};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777U, 0600U);
  EXPECT_EQ(look(65534, {4001, 4002}), kNotConnected);
  EXPECT_TRUE(serves());
  EXPECT_NE(refusal(Access::kAdmin, {}, 1000).find("groupadd --system clusterd-admin"), std::string::npos);
}

TEST_F(ControlAccess, TheSocketIsRootsAlone) {
  struct stat info {};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 0U);
  EXPECT_EQ(info.st_gid, 0U);
  EXPECT_EQ(info.st_mode & 07U, 0U) << "nothing for others";
}

// Somebody who may only look cannot keep out those who may act, however many connections he holds.
TEST_F(ControlAccess, ReadersPushOutOnlyReaders) {
  ControlLimits limits;
  limits.max_connections = 4;
  serve(limits);
  Client admin(path_);
  ASSERT_TRUE(until([&] { return server_->connections() == 1; }));
  std::array<int, 2> ready{}, go{};
  ASSERT_EQ(::pipe2(ready.data(), O_CLOEXEC), 0);
  ASSERT_EQ(::pipe2(go.data(), O_CLOEXEC), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const gid_t group = 4001;
    if (::setgroups(1, &group) != 0 || ::setresgid(65534, 65534, 65534) != 0 ||
        ::setresuid(65534, 65534, 65534) != 0)
      ::_exit(9);
    std::vector<std::unique_ptr<Client>> crowd;
    for (int i = 0; i < 20; ++i) crowd.push_back(std::make_unique<Client>(path_));
    (void)!::write(ready[1], "r", 1);
    char byte = 0;
    ::close(go[1]);
    (void)!::read(go[0], &byte, 1);
    ::_exit(0);
  }
  EXPECT_TRUE(until([&] { return server_->stats().accepted == 21; }));
  EXPECT_EQ(server_->connections(), 4U);
  EXPECT_FALSE(admin.closed());
  admin.send(get("/v1/status"));
  EXPECT_TRUE(gets(admin, "serv1"));
  // Four connections of those who may act leave no reader, and let none in.
  std::vector<std::unique_ptr<Client>> admins;
  for (int i = 0; i < 3; ++i) admins.push_back(std::make_unique<Client>(path_));
  EXPECT_TRUE(until([&] { return server_->stats().accepted == 24; }));
  EXPECT_EQ(look(65534, {4001}), kOther) << "hung up on, for once";
  EXPECT_TRUE(serves());
  ::close(go[1]);
  ::waitpid(child, nullptr, 0);
  for (const int fd : {ready[0], ready[1], go[0]}) ::close(fd);
}

}  // namespace
}  // namespace clusterd
