// Making and closing backup sets on the target of a resync. For everybody else: backups.hpp.
//
// A resync has three steps here, each a call of clusterd-mirror over ssh:
//   losses   prepare_set: what has changed here since the last mirror run is written down (the candidates)
//   receive  rsync writes, and moves what it overwrites or deletes to files/
//            (losses and receive come once more, with a new set, if files vanished from the source meanwhile)
//   finish   close_set: a candidate that is not as it was any more was taken back: the loss report
// If a resync breaks off, the next one closes the open set first and goes on with the candidates that are
// left, so that every loss is listed exactly once.
#pragma once

#include <string>
#include <vector>

#include "linux/mirror/backups.hpp"
#include "linux/mirror/files.hpp"

namespace clusterd {

struct SetPlace {
  std::string state_dir, service, mirror, name;

  [[nodiscard]] std::string sets() const { return state_dir + "/backups/" + service; }  // of the service
  [[nodiscard]] std::string folder() const { return sets() + "/" + name; }
  [[nodiscard]] std::string files() const { return folder() + "/files"; }
  [[nodiscard]] std::string candidates() const {
    return state_dir + "/mirror/" + service + "." + mirror + ".candidates";
  }
};

// "20261122T181500Z-e7-data"
[[nodiscard]] std::string new_set_name(int64_t now_unix, uint64_t epoch, const std::string& mirror);

struct PreparedSet {
  uint64_t candidates = 0;
  std::vector<BackupReport> closed;  // of earlier attempts, or passes, of the same resync
};

// Closes what an earlier attempt left open, writes the candidates down and creates the set. A name that
// exists already is refused (kRetry).
Result<PreparedSet> prepare_set(const SetPlace& place, const MirrorConfig& mirror, const BackupSet& set);

// Final report of the set. An empty one is removed (`report.set.name` is empty then). `last`: the resync
// ended well, the candidates are dealt with.
Result<BackupReport> close_set(const SetPlace& place, bool last);

[[nodiscard]] Result<BackupSet> read_set(const std::string& state_dir, const std::string& service,
                                         const std::string& name);
Result<void> write_set(const std::string& state_dir, const BackupSet& set);
Result<void> write_meta(const std::string& folder,
                        const BackupSet& set);  // the same, wherever the set's folder is
[[nodiscard]] Result<Fd> lock_backups(const std::string& state_dir);
// Files of a set (not directories), in tree order.
[[nodiscard]] mirror::EntryStream files_in_set(const std::string& files_folder);

}  // namespace clusterd
