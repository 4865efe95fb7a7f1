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
#include "linux/mirror/entrance.hpp"
#include "linux/mirror/guard.hpp"
#include "linux/mirror/target_roots.hpp"
#include "mirror/escape.hpp"

namespace clusterd {
namespace {

using mirror::ReceiveOptions;

// The source finds this line among rsync's own.
int give_up(int code, const std::string& reason) {
  std::fprintf(stderr, "clusterd-mirror[%d]: %s\n", code, reason.c_str());
  return code;
}
int give_up(const Error& error) { return give_up(kExitFailed, error.message); }
int give_up(const Refusal& refusal) { return give_up(refusal.code, refusal.reason); }

SetPlace set_place(const MirrorPaths& paths, const ReceiveOptions& options) {
  return {paths.state_dir, options.service, options.mirror, options.backup_set};
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
  auto entrance = enter(config, paths, options);
  if (!entrance) return give_up(entrance.error());
  const MirrorConfig& mirror_config = *entrance->place.mirror;

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
  if (mirror_config.guard) {
    std::vector<std::string> roots;
    for (const std::string& path : mirror_config.paths) roots.push_back(root_path(path));
    if (auto ok = see_writable(roots); !ok) return give_up(ok.error());
  }
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
  auto entrance = enter(config, paths, options);
  if (!entrance) return give_up(entrance.error());
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
  auto prepared = prepare_set(set_place(paths, options), *entrance->place.mirror, set);
  if (!prepared) return give_up(prepared.error());
  // The folder is the target's own choice; the source hands it to rsync as it is.
  std::printf("{\"candidates\":%llu}\n%s\n", static_cast<unsigned long long>(prepared->candidates),
              set_place(paths, options).files().c_str());
  for (BackupReport& report : prepared->closed) print_brief(std::move(report));
  return 0;
}

int finish(const Config& config, const MirrorPaths& paths, const ReceiveOptions& options) {
  if (!mirror::is_safe_name(options.backup_set)) return give_up(kExitRefused, "not a backup set's name");
  auto entrance = enter(config, paths, options);
  if (!entrance) return give_up(entrance.error());
  if (auto ok = record_received(paths, options, *entrance->place.mirror); !ok) return give_up(ok.error());
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
