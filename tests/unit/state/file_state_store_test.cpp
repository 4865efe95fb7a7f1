// The state on disk: what was written is read back; whatever else is in the file is not believed.
#include "linux/state/file_state_store.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "linux/state/state_file.hpp"
#include "unit/state/temporary_folder.hpp"

namespace clusterd {
namespace {

using namespace std::chrono_literals;

Config make_config(std::vector<std::string> services) {
  Config config;
  config.self = NodeId(0);
  for (auto& name : services) config.services.emplace_back().name = name;
  config.hosts.emplace_back().text = "192.0.2.1";
  config.hosts.emplace_back().text = "tcp://192.0.2.2:53";
  return config;
}

PersistedState make_state(size_t services) {
  PersistedState state;
  for (size_t i = 0; i < services; ++i) {
    PersistedService s;
    s.epoch.value = 7 + i * 2;
    s.data_epoch.value = 5;
    s.claimed.value = 9;
    s.active = i == 0;
    s.lineage = {Epoch{5}, Epoch{UINT64_MAX}, Epoch{1}};
    s.halted_mirrors = {"1", "odd \"name\"\n"};
    state.services.push_back(s);
  }
  state.hosts = {{true, true}, {false, false}};
  state.locked = true;
  state.lock_reason = "judged faulty";
  state.takeovers = {WallTime(123456789ns), WallTime(-1ns)};
  state.notice_sequence = 42;
  state.peer_watchdog = true;
  return state;
}

struct Store {
  EventLoop loop;
  Config config;
  std::vector<Persisted> events;
  FileStateStore store;

  Store(const std::string& folder, Config c)
      : config(std::move(c)),
        store(loop, config, folder, [this](Event event) { events.push_back(std::get<Persisted>(event)); }) {}
  bool wait(size_t count) {
    return loop.run_until([this, count] { return events.size() >= count; }, 30s);
  }
};

// A file as the store writes it.
std::string written_file() {
  const TemporaryFolder folder;
  Store store(folder.path(), make_config({"web", "files"}));
  store.store.persist(1, make_state(2));
  EXPECT_TRUE(store.wait(1));
  return folder.read("state.json");
}

void expect_fresh(const PersistedState& state, size_t services) {
  PersistedState fresh;
  fresh.services.resize(services);
  fresh.hosts.resize(2);
  EXPECT_EQ(state, fresh);
}

TEST(FileStateStore, ReadsBackWhatItWrote) {
  const TemporaryFolder folder;
  {
    Store store(folder.path(), make_config({"web", "files"}));
    store.store.persist(1, make_state(2));
    ASSERT_TRUE(store.wait(1));
    EXPECT_EQ(store.events[0].version, 1U);
    EXPECT_TRUE(store.events[0].ok) << store.events[0].detail;
  }
  Store again(folder.path(), make_config({"web", "files"}));
  const auto loaded = again.store.load();
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->state, make_state(2));
  EXPECT_FALSE(loaded->host_rebooted);
  EXPECT_EQ(loaded->warning, "");
  EXPECT_FALSE(folder.has("state.json.new"));
}

TEST(FileStateStore, AMissingFileIsAFreshNode) {
  const TemporaryFolder folder;
  Store store(folder.file("made/by/load"), make_config({"web"}));
  const auto loaded = store.store.load();
  ASSERT_TRUE(loaded);
  expect_fresh(loaded->state, 1);
  EXPECT_TRUE(loaded->state.hosts[0].in_standby_set);
  EXPECT_FALSE(loaded->state.hosts[0].in_active_set);
  EXPECT_TRUE(loaded->host_rebooted);
  EXPECT_NE(loaded->warning.find("no state file"), std::string::npos);
}

TEST(FileStateStore, AnUnusableFolderIsAnError) {
  const TemporaryFolder folder;
  folder.write("file", "");
  Store store(folder.file("file/below"), make_config({"web"}));
  const auto loaded = store.store.load();
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, Code::kConfig);
  EXPECT_NE(loaded.error().message.find(folder.file("file/below")), std::string::npos);
}

TEST(FileStateStore, AnswersEveryVersionInOrderAndWritesTheNewest) {
  const TemporaryFolder folder;
  Store store(folder.path(), make_config({"web"}));
  PersistedState state = make_state(1);
  for (uint64_t version = 1; version <= 50; ++version) {
    state.notice_sequence = version;
    store.store.persist(version, state);
  }
  EXPECT_TRUE(store.events.empty()) << "answered from inside the call";
  ASSERT_TRUE(store.wait(50));
  for (uint64_t i = 0; i < 50; ++i) {
    EXPECT_EQ(store.events[i].version, i + 1);
    EXPECT_TRUE(store.events[i].ok);
  }
  Store again(folder.path(), make_config({"web"}));
  EXPECT_EQ(again.store.load()->state.notice_sequence, 50U);
}

TEST(FileStateStore, WhatIsQueuedIsWrittenBeforeTheEnd) {
  const TemporaryFolder folder;
  {
    Store store(folder.path(), make_config({"web"}));
    store.store.persist(1, make_state(1));
  }
  Store again(folder.path(), make_config({"web"}));
  EXPECT_EQ(again.store.load()->state, make_state(1));
}

TEST(FileStateStore, NamesNotPositionsAreTheKeys) {
  const TemporaryFolder folder;
  {
    Store store(folder.path(), make_config({"web", "files"}));
    store.store.persist(1, make_state(2));
    ASSERT_TRUE(store.wait(1));
  }
  {
    // "web" is taken out of the configuration, "new" comes in.
    Store store(folder.path(), make_config({"new", "files"}));
    const auto loaded = store.store.load();
    ASSERT_TRUE(loaded);
    EXPECT_EQ(loaded->state.services[0], PersistedService{});
    EXPECT_EQ(loaded->state.services[1], make_state(2).services[1]);
    store.store.persist(2, loaded->state);
    ASSERT_TRUE(store.wait(1));
  }
  Store store(folder.path(), make_config({"web"}));
  EXPECT_EQ(store.store.load()->state.services[0], make_state(2).services[0])
      << "it must find its epochs again";
}

TEST(FileStateStore, EveryTruncationIsNoticed) {
  const std::string whole = written_file();
  ASSERT_TRUE(decode_state(whole));
  for (size_t length = 0; length < whole.size(); ++length) {
    const auto decoded = decode_state(whole.substr(0, length));
    ASSERT_FALSE(decoded) << length;
    ASSERT_EQ(decoded.error().code, Code::kCorrupt);
    ASSERT_NE(decoded.error().message, "");
  }
}

TEST(FileStateStore, EveryFlippedBitIsNoticed) {
  std::string text = written_file();
  for (size_t i = 0; i < text.size() * 8; ++i) {
    text[i / 8] = static_cast<char>(text[i / 8] ^ (1 << (i % 8)));
    ASSERT_FALSE(decode_state(text)) << i;
    text[i / 8] = static_cast<char>(text[i / 8] ^ (1 << (i % 8)));
  }
  EXPECT_TRUE(decode_state(text));
}

TEST(FileStateStore, AppendedAndOversizedFilesAreNoticed) {
  const std::string text = written_file();
  EXPECT_FALSE(decode_state(text + "\n"));
  EXPECT_FALSE(decode_state(text + text));
  EXPECT_FALSE(decode_state(text + std::string(kMaxStateBytes, ' ')));
}

TEST(FileStateStore, ADamagedFileIsLikeALostOneAndKept) {
  const std::string text = written_file();
  const TemporaryFolder folder;
  for (int round = 1; round <= 2; ++round) {
    const std::string damaged = text.substr(0, text.size() / 2);
    folder.write("state.json", damaged);
    Store store(folder.path(), make_config({"web", "files"}));
    const auto loaded = store.store.load();
    ASSERT_TRUE(loaded);
    expect_fresh(loaded->state, 2);
    EXPECT_TRUE(loaded->host_rebooted);
    EXPECT_NE(loaded->warning.find("damaged"), std::string::npos);
    EXPECT_NE(loaded->warning.find("clusterctl"), std::string::npos) << "no remedy: " << loaded->warning;
    EXPECT_EQ(folder.read("state.json.damaged-" + std::to_string(round)), damaged);
    EXPECT_FALSE(folder.has("state.json"));
  }
}

TEST(FileStateStore, NoFileButAPlainFileIsRead) {
  const TemporaryFolder folder;
  const TemporaryFolder elsewhere;
  elsewhere.write("state", written_file());
  std::filesystem::create_symlink(elsewhere.file("state"), folder.file("state.json"));
  Store store(folder.path(), make_config({"web", "files"}));
  expect_fresh(store.store.load()->state, 2);
  std::filesystem::create_directory(folder.file("state.json"));
  expect_fresh(store.store.load()->state, 2);
}

TEST(FileStateStore, WrongTypesAreDamageEvenUnderARightChecksum) {
  // encode_state with members of the wrong kind: made by writing a valid body that says something else.
  StateFile file;
  file.services["web"].lineage.assign(kMaxLineage + 1, Epoch{1});
  const auto decoded = decode_state(encode_state(file));
  ASSERT_FALSE(decoded);
  EXPECT_NE(decoded.error().message.find("lineage"), std::string::npos);
}

TEST(FileStateStore, WhatCouldNotBeReadBackIsNotWritten) {
  const TemporaryFolder folder;
  Store store(folder.path(), make_config({"web"}));
  PersistedState state = make_state(1);
  store.store.persist(1, state);
  ASSERT_TRUE(store.wait(1));
  state.services[0].lineage.assign(kMaxLineage + 1, Epoch{1});
  store.store.persist(2, state);
  ASSERT_TRUE(store.wait(2));
  EXPECT_FALSE(store.events[1].ok);
  Store again(folder.path(), make_config({"web"}));
  EXPECT_EQ(again.store.load()->state, make_state(1));
}

TEST(FileStateStore, HostileTextsDoNotMakeTheFileUnreadable) {
  const TemporaryFolder folder;
  Store store(folder.path(), make_config({"web"}));
  PersistedState state = make_state(1);
  state.lock_reason = std::string("\xff\xfe \0 \xc3\x28 ", 8) + std::string(100000, 'x');
  store.store.persist(1, state);
  ASSERT_TRUE(store.wait(1));
  ASSERT_TRUE(store.events[0].ok) << store.events[0].detail;
  Store again(folder.path(), make_config({"web"}));
  const auto loaded = again.store.load();
  EXPECT_EQ(loaded->warning, "");
  EXPECT_TRUE(loaded->state.locked);
}

TEST(FileStateStore, AnotherBootOfTheKernelIsNoticed) {
  const TemporaryFolder folder;
  folder.write("boot_id", "first-boot\n");
  setenv("CLUSTERD_BOOT_ID_FILE", folder.file("boot_id").c_str(), 1);
  {
    Store store(folder.path(), make_config({"web"}));
    store.store.persist(1, make_state(1));
    ASSERT_TRUE(store.wait(1));
  }
  {
    Store same(folder.path(), make_config({"web"}));
    EXPECT_FALSE(same.store.load()->host_rebooted);
  }
  folder.write("boot_id", "second-boot\n");
  {
    Store other(folder.path(), make_config({"web"}));
    EXPECT_TRUE(other.store.load()->host_rebooted);
  }
  folder.write("boot_id", "");
  Store unknown(folder.path(), make_config({"web"}));
  EXPECT_TRUE(unknown.store.load()->host_rebooted) << "what cannot be said must count as a reboot";
  unsetenv("CLUSTERD_BOOT_ID_FILE");
}

// Runs `test` in a child with a mount namespace of its own and a tiny tmpfs at `folder`.
void with_tiny_disk(const std::string& folder, const std::function<int()>& test) {
  const pid_t pid = fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=64k") != 0) {
      _exit(77);
    }
    _exit(test());
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFEXITED(status)) << status;
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "no mount namespaces here";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(FileStateStore, AFullDiskIsReportedAndHarmsNothing) {
  const TemporaryFolder folder;
  with_tiny_disk(folder.path(), [&] {
    Store store(folder.path(), make_config({"web"}));
    store.store.persist(1, make_state(1));
    if (!store.wait(1) || !store.events[0].ok) return 1;
    folder.write("ballast", std::string(100000, 'x'));
    PersistedState next = make_state(1);
    next.notice_sequence = 43;
    store.store.persist(2, next);
    if (!store.wait(2) || store.events[1].ok || store.events[1].detail.find("No space") == std::string::npos)
      return 2;
    {
      Store again(folder.path(), make_config({"web"}));
      const auto loaded = again.store.load();
      if (!loaded || loaded->state != make_state(1)) return 3;
    }
    std::filesystem::remove(folder.file("ballast"));
    store.store.persist(3, next);
    if (!store.wait(3) || !store.events[2].ok) return 4;
    Store again(folder.path(), make_config({"web"}));
    return again.store.load()->state == next ? 0 : 5;
  });
}

TEST(FileStateStore, AReadOnlyDiskIsReported) {
  const TemporaryFolder folder;
  with_tiny_disk(folder.path(), [&] {
    Store store(folder.path(), make_config({"web"}));
    store.store.persist(1, make_state(1));
    if (!store.wait(1) || !store.events[0].ok) return 1;
    if (mount("none", folder.path().c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) != 0) return 77;
    store.store.persist(2, make_state(1));
    if (!store.wait(2) || store.events[1].ok) return 2;
    return store.events[1].detail.find("Read-only") != std::string::npos ? 0 : 3;
  });
}

}  // namespace
}  // namespace clusterd
