// The manifest of a mirror: what both nodes had at the end of the last good run.
//
// Each node keeps one per mirror, of its *own* files (inode and change time are a node's own): the source
// records what it has sent, the target what it has received. From it follow what had not reached the peer
// when a node died (loss.hpp), how many files wait, and whether a root looks as it did (halt.hpp).
//
// Text, one line each: "clusterd-manifest 1", header lines ("role source", "epoch 7", "root …", "mount …"),
// the entries in tree order, and "end COUNT", without which a manifest is truncated and refused. Whatever is
// read is hostile until parsed: numbers must fit, paths must be absolute and without "." or "..", entries in
// strict tree order.
//
// Tree order: by bytes, with "/" before every other byte; a directory comes right before what is in it. Two
// trees in this order are compared as streams, in memory that does not grow with them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace clusterd::mirror {

inline constexpr size_t kMaxManifestLine = 32 * 1024;

// One name in a tree, as lstat sees it.
struct Entry {
  char type = 'f';    // f file, d directory, l symlink, p fifo, s socket, b block device, c character device
  uint32_t mode = 0;  // permission bits only
  uint32_t uid = 0, gid = 0;
  uint64_t size = 0;  // 0 for directories
  int64_t mtime_ns = 0;
  int64_t ctime_ns = 0;
  uint64_t inode = 0;
  std::string path;  // absolute, raw bytes, no "/" at the end

  bool operator==(const Entry&) const = default;
};

[[nodiscard]] bool path_before(std::string_view a, std::string_view b);  // tree order
[[nodiscard]] bool is_clean_path(std::string_view path);  // absolute; no empty, "." or ".." part; not "/"

// Nothing about the entry has changed that a mirror would have to carry over. For a directory its times do
// not count: they change with every entry in it.
[[nodiscard]] bool same_state(const Entry& a, const Entry& b);
// The same, without what only this filesystem knows (inode, change time).
[[nodiscard]] bool same_content(const Entry& a, const Entry& b);

// Where a root stood when it was last good.
struct RootRecord {
  std::string path;  // raw, no "/" at the end
  char type = 'd';
  uint64_t device = 0;      // st_dev; means something only within one boot
  std::string mount_point;  // that the root is on
  std::string filesystem;   // its type: "ext4"
  uint64_t files = 0;       // that are not directories and not excluded, in and below the root

  bool operator==(const RootRecord&) const = default;
};

struct ManifestHeader {
  enum class Role { kSource, kTarget } role = Role::kSource;
  uint64_t epoch = 0;
  int64_t time_unix = 0;
  std::string boot;  // the kernel's boot id
  std::vector<RootRecord> roots;
  std::vector<std::string> mounts;  // mount points below the roots

  bool operator==(const ManifestHeader&) const = default;
};

// Lines, each with its newline.
[[nodiscard]] std::string write_header(const ManifestHeader& header);
[[nodiscard]] std::string write_entry(const Entry& entry);
[[nodiscard]] std::string write_end(uint64_t entries);
[[nodiscard]] Result<Entry> parse_entry(
    std::string_view line);  // what write_entry wrote, without the newline

// Takes a manifest line by line (without newlines).
class ManifestParser {
 public:
  // nullopt: the line was a header line or the end.
  Result<std::optional<Entry>> line(std::string_view text);
  [[nodiscard]] const ManifestHeader& header() const { return header_; }
  [[nodiscard]] bool in_entries() const { return state_ != State::kStart && state_ != State::kHeader; }
  [[nodiscard]] bool complete() const { return state_ == State::kEnd; }

 private:
  Result<std::optional<Entry>> header_line(std::string_view text);
  Result<std::optional<Entry>> entry_line(std::string_view text);
  enum class State { kStart, kHeader, kEntries, kEnd } state_ = State::kStart;
  ManifestHeader header_;
  std::string last_path_;
  uint64_t count_ = 0;
};

// The next entry of a tree in tree order; nullopt at its end.
using EntryStream = std::function<Result<std::optional<Entry>>()>;

// Calls `visit` for each path that is in either stream, with the entry of each that has it (never both null).
Result<void> compare_streams(const EntryStream& before, const EntryStream& now,
                             const std::function<Result<void>(const Entry* before, const Entry* now)>& visit);

// An entry that the peer may have or not: it came into being while a run was under way, or in a run that
// broke off, or such a run may have deleted it. If it is deleted later, the peer may bring it back, and the
// loss report has to name it; until then it counts as not mirrored. Written with inode 0, which no file has.
[[nodiscard]] Entry unproven(const Entry& entry);
[[nodiscard]] bool is_unproven(const Entry& entry);

// Both trees in one; where both have a path, `one`'s entry.
[[nodiscard]] EntryStream union_of(EntryStream one, EntryStream two);

// What the source's manifest says of one path after a good run. `agreed`: the old manifest's entry; `sent`:
// lstat right before the run; `now`: lstat after it. Null where there is none; the result is empty where
// nothing is to be recorded.
[[nodiscard]] std::optional<Entry> agreed_after_run(const Entry* agreed, const Entry* sent, const Entry* now);
// The same after a run that broke off. `sent`: what was there when it began; `now`: what has come since (null
// if it is not known). At least one of the three is set.
[[nodiscard]] Entry agreed_after_broken_run(const Entry* agreed, const Entry* sent, const Entry* now);

}  // namespace clusterd::mirror
