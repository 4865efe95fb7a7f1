// Backup sets: what a resync overwrote or deleted on this node (S9), and what clusterctl does with them.
//
// A set is the folder STATE_DIR/backups/SERVICE/NAME/ with
//   files/       the old versions, by their absolute path: files/srv/samba/a.txt was /srv/samba/a.txt
//   meta.json    who wrote it, when, why; whether it is complete; whether the administrator has confirmed it
//   report.json  the loss report: what had changed here after the last mirror run and was taken back
// NAME starts with the UTC time of the resync, so names sort by age. Paths in JSON and in these structs are
// `mirror::escape`d (mirror/escape.hpp): printable UTF-8 with every other byte as \xHH, and \ as \\.
//
// Retention: nothing is ever purged that the administrator has not let go of. `confirm_backup` marks a set;
// marked sets are purged by `expire_backups` once they are older than `keep`, or as soon as the mirror's sets
// exceed `max`; unmarked ones only ever by `purge_backups`. What is due but unmarked is reported in words.
//
// Threading: plain blocking functions without shared state, for clusterctl and the mirror process; never
// called on the reactor's thread. Restoring and purging take the lock STATE_DIR/backups/.lock.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "core/config.hpp"

namespace clusterd {

struct BackupSet {
  std::string service;
  std::string mirror;   // empty for a set that a restore made
  std::string name;     // "20261122T181500Z-e7-data"
  uint64_t epoch = 0;   // of the resync's source
  std::string source;   // node that the resync copied from
  std::string node;     // node that holds the set
  std::string why;      // "resync from serv2 at epoch 7"
  std::string created;  // UTC, ISO 8601
  int64_t created_unix = 0;
  bool complete = false;   // the resync ended well and the report is final
  bool confirmed = false;  // the administrator lets go of it
  uint64_t files = 0;      // kept in the set
  uint64_t bytes = 0;
  uint64_t lost = 0;  // entries of the loss report
};

struct LostFile {
  std::string path;      // escaped
  std::string change;    // here, after the last mirror run: "changed", "created" or "deleted"
  std::string type;      // "file", "directory", "symlink", "fifo", "socket", "device"
  uint64_t size = 0;     // of the version that was taken back (0 for "deleted")
  int64_t mtime_ns = 0;  // since 1970
  unsigned mode = 0;     // permission bits
  unsigned uid = 0, gid = 0;
  bool kept = false;  // this version is in the set's files/
  struct Version {
    uint64_t size = 0;
    int64_t mtime_ns = 0;
  };
  std::optional<Version> mirrored;  // the last version that both nodes had; none for "created"
};

struct BackupFile {
  std::string path;  // escaped, absolute
  std::string type;
  uint64_t size = 0;
  int64_t mtime_ns = 0;
  unsigned mode = 0;
};

struct BackupReport {
  BackupSet set;
  std::vector<LostFile> lost;
  std::vector<BackupFile> files;  // everything that the set holds
};

struct RestoreOrder {
  std::string service, name;
  std::string path;  // escaped absolute path of a file or folder of the set; empty = everything
  std::string to;    // folder that takes the place of "/"; empty = the original place
};

struct RestoreResult {
  uint64_t files = 0;
  std::string kept_set;  // new set with what was overwritten; empty if nothing was
};

// Sets of one service, or of all if `service` is empty, oldest first. A set that cannot be read is listed as
// incomplete with the cause in `why`.
[[nodiscard]] Result<std::vector<BackupSet>> list_backups(const std::string& state_dir,
                                                          const std::string& service = "");
[[nodiscard]] Result<BackupReport> show_backup(const std::string& state_dir, const std::string& service,
                                               const std::string& name);
// Never follows a symbolic link out of, or into, anything: every path goes through openat2 with
// RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS.
[[nodiscard]] Result<RestoreResult> restore_backup(const std::string& state_dir, const RestoreOrder& order);
[[nodiscard]] Result<void> confirm_backup(const std::string& state_dir, const std::string& service,
                                          const std::string& name);
// Deletes one set for good: the administrator's word. Returns the bytes set free.
[[nodiscard]] Result<uint64_t> purge_backups(const std::string& state_dir, const std::string& service,
                                             const std::string& name);

struct Expired {
  std::vector<std::string> purged;   // "web/20261122T181500Z-e7-data"
  std::vector<std::string> waiting;  // one sentence per set that is due but not confirmed
};
[[nodiscard]] Expired expire_backups(const std::string& state_dir, const Config& config, int64_t now_unix);

// One line of JSON each; field names are the members' names.
[[nodiscard]] std::string to_json(const BackupSet& set);
[[nodiscard]] std::string to_json(const BackupReport& report);

}  // namespace clusterd
