// Mirror runs towards a target whose power is cut. The target's files, backup sets and manifests are on the
// virtual disk; the source lives in memory, is in the same tree at the same run after each start, and has a
// view of the file system of its own (mount namespace), as it would have on another machine. Between them is
// no sshd: the program is its own `ssh`, which starts `clusterd-mirror receive-shell` in the target's view.
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>
#include <set>

#include "config/load.hpp"
#include "content.hpp"
#include "guest.hpp"
#include "linux/mirror/backups.hpp"
#include "linux/mirror/files.hpp"
#include "linux/mirror/run.hpp"

namespace clusterd::machine {
namespace {

namespace fs = std::filesystem;

const std::string kRoot = "/srv/data";
constexpr const char* kState = "/var/lib/clusterd";
constexpr const char* kRun = "/run/clusterd";
constexpr size_t kSetsKept = 5;

void require(bool ok, const std::string& what) {
  if (!ok) give_up(what + ": " + std::strerror(errno));
}

void enter_target() {
  const int fd = ::open("/proc/1/ns/mnt", O_RDONLY | O_CLOEXEC);
  require(fd >= 0 && ::setns(fd, CLONE_NEWNS) == 0, "setns");
  ::close(fd);
}

// Runs `body` in a child with the target's view of the files.
void in_target(const std::function<void()>& body) {
  const pid_t pid = ::fork();
  require(pid >= 0, "fork");
  if (pid == 0) {
    enter_target();
    body();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (status != 0) give_up("a step on the target has failed");
}

void durable_folder(const std::string& path) {
  if (auto ok = make_directories(path, 0755); !ok) give_up(ok.error().message);
  if (auto ok = sync_directory(fs::path(path).parent_path()); !ok) give_up(ok.error().message);
}

// ---- what is there: every fact is a line, and the outside judges ----

std::string content_at(const mirror::Entry& entry) {
  if (entry.type == 'l') {
    std::error_code error;
    return fs::read_symlink(entry.path, error);
  }
  auto text = read_whole_file(entry.path, size_t{1} << 30);
  return text ? *text : "unreadable: " + text.error().message;
}

// "WORD MTIME PATH WHAT" for everything below the folder but folders.
void tell_files(const std::string& word, const std::string& folder) {
  const auto walk = walk_trees({folder}, {});
  while (true) {
    auto entry = walk();
    if (!entry) give_up(entry.error().message);
    if (!*entry) return;
    if ((*entry)->type == 'd') continue;
    tell(fmt::format("{} {} {} {}", word, (*entry)->mtime_ns, (*entry)->path.substr(folder.size() + 1),
                     identify(content_at(**entry))));
  }
}

void tell_set(const BackupSet& set) {
  tell(fmt::format("set {} {} {}", set.name, set.complete ? "complete" : "open", set.lost));
  const std::string files = fmt::format("{}/backups/{}/{}/files{}", kState, set.service, set.name, kRoot);
  if (::access(files.c_str(), F_OK) == 0) tell_files("kept " + set.name, files);
  auto report = show_backup(kState, set.service, set.name);
  if (!report) return tell(fmt::format("bad-set {} {}", set.name, report.error().message));
  for (const LostFile& lost : report->lost) {
    if (lost.type == "directory") continue;
    tell(fmt::format("lost {} {} {}", set.name, lost.change, lost.path.substr(kRoot.size() + 1)));
  }
}

void tell_manifest() {
  auto manifest = ManifestFile::open(manifest_path(kState, "web", "data"));
  if (!manifest) return tell("bad-manifest " + manifest.error().message);
  if (!*manifest) return tell("no-manifest");
  const auto entries = entries_of(manifest->get());
  while (true) {
    auto entry = entries();
    if (!entry) return tell("bad-manifest " + entry.error().message);
    if (!*entry) break;
    if ((*entry)->type == 'd') continue;
    tell(fmt::format("agreed {} {} {}", (*entry)->mtime_ns, (*entry)->path.substr(kRoot.size() + 1),
                     (*entry)->size));
  }
}

void tell_everything() {
  in_target([] {
    tell("scan");
    tell_files("file", kRoot);
    auto sets = list_backups(kState, "web");
    if (!sets) give_up(sets.error().message);
    for (const auto& set : *sets) tell_set(set);
    tell_manifest();
    tell("scanned");
  });
}

// ---- the source ----

void put(const std::string& path, const std::string& content, bool link, int64_t mtime_ns) {
  fs::create_directories(fs::path(path).parent_path());
  fs::remove(path);
  if (link) {
    fs::create_symlink(content, path);
  } else {
    const Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    require(fd.valid() &&
                ::write(fd.get(), content.data(), content.size()) == static_cast<ssize_t>(content.size()),
            "write " + path);
  }
  const timespec times[2] = {{0, UTIME_OMIT}, {mtime_ns / 1'000'000'000, mtime_ns % 1'000'000'000}};
  require(::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW) == 0, "utimensat");
}

class Source {
 public:
  void become(uint64_t run) {
    SourceTree next = source_tree(run);
    for (const auto& [path, file] : now_) {
      if (next.contains(path)) continue;
      fs::remove(kRoot + "/" + path);
      const fs::path folder = fs::path(kRoot + "/" + path).parent_path();
      if (path.starts_with("e")) fs::remove(folder);
    }
    for (const auto& [path, file] : next) {
      const auto old = now_.find(path);
      if (old != now_.end() && old->second == file) continue;
      put(kRoot + "/" + path, source_content(file), is_link(file.file), source_mtime_ns(file));
    }
    now_ = std::move(next);
  }

 private:
  SourceTree now_;
};

// Answers POST /v1/command on the target as its daemon would: the peer may write.
void start_daemon() {
  const std::string path = std::string(kRun) + "/control.sock";
  const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  require(::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0, "bind");
  ::listen(listener, 16);
  if (::fork() != 0) return;
  while (true) {
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    std::string text;
    char chunk[4096];
    while (text.find("\r\n\r\n") == std::string::npos || text.back() != '}') {
      const ssize_t n = ::recv(fd, chunk, sizeof chunk, 0);
      if (n <= 0) break;
      text.append(chunk, static_cast<size_t>(n));
    }
    const std::string body = R"({"ok":true,"text":"go on"})";
    const std::string answer =
        fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", body.size(), body);
    ::send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
    ::close(fd);
  }
}

void enter_source() {
  require(::unshare(CLONE_NEWNS) == 0, "unshare");
  for (const auto& [from, to] : {std::pair<std::string, std::string>{"/tmp/source/data", kRoot},
                                 {"/tmp/source/state", kState},
                                 {"/tmp/source/run", kRun}}) {
    fs::create_directories(from);
    require(::mount(from.c_str(), to.c_str(), nullptr, MS_BIND, nullptr) == 0, "mount " + to);
  }
}

// ---- the target's own life ----

// The service was active on the target and wrote: new contents for some files, new files, deletions. Each is
// durable, as after an fsync of the service's own, before it is told.
void write_locally(uint64_t first, const SourceTree& tree) {
  uint64_t number = first;
  for (const auto& [path, file] : tree) {
    const uint64_t dice = mix(first * 131 + mix(file.file)) % 12;
    if (dice > 2 || is_link(file.file)) continue;
    const std::string target =
        dice == 1 ? fmt::format("{}/d{}/new{}", kRoot, number % 7, number) : kRoot + "/" + path;
    const std::string folder = fs::path(target).parent_path();
    if (dice == 2) {
      if (::unlink(target.c_str()) != 0 || !sync_directory(folder)) continue;
      tell(fmt::format("local-delete {}", target.substr(kRoot.size() + 1)));
      continue;
    }
    durable_folder(folder);
    const std::string content = local_content(number);
    if (auto ok = write_durably(target, content); !ok) give_up(ok.error().message);
    tell(fmt::format("local {} {}", number, target.substr(kRoot.size() + 1)));
    ++number;
  }
  tell(fmt::format("local-end {}", number));
}

// Keeps the disk from filling up, by the administrator's means.
void purge_old_sets() {
  auto sets = list_backups(kState, "web");
  if (!sets) give_up(sets.error().message);
  for (size_t i = 0; i + kSetsKept < sets->size(); ++i) {
    const std::string& name = (*sets)[i].name;
    if (!(*sets)[i].complete) continue;
    tell("purge " + name);
    if (auto ok = purge_backups(kState, "web", name); !ok) give_up(ok.error().message);
  }
}

MirrorReport one_run(const Config& config, MirrorReport::Kind kind, uint64_t epoch) {
  MirrorOrder order;
  order.service = ServiceId(size_t{0});
  order.mirror = MirrorId(size_t{0});
  order.kind = kind;
  order.epoch.value = epoch;
  RunControl control;
  const MirrorPaths paths{"/etc/cluster.d", kState, kRun, "serv1", "/bin/clusterd-mirror"};
  return run_mirror(config, paths, order, control, [](const MirrorReport&) {});
}

}  // namespace

void run_mirror_target() {
  tell_everything();
  start_daemon();
  enter_source();
  auto config = load_config("/etc/cluster.d", "serv1");
  if (!config) give_up(describe(config.error().front()));
  Source source;
  uint64_t run = number("RUN"), epoch = number("EPOCH"), local = number("LOCAL");
  bool after_start = true;  // the core resynchronises a standby that has come back
  source.become(run > 0 ? run - 1 : 0);
  while (true) {
    bool resync = after_start;
    if (!after_start && run % 3 == 0) {
      epoch += 2;
      tell(fmt::format("epoch {}", epoch));
      in_target([&] { write_locally(local, source_tree(run - 1)); });
      local += kFiles + 3;  // more than that many can not have been written
      resync = true;
    }
    source.become(run);
    tell(fmt::format("begin {} {}", run, resync ? "resync" : "run"));
    using Kind = MirrorReport::Kind;
    const MirrorReport report = one_run(*config, resync ? Kind::kResync : Kind::kRun, epoch);
    if (report.outcome != MirrorReport::Outcome::kDone) {
      tell(fmt::format("failed {} {}", run, report.detail));
      tell_everything();
      give_up("stopping after a failed run");
    }
    tell(fmt::format("done {} {} {}", run, report.lost, report.backup_set));
    if (resync) tell_everything();
    if (resync) in_target(purge_old_sets);
    after_start = false;
    ++run;
  }
}

void run_ssh(int argc, char** argv) {
  const std::set<std::string> with_value = {"-o", "-i", "-p", "-l"};
  int at = 1;
  while (at < argc && argv[at][0] == '-') {
    const std::string word = argv[at];
    at += with_value.contains(word) ? 2 : 1;
  }
  std::string command;
  for (++at; at < argc; ++at) command += (command.empty() ? "" : " ") + std::string(argv[at]);
  enter_target();
  ::setenv("SSH_ORIGINAL_COMMAND", command.c_str(), 1);
  ::execl("/bin/clusterd-mirror", "clusterd-mirror", "--node", "serv2", "receive-shell",
          static_cast<char*>(nullptr));
  give_up("clusterd-mirror cannot be started");
}

}  // namespace clusterd::machine
