#include "linux/mirror/target.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <ctime>

#include "linux/mirror/backup_json.hpp"
#include "linux/mirror/backup_store.hpp"
#include "linux/mirror/broken_run.hpp"
#include "mirror/escape.hpp"

namespace clusterd {
namespace {

using mirror::escape;
using mirror::ReceiveOptions;

constexpr int kLockTries = 300;  // every 50 ms: 15 s for an earlier run's last breath

// The source finds this line among rsync's own.
int give_up(int code, const std::string& reason) {
  std::fprintf(stderr, "clusterd-mirror[%d]: %s\n", code, reason.c_str());
  return code;
}
int give_up(const Error& error) { return give_up(kExitFailed, error.message); }

struct Place {
  const ServiceConfig* service = nullptr;
  const MirrorConfig* mirror = nullptr;
};

Result<Place> find_place(const Config& config, const ReceiveOptions& options) {
  for (const auto& service : config.services) {
    if (service.name != options.service) continue;
    for (const auto& mirror : service.mirrors) {
      if (mirror.name == options.mirror && !mirror.to) return Place{&service, &mirror};
    }
  }
  return fail(Code::kRefused, fmt::format("this node's configuration has no mirror \"{}\" of service \"{}\"",
                                          escape(options.mirror), escape(options.service)));
}

// Leader of an own group first: the daemon kills that group, and must not hit anybody else with it.
Result<void> become_leader() {
  if (::getpgrp() == ::getpid() || ::setsid() >= 0 || ::setpgid(0, 0) == 0) return {};
  return fail(Code::kRefused, "cannot lead an own process group");
}

// At most one run per mirror writes. The file also tells a restarted daemon whom an earlier one has
// permitted.
Result<Fd> lock_mirror(const MirrorPaths& paths, const ReceiveOptions& options) {
  const std::string path =
      fmt::format("{}/mirror-receive.{}.{}.lock", paths.run_dir, options.service, options.mirror);
  Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return fail(Code::kRefused, errno_text("cannot open", path));
  for (int i = 0; ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0; ++i) {
    if (errno != EWOULDBLOCK && errno != EINTR) return fail(Code::kRefused, errno_text("cannot lock", path));
    if (i == kLockTries) return fail(Code::kRetry, "another run of this mirror is still writing here");
    ::usleep(50'000);
  }
  const std::string text = fmt::format("{} {}\n", ::getpid(), options.service);
  if (::ftruncate(fd.get(), 0) != 0 || ::pwrite(fd.get(), text.data(), text.size(), 0) < 0) {
    return fail(Code::kRefused, errno_text("cannot write", path));
  }
  return fd;
}

// Everything that each call does first. An exit code, or 0 to go on.
struct Entrance {
  Place place;
  Fd lock;
};
int enter(const Config& config, const MirrorPaths& paths, const ReceiveOptions& options, Entrance& entrance) {
  auto place = find_place(config, options);
  if (!place) return give_up(kExitRefused, place.error().message);
  if (auto ok = become_leader(); !ok) return give_up(ok.error());
  const std::string body = receive_request(options.service, options.mirror, options.epoch);
  if (auto ok = ask_daemon(paths.run_dir + "/control.sock", body); !ok) {
    return give_up(kExitRefused, ok.error().message);
  }
  auto lock = lock_mirror(paths, options);
  if (!lock)
    return give_up(lock.error().code == Code::kRetry ? kExitBusy : kExitFailed, lock.error().message);
  entrance.place = *place;
  entrance.lock = std::move(*lock);
  return 0;
}

SetPlace set_place(const MirrorPaths& paths, const ReceiveOptions& options) {
  return {paths.state_dir, options.service, options.mirror, options.backup_set};
}

// The folders that rsync has to write to: directories that are mirrored, and the parents of single files.
// Missing ones are created; a symbolic link on the way to a root is refused.
Result<std::vector<std::string>> prepare_roots(const MirrorConfig& config, const mirror::RootsNow& now) {
  std::vector<std::string> folders;
  for (size_t i = 0; i < config.paths.size(); ++i) {
    const mirror::RootNow& root = now.roots[i];
    if (!root.problem.empty()) return fail(Code::kRefused, root.problem);
    const bool directory = root.wants_directory || (root.exists && root.record.type == 'd');
    const size_t slash = root.path.rfind('/');
    const std::string parent = slash == 0 ? "/" : root.path.substr(0, slash);
    const std::string folder = directory ? root.path : parent;
    // Only what is missing is made: a file in the place of a directory stays for rsync to replace.
    if (!directory || !root.exists) {
      if (auto ok = make_directories(folder, 0755); !ok) return tl::unexpected(ok.error());
    }
    // A root that changes its type is replaced as a name in its parent.
    const bool replaced = root.exists && root.wants_directory && root.record.type != 'd';
    folders.push_back(replaced ? parent : folder);
  }
  return folders;
}

// The same rules as on the source (S10), as far as they make sense here: an empty or missing target is
// filled.
std::optional<std::string> target_halt(mirror::RootsNow now, const mirror::ManifestHeader* last) {
  if (!last) return std::nullopt;
  mirror::ManifestHeader known = *last;
  for (auto& root : known.roots) root.files = 0;
  std::vector<mirror::RootNow> present;
  for (auto& root : now.roots) {
    if (!root.exists || !root.problem.empty()) continue;
    const auto was =
        std::find_if(known.roots.begin(), known.roots.end(), [&](auto& r) { return r.path == root.path; });
    if (was != known.roots.end()) was->type = root.record.type;
    root.wants_directory = false;
    present.push_back(root);
  }
  now.roots = std::move(present);
  return mirror::halt_reason(now, &known);
}

Result<void> probe_writable(const std::string& folder) {
  const std::string path = folder + "/../.probe";
  Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  const bool ok = fd.valid() && ::write(fd.get(), "x", 1) == 1 && ::fsync(fd.get()) == 0;
  if (!ok) return fail(Code::kRefused, errno_text("the backup set cannot be written", folder));
  ::unlink(path.c_str());
  return {};
}

std::string errors_path(const MirrorPaths& paths, const ReceiveOptions& options) {
  return fmt::format("{}/mirror-receive.{}.{}.errors", paths.run_dir, options.service, options.mirror);
}

// What rsync complains of goes to a file first: the source may have closed the connection by then, and asks
// again
// (`explain`).
int run_rsync(const std::vector<std::string>& options, const std::vector<std::string>& folders,
              const std::string& errors) {
  Fd log(::open(errors.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  std::vector<char*> argv = {const_cast<char*>("rsync")};
  for (const auto& option : options) argv.push_back(const_cast<char*>(option.c_str()));
  argv.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return give_up(kExitFailed, "rsync cannot be started");
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(kExitFailed);
    ::unsetenv("RSYNC_CHECKSUM_LIST");
    if (log.valid()) ::dup2(log.get(), 2);
    confine_writes(folders);
    ::execvp(argv[0], argv.data());
    ::_exit(give_up(kExitFailed, "rsync is not installed on this node"));
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  char text[16 * 1024];
  const ssize_t n = log.valid() ? ::pread(log.get(), text, sizeof text, 0) : 0;
  ::signal(SIGPIPE, SIG_IGN);
  if (n > 0) std::fwrite(text, 1, static_cast<size_t>(n), stderr);
  return WIFEXITED(status) ? WEXITSTATUS(status) : kExitFailed;
}

// What is here now is what the source has: the state that both nodes agree on.
Result<void> record_received(const MirrorPaths& paths, const ReceiveOptions& options,
                             const MirrorConfig& config) {
  mirror::RootsNow now = look_at_roots(config.paths);
  if (auto ok = make_directories(paths.state_dir + "/mirror", 0700); !ok) return ok;
  DurableFile file(manifest_path(paths.state_dir, options.service, options.mirror));
  if (auto ok = file.open(); !ok) return ok;
  // The header comes first, but needs the counts: one walk for each.
  const auto count = walk_trees(config.paths, config.exclude);
  while (true) {
    auto entry = count();
    if (!entry) return tl::unexpected(entry.error());
    if (!*entry) break;
    count_entry(now, **entry);
  }
  auto header = header_for(now, mirror::ManifestHeader::Role::kTarget, options.epoch);
  if (auto ok = file.append(mirror::write_header(header)); !ok) return ok;
  uint64_t entries = 0;
  const auto walk = walk_trees(config.paths, config.exclude);
  while (true) {
    auto entry = walk();
    if (!entry) return tl::unexpected(entry.error());
    if (!*entry) break;
    if (auto ok = file.append(mirror::write_entry(**entry)); !ok) return ok;
    ++entries;
  }
  if (auto ok = file.append(mirror::write_end(entries)); !ok) return ok;
  if (auto ok = file.commit(); !ok) return ok;
  ::unlink(sending_path(manifest_path(paths.state_dir, options.service, options.mirror)).c_str());
  return {};
}

// For the source: the set's folder itself says what it holds.
void print_brief(BackupReport report) {
  report.files.clear();
  std::printf("%s\n", to_json(report).c_str());
}

}  // namespace

int receive(const Config& config, const MirrorPaths& paths, const ReceiveOptions& options,
            const std::vector<std::string>& rsync_options) {
  const bool resync = !options.backup_set.empty();
  const SetPlace set = set_place(paths, options);
  {
    // Before anything else, and before anybody is asked: is this a mirror run at all?
    auto place = find_place(config, options);
    if (!place) return give_up(kExitRefused, place.error().message);
    if (resync && !mirror::is_safe_name(options.backup_set))
      return give_up(kExitRefused, "not a backup set's name");
    const std::string backup_dir = resync ? set.files() : "";
    if (auto ok = mirror::check_server_options(rsync_options, place->mirror->remove, backup_dir); !ok) {
      return give_up(kExitRefused, ok.error().message);
    }
  }
  Entrance entrance;
  if (const int code = enter(config, paths, options, entrance); code != 0) return code;
  const MirrorConfig& mirror_config = *entrance.place.mirror;

  auto manifest = open_manifest(manifest_path(paths.state_dir, options.service, options.mirror));
  if (!manifest) return give_up(manifest.error());
  const mirror::ManifestHeader* last = *manifest ? &(*manifest)->header() : nullptr;
  if (last && last->role == mirror::ManifestHeader::Role::kSource && !resync) {
    return give_up(kExitResync,
                   "this node was the source last; only a resync with a backup set may write here");
  }
  const mirror::RootsNow now = look_at_roots(mirror_config.paths);
  if (auto reason = target_halt(now, last); reason && !options.confirmed) return give_up(kExitHalt, *reason);
  auto folders = prepare_roots(mirror_config, now);
  if (!folders) return give_up(folders.error());
  if (resync) {
    auto known = read_set(paths.state_dir, options.service, options.backup_set);
    if (!known) return give_up(known.error());
    if (known->complete || known->mirror != options.mirror) {
      return give_up(kExitRefused, "the backup set is not open for this mirror");
    }
    if (auto ok = probe_writable(set.files()); !ok) return give_up(ok.error());
    folders->push_back(set.files());
  }
  const int code = run_rsync(rsync_options, *folders, errors_path(paths, options));
  if (code != 0 && code != 24) return code;
  // rsync has synced the contents, not the names: without this a power cut could take back a run that was
  // reported, and leave a manifest that says otherwise.
  folders->insert(folders->end(), now.mounts.begin(), now.mounts.end());
  if (auto ok = sync_file_systems(*folders); !ok) return give_up(ok.error());
  // What a resync has brought is agreed on only when all of it is done: see finish().
  if (resync) return code;
  if (auto ok = record_received(paths, options, mirror_config); !ok) return give_up(ok.error());
  return code;
}

int losses(const Config& config, const MirrorPaths& paths, const ReceiveOptions& options,
           const std::string& from) {
  if (!mirror::is_safe_name(options.backup_set)) return give_up(kExitRefused, "not a backup set's name");
  Entrance entrance;
  if (const int code = enter(config, paths, options, entrance); code != 0) return code;
  BackupSet set;
  set.service = options.service;
  set.mirror = options.mirror;
  set.name = options.backup_set;
  set.epoch = options.epoch;
  set.source = from;
  set.node = paths.node;
  set.why = fmt::format("resync from {} at epoch {}", from, options.epoch);
  set.created_unix = ::time(nullptr);
  set.created = utc_text(set.created_unix, "%Y-%m-%dT%H:%M:%SZ");
  auto prepared = prepare_set(set_place(paths, options), *entrance.place.mirror, set);
  if (!prepared) return give_up(prepared.error());
  // The folder is the target's own choice; the source hands it to rsync as it is.
  std::printf("{\"candidates\":%llu}\n%s\n", static_cast<unsigned long long>(prepared->candidates),
              set_place(paths, options).files().c_str());
  for (BackupReport& report : prepared->closed) print_brief(std::move(report));
  return 0;
}

int finish(const Config& config, const MirrorPaths& paths, const ReceiveOptions& options) {
  if (!mirror::is_safe_name(options.backup_set)) return give_up(kExitRefused, "not a backup set's name");
  Entrance entrance;
  if (const int code = enter(config, paths, options, entrance); code != 0) return code;
  if (auto ok = record_received(paths, options, *entrance.place.mirror); !ok) return give_up(ok.error());
  auto report = close_set(set_place(paths, options), true);
  if (!report) return give_up(report.error());
  print_brief(std::move(*report));
  for (const auto& sentence : expire_backups(paths.state_dir, config, ::time(nullptr)).waiting) {
    std::fprintf(stderr, "clusterd-mirror: %s\n", sentence.c_str());
  }
  return 0;
}

int explain(const Config& config, const MirrorPaths& paths, const ReceiveOptions& options) {
  auto place = find_place(config, options);
  if (!place) return give_up(kExitRefused, place.error().message);
  auto text = read_whole_file(errors_path(paths, options), 1 << 20);
  if (text) std::fwrite(text->data(), 1, std::min<size_t>(text->size(), 16 * 1024), stdout);
  return 0;
}

}  // namespace clusterd
