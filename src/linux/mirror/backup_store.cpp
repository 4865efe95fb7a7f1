#include "linux/mirror/backup_store.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "linux/mirror/backup_folder.hpp"
#include "linux/mirror/backup_json.hpp"
#include "linux/mirror/broken_run.hpp"
#include "mirror/command.hpp"
#include "mirror/escape.hpp"
#include "mirror/loss.hpp"

namespace clusterd {
namespace {

using mirror::Candidate;
using mirror::Entry;
using mirror::escape;

constexpr size_t kMaxJson = size_t{256} << 20;

struct CandidateList {
  uint64_t epoch = 0;
  std::vector<Candidate> items;
};

// nullopt: there is none.
Result<std::optional<CandidateList>> read_candidates(const std::string& path) {
  auto lines = LineReader::open(path);
  if (!lines) {
    if (lines.error().code == Code::kRetry) return std::optional<CandidateList>{};
    return tl::unexpected(lines.error());
  }
  CandidateList list;
  bool first = true;
  while (true) {
    auto line = (*lines)->next();
    if (!line) return tl::unexpected(line.error());
    if (!*line) return std::optional<CandidateList>(std::move(list));
    if (first) {
      if ((*line)->compare(0, 6, "epoch ") != 0)
        return fail(Code::kCorrupt, fmt::format("{} is damaged", path));
      list.epoch = std::strtoull((*line)->c_str() + 6, nullptr, 10);
      first = false;
      continue;
    }
    auto item = mirror::parse_candidate(**line);
    if (!item) return tl::unexpected(item.error());
    list.items.push_back(std::move(*item));
  }
}

Result<void> write_candidates(const std::string& path, const CandidateList& list) {
  DurableFile file(path);
  if (auto ok = file.open(); !ok) return ok;
  if (auto ok = file.append(fmt::format("epoch {}\n", list.epoch)); !ok) return ok;
  for (const Candidate& c : list.items) {
    if (auto ok = file.append(mirror::write_candidate(c)); !ok) return ok;
  }
  return file.commit();
}

// What differs between this node's files and its manifest. Without a manifest nothing was ever agreed on, so
// nothing can be told apart, and the backup set alone has to answer.
Result<CandidateList> find_candidates(const SetPlace& place, const MirrorConfig& config, uint64_t epoch) {
  CandidateList list;
  list.epoch = epoch;
  const std::string path = manifest_path(place.state_dir, place.service, place.mirror);
  if (auto ok = take_in_broken_run(path, config); !ok) return tl::unexpected(ok.error());
  auto manifest = open_manifest(path);
  if (!manifest) return tl::unexpected(manifest.error());
  if (!*manifest) return list;
  // Without the excludes: what rsync takes back decides in the end, not our reading of its patterns.
  auto done = mirror::compare_streams(entries_of(manifest->get()), walk_trees(config.paths, {}),
                                      [&](const Entry* was, const Entry* here) -> Result<void> {
                                        if (auto c = mirror::candidate(was, here))
                                          list.items.push_back(std::move(*c));
                                        return {};
                                      });
  if (!done) return tl::unexpected(done.error());
  return list;
}

std::string type_text(char type) {
  switch (type) {
    case 'f':
      return "file";
    case 'd':
      return "directory";
    case 'l':
      return "symlink";
    case 'p':
      return "fifo";
    case 's':
      return "socket";
    default:
      return "device";
  }
}

LostFile lost_file(const Candidate& c, bool kept) {
  const Entry& e = c.here ? *c.here : *c.mirrored;
  LostFile f;
  f.path = escape(e.path);
  f.change = std::string(mirror::change_name(c.change));
  f.type = type_text(e.type);
  f.mode = e.mode;
  f.uid = e.uid;
  f.gid = e.gid;
  f.kept = kept;
  if (c.here) {
    f.size = e.size;
    f.mtime_ns = e.mtime_ns;
  }
  if (c.mirrored) f.mirrored = LostFile::Version{c.mirrored->size, c.mirrored->mtime_ns};
  return f;
}

Result<std::vector<std::string>> names_in(const std::string& folder) {
  std::vector<std::string> names;
  DIR* dir = ::opendir(folder.c_str());
  if (!dir) {
    if (errno == ENOENT) return names;
    return fail(Code::kRefused, errno_text("cannot read the directory", folder));
  }
  while (const dirent* d = ::readdir(dir)) {
    if (mirror::is_safe_name(d->d_name)) names.emplace_back(d->d_name);
  }
  ::closedir(dir);
  std::sort(names.begin(), names.end());
  return names;
}

// Returns the reports of those that hold anything.
Result<std::vector<BackupReport>> close_open_sets(const SetPlace& place) {
  std::vector<BackupReport> reports;
  auto names = names_in(place.sets());
  if (!names) return tl::unexpected(names.error());
  for (const auto& name : *names) {
    auto set = read_set(place.state_dir, place.service, name);
    if (!set || set->mirror != place.mirror || set->complete) continue;
    SetPlace open = place;
    open.name = name;
    auto closed = close_set(open, false);
    if (!closed) return tl::unexpected(closed.error());
    if (!closed->set.name.empty()) reports.push_back(std::move(*closed));
  }
  return reports;
}

}  // namespace

std::string new_set_name(int64_t now_unix, uint64_t epoch, const std::string& mirror) {
  return fmt::format("{}-e{}-{}", utc_text(now_unix, "%Y%m%dT%H%M%SZ"), epoch, mirror);
}

Result<BackupSet> read_set(const std::string& state_dir, const std::string& service,
                           const std::string& name) {
  if (!mirror::is_safe_name(service) || !mirror::is_safe_name(name)) {
    return fail(Code::kRefused, fmt::format("\"{}\" is no name of a backup set", escape(name)));
  }
  auto text = read_whole_file(fmt::format("{}/backups/{}/{}/meta.json", state_dir, service, name), 1 << 20);
  if (!text) {
    if (text.error().code == Code::kRetry) {
      return fail(Code::kRefused, fmt::format("there is no backup set {} of service {}", name, service));
    }
    return tl::unexpected(text.error());
  }
  auto set = parse_set(*text);
  if (!set) return fail(Code::kCorrupt, fmt::format("meta.json of backup set {} is damaged", name));
  set->service = service;
  set->name = name;
  return set;
}

Result<void> write_set(const std::string& state_dir, const BackupSet& set) {
  return write_meta(fmt::format("{}/backups/{}/{}", state_dir, set.service, set.name), set);
}

Result<void> write_meta(const std::string& folder, const BackupSet& set) {
  return write_durably(folder + "/meta.json", to_json(set) + "\n");
}

Result<Fd> lock_backups(const std::string& state_dir) {
  if (auto ok = make_directories(state_dir + "/backups", 0700); !ok) return tl::unexpected(ok.error());
  const std::string path = state_dir + "/backups/.lock";
  Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid() || ::flock(fd.get(), LOCK_EX) != 0)
    return fail(Code::kRefused, errno_text("cannot lock", path));
  return fd;
}

mirror::EntryStream files_in_set(const std::string& files_folder) {
  auto walk = std::make_shared<mirror::EntryStream>(walk_trees({files_folder}, {}));
  return [walk, prefix = files_folder.size()]() -> Result<std::optional<Entry>> {
    while (true) {
      auto entry = (*walk)();
      if (!entry || !*entry) return entry;
      if ((*entry)->type == 'd' || (*entry)->path.size() <= prefix) continue;
      (*entry)->path.erase(0, prefix);
      return entry;
    }
  };
}

Result<PreparedSet> prepare_set(const SetPlace& place, const MirrorConfig& config, const BackupSet& set) {
  if (auto ok = make_directories(place.state_dir + "/mirror", 0700); !ok) return tl::unexpected(ok.error());
  auto closed = close_open_sets(place);
  if (!closed) return tl::unexpected(closed.error());
  // A second pass into the same set would overwrite what the first one has kept.
  if (read_set(place.state_dir, place.service, place.name)) {
    return fail(Code::kRetry, fmt::format("there is a backup set {} already", place.name));
  }
  auto known = read_candidates(place.candidates());
  if (!known && known.error().code != Code::kCorrupt) return tl::unexpected(known.error());
  CandidateList list;
  if (known && *known && (*known)->epoch == set.epoch) {
    // An earlier attempt of the same resync: what differs now may be that attempt's doing.
    list = std::move(**known);
  } else {
    auto found = find_candidates(place, config, set.epoch);
    if (!found) return tl::unexpected(found.error());
    list = std::move(*found);
    if (auto ok = write_candidates(place.candidates(), list); !ok) return tl::unexpected(ok.error());
  }
  if (auto ok = make_set(place, set, place.mirror); !ok) return tl::unexpected(ok.error());
  return PreparedSet{list.items.size(), std::move(*closed)};
}

Result<BackupReport> close_set(const SetPlace& place, bool last) {
  auto set = read_set(place.state_dir, place.service, place.name);
  if (!set) return tl::unexpected(set.error());
  // What the report will say is kept must be there after a power cut.
  if (auto ok = sync_file_systems({place.files()}); !ok) return tl::unexpected(ok.error());
  auto known = read_candidates(place.candidates());
  if (!known) return tl::unexpected(known.error());
  BackupReport report;
  report.set = *set;
  report.set.files = report.set.bytes = 0;
  CandidateList left;
  if (*known) left.epoch = (*known)->epoch;

  // Both lists are in tree order: one walk over the set tells which candidates have a version in it.
  const auto kept_stream = files_in_set(place.files());
  std::optional<Entry> kept;
  auto advance = [&]() -> Result<void> {
    auto next = kept_stream();
    if (!next) return tl::unexpected(next.error());
    kept = std::move(*next);
    if (!kept) return {};
    ++report.set.files;
    report.set.bytes += kept->size;
    report.files.push_back(
        {escape(kept->path), type_text(kept->type), kept->size, kept->mtime_ns, kept->mode});
    return {};
  };
  if (auto ok = advance(); !ok) return tl::unexpected(ok.error());
  const std::vector<Candidate> none;
  for (const Candidate& c : *known ? (*known)->items : none) {
    while (kept && mirror::path_before(kept->path, c.path())) {
      if (auto ok = advance(); !ok) return tl::unexpected(ok.error());
    }
    const bool in_set = kept && kept->path == c.path();
    auto after = look_at(c.path());
    if (!after) return tl::unexpected(after.error());
    if (mirror::is_lost(c, *after ? &**after : nullptr, in_set)) {
      report.lost.push_back(lost_file(c, in_set));
    } else {
      left.items.push_back(c);
    }
  }
  while (kept) {
    if (auto ok = advance(); !ok) return tl::unexpected(ok.error());
  }

  report.set.lost = report.lost.size();
  report.set.complete = true;
  if (report.set.files == 0 && report.set.lost == 0) {
    if (auto ok = remove_set(place); !ok) return tl::unexpected(ok.error());
    report.set.name.clear();
  } else {
    BackupReport stored = report;
    stored.files.clear();  // the folder itself says what it holds
    if (auto ok = write_durably(place.folder() + "/report.json", to_json(stored) + "\n"); !ok) {
      return tl::unexpected(ok.error());
    }
  }
  // First the mark, then the candidates: after a crash between them a loss may be listed twice, never not at
  // all.
  if (!report.set.name.empty()) {
    if (auto ok = write_set(place.state_dir, report.set); !ok) return tl::unexpected(ok.error());
  }
  if (last) {
    ::unlink(place.candidates().c_str());
  } else if (auto ok = write_candidates(place.candidates(), left); !ok) {
    return tl::unexpected(ok.error());
  }
  return report;
}

Result<std::vector<BackupSet>> list_backups(const std::string& state_dir, const std::string& service) {
  std::vector<std::string> services = {service};
  if (service.empty()) {
    auto names = names_in(state_dir + "/backups");
    if (!names) return tl::unexpected(names.error());
    services = std::move(*names);
  } else if (!mirror::is_safe_name(service)) {
    return fail(Code::kRefused, fmt::format("\"{}\" is no name of a service", escape(service)));
  }
  std::vector<BackupSet> sets;
  for (const auto& each : services) {
    auto names = names_in(state_dir + "/backups/" + each);
    if (!names) return tl::unexpected(names.error());
    for (const auto& name : *names) {
      auto set = read_set(state_dir, each, name);
      if (!set) {
        BackupSet damaged;
        damaged.service = each;
        damaged.name = name;
        damaged.why = set.error().message;
        set = damaged;
      }
      sets.push_back(std::move(*set));
    }
  }
  std::stable_sort(sets.begin(), sets.end(),
                   [](const auto& a, const auto& b) { return a.created_unix < b.created_unix; });
  return sets;
}

Result<BackupReport> show_backup(const std::string& state_dir, const std::string& service,
                                 const std::string& name) {
  auto set = read_set(state_dir, service, name);
  if (!set) return tl::unexpected(set.error());
  BackupReport report;
  const std::string folder = fmt::format("{}/backups/{}/{}", state_dir, service, name);
  if (auto text = read_whole_file(folder + "/report.json", kMaxJson)) {
    auto stored = parse_report_json(*text);
    if (!stored) return fail(Code::kCorrupt, fmt::format("report.json of backup set {} is damaged", name));
    report = std::move(*stored);
  } else if (text.error().code != Code::kRetry) {
    return tl::unexpected(text.error());
  }
  report.set = std::move(*set);
  report.set.files = report.set.bytes = 0;
  const auto stream = files_in_set(folder + "/files");
  while (true) {
    auto e = stream();
    if (!e) return tl::unexpected(e.error());
    if (!*e) break;
    ++report.set.files;
    report.set.bytes += (*e)->size;
    report.files.push_back(
        {escape((*e)->path), type_text((*e)->type), (*e)->size, (*e)->mtime_ns, (*e)->mode});
  }
  return report;
}

}  // namespace clusterd
