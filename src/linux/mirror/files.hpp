// Files as the mirror needs them: written durably, trees read in tree order, manifests as streams.
//
// Threading: blocking functions without shared state.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "core/config.hpp"
#include "linux/fd.hpp"
#include "mirror/halt.hpp"
#include "mirror/manifest.hpp"

namespace clusterd {

[[nodiscard]] std::string errno_text(const std::string& what, const std::string& path);  // uses errno
[[nodiscard]] Result<std::string> read_whole_file(const std::string& path, size_t limit);
[[nodiscard]] Result<void> make_directories(const std::string& path, mode_t mode);
[[nodiscard]] Result<void> sync_directory(const std::string& path);
// Makes durable whatever was written, renamed or deleted on the file systems that hold these paths (of a path
// that does not exist, on the one that would hold it). Waits for the disk; other programs' writes there are
// waited for, too.
[[nodiscard]] Result<void> sync_file_systems(const std::vector<std::string>& paths);

// A file that is either wholly there after commit(), also after a power cut, or not at all.
class DurableFile {
 public:
  explicit DurableFile(std::string path) : path_(std::move(path)), temporary_(path_ + ".new") {}
  ~DurableFile();
  DurableFile(const DurableFile&) = delete;
  DurableFile& operator=(const DurableFile&) = delete;
  Result<void> open();
  Result<void> append(std::string_view text);  // buffered
  Result<void> commit();

 private:
  Result<void> drain();
  std::string path_, temporary_, buffer_;
  Fd fd_;
};
[[nodiscard]] Result<void> write_durably(const std::string& path, std::string_view text);

// Lines of a file, without their newlines.
class LineReader {
 public:
  static Result<std::unique_ptr<LineReader>> open(
      const std::string& path);  // kRetry if there is no such file
  Result<std::optional<std::string>> next();

 private:
  Fd fd_;
  std::string path_, buffer_;
  size_t at_ = 0;
  bool end_ = false;
};

// A manifest, header first, then entry by entry. `next` fails at the end if the manifest is truncated.
class ManifestFile {
 public:
  // nullptr: there is none.
  static Result<std::unique_ptr<ManifestFile>> open(const std::string& path);
  [[nodiscard]] const mirror::ManifestHeader& header() const { return parser_.header(); }
  Result<std::optional<mirror::Entry>> next();

 private:
  std::unique_ptr<LineReader> lines_;
  mirror::ManifestParser parser_;
};
// The manifest, or nullptr if there is none that can be used: a damaged one is put aside as PATH.damaged,
// with a word on stderr. Nothing is lost by that but the knowledge of what had been mirrored.
Result<std::unique_ptr<ManifestFile>> open_manifest(const std::string& path);
// Entries of a manifest that may be missing (an empty stream).
[[nodiscard]] mirror::EntryStream entries_of(ManifestFile* manifest);

// lstat as an Entry; nullopt if there is nothing (or its parent is a symbolic link).
[[nodiscard]] Result<std::optional<mirror::Entry>> look_at(const std::string& path);

// Everything in and below the roots, in tree order; what `exclude` names is left out with all below it.
// Symbolic links are entries, never followed. What vanishes while it is read is left out; what cannot be read
// is an error: a manifest must not forget it.
[[nodiscard]] mirror::EntryStream walk_trees(const std::vector<std::string>& roots,
                                             const std::vector<std::string>& exclude);

// "/srv/samba/" -> "/srv/samba"
[[nodiscard]] std::string root_path(const std::string& configured);
// The roots of a mirror as they are now; `record.files` stays 0.
[[nodiscard]] mirror::RootsNow look_at_roots(const std::vector<std::string>& configured);
// Counts `entry` for the roots that hold it.
void count_entry(mirror::RootsNow& roots, const mirror::Entry& entry);
[[nodiscard]] mirror::ManifestHeader header_for(const mirror::RootsNow& roots,
                                                mirror::ManifestHeader::Role role, uint64_t epoch);

[[nodiscard]] std::string manifest_path(const std::string& state_dir, const std::string& service,
                                        const std::string& mirror);
[[nodiscard]] std::string utc_text(int64_t unix_time, const char* format);  // strftime

}  // namespace clusterd
