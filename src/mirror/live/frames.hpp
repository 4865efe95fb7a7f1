// What the two ends of a live mirror say to each other.
//
// A message of the channel holds one frame after another. Source and target speak different frames; a frame
// of the wrong direction is refused like any other nonsense. Every byte is hostile: paths are absolute and
// clean (mirror/manifest.hpp), counts are bounded before anything is reserved, enumerations are in range.
//
//   source -> target                               target -> source
//   Hello                                          Welcome
//   Names…                                         (none; only where ids = "name")
//   CompareBegin, Digest…, CompareEnd, Credit      Listing…, Compared…, CompareDone
//   operations, each with a number that grows      Failed…, Acked
//   WantSignature                                  Signature…
//   WantHash                                       PartHash
//   Finish                                         Finished
//
// Names are told before anything else that has an owner in it, and again before the next operation whenever
// the source's table has changed; the parts of one table come one after another, and the whole takes the
// place of the one before.
//
// An operation makes a name at the target what it is at the source. They are performed in order. Acked names
// the last one that is durable, and all before it, but for those that a Failed has named.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "mirror/live/entry.hpp"
#include "mirror/live/owners.hpp"

namespace clusterd::mirror::live {

inline constexpr uint32_t kVersion = 2;
inline constexpr size_t kMaxFrames = 1024 * 1024;  // bytes of one message
inline constexpr size_t kMaxContent = 512 * 1024;  // bytes of contents in one frame
inline constexpr size_t kMaxTraits = 400 * 1024;   // bytes of one entry's traits
inline constexpr size_t kMaxXattrs = 4096;         // of one entry
inline constexpr size_t kMaxListing = 4096;        // entries in one Listing
inline constexpr size_t kMaxBlocks = 32 * 1024;    // in one Signature frame
inline constexpr size_t kMaxNames = 1000;          // users in one Names, and as many groups
inline constexpr uint64_t kMaxFileSize = uint64_t{1} << 62;
inline constexpr uint64_t kMaxHashed = uint64_t{4} << 20;  // bytes of one WantHash
inline constexpr size_t kMaxHashesWanted = 64;             // that are not answered yet

struct Hello {
  uint32_t version = kVersion;
  bool resync = false;
  bool confirmed = false;
  std::string backup_set;  // of a resync
  uint64_t seed = 0;       // of this session's hashes
  uint64_t life = 0;       // the source's: drawn when it began to take note of changes
};
struct CompareBegin {
  std::vector<std::string> scopes;  // paths; none: all roots
};
// Of the names in one directory. The directory "" holds the scopes themselves.
struct Digest {
  std::string path;
  Hash hash{};
};
struct CompareEnd {};
struct Credit {  // so many entries of listings have been dealt with
  uint64_t entries = 0;
};

struct Make {  // anything but a file
  uint64_t number = 0;
  std::string path;
  Status status;
  Traits traits;
};
struct WholeFile {
  uint64_t number = 0;
  std::string path;
  Status status;
  Traits traits;
  std::span<const uint8_t> content;
};
// A large file: between begin and end, in order, the parts that are no holes.
struct FileBegin {
  std::string path;
  Status status;
  Traits traits;
  // What FileCopy takes from: the target's present version, if it is the one that the source means.
  enum class Base : uint8_t {
    kNone,
    kSigned,  // it was signed (Signature) in this session
    kKnown,   // it was made by the operation `base_number` of this session
  } base = Base::kNone;
  uint64_t base_number = 0;
};
struct FileData {
  uint64_t offset = 0;
  std::span<const uint8_t> content;
};
struct FileCopy {
  uint64_t from = 0, to = 0, length = 0;
};
struct FileEnd {  // the operation itself
  uint64_t number = 0;
  bool complete = false;  // false: the file changed meanwhile; forget it
};
// Gives attributes to a file whose contents are right already. They are taken to be right if the size is, and
// the hash, if there is one; if there is none, the time, unless the source says that it `knows`.
struct Check {
  uint64_t number = 0;
  std::string path;
  Status status;
  Traits traits;
  std::optional<Hash> hash;
  bool knows = false;
};
struct Rename {
  uint64_t number = 0;
  std::string from, to;
};
struct Link {
  uint64_t number = 0;
  std::string from, to;
};
struct Remove {
  uint64_t number = 0;
  std::string path;
};
struct WantSignature {
  std::string path;
};
// Of a scrub. Answered in order, beside everything else.
struct WantHash {
  std::string path;
  uint64_t offset = 0;
  uint64_t length = 0;
};
// A part of the source's table of users and groups.
struct Names {
  bool first = true;
  bool last = true;
  IdTable table;
};
struct Finish {};  // the compare is done, all of it is durable: close the backup set, record

struct Welcome {
  enum class Answer : uint8_t { kGoOn, kNeedsResync, kHalted, kRefused } answer = Answer::kGoOn;
  std::string why;
  bool goes_on = false;  // what has arrived of this life is done, and nobody else has written since
};
struct Listed {
  std::string name;  // in the directory "": a path
  Status status;
  bool changed = false;  // here, since the agreement
  Hash traits{};         // of an entry that has changed
  std::string leader;    // the first name of the same file, if this is another one
};
struct Listing {
  std::string path;
  bool missing = false;  // no such directory here
  bool last = true;      // no more entries of this directory follow
  std::vector<Listed> entries;
};
struct Compared {  // so many digests have been dealt with
  uint64_t digests = 0;
};
struct CompareDone {
  uint64_t files = 0;  // of the target, in the scopes
};
struct Acked {
  uint64_t number = 0;
};
struct Failed {
  uint64_t number = 0;
  enum class Reason : uint8_t {
    kDiffers,  // a check: the contents are not those
    kAbsent,   // a name, or a directory on the way to it, is not there
    kFull,     // no space, or over quota
    kDenied,   // no permission
    kOther,
  } reason = Reason::kOther;
  std::string why;  // in words, with the path
};
struct BlockSum {
  uint32_t weak = 0;
  std::array<uint8_t, 12> strong{};

  bool operator==(const BlockSum&) const = default;
};
struct Signature {
  std::string path;
  uint64_t size = 0;        // of the target's version; 0 if it has none
  uint32_t block_size = 0;  // the last block may be shorter
  bool last = true;
  std::vector<BlockSum> blocks;
};
struct PartHash {
  std::string path;
  uint64_t offset = 0;
  std::optional<Hash> hash;  // of what is there; none if that is no file, or cannot be read, or is shorter
  uint64_t size = 0;         // of the whole file
};
struct Finished {
  std::string report;  // the loss report as JSON; empty if there was no backup set
  std::string problem;
};

using SourceFrame =
    std::variant<Hello, CompareBegin, Digest, CompareEnd, Credit, Make, WholeFile, FileBegin, FileData,
                 FileCopy, FileEnd, Check, Rename, Link, Remove, WantSignature, Finish, WantHash, Names>;
using TargetFrame =
    std::variant<Welcome, Listing, Compared, CompareDone, Acked, Failed, Signature, Finished, PartHash>;

void write_frame(std::vector<uint8_t>& out, const SourceFrame& frame);
void write_frame(std::vector<uint8_t>& out, const TargetFrame& frame);

// The next frame of a message; its views point into the message. nullopt: the message is over.
[[nodiscard]] Result<std::optional<SourceFrame>> read_source_frame(ByteReader& in);
[[nodiscard]] Result<std::optional<TargetFrame>> read_target_frame(ByteReader& in);

[[nodiscard]] size_t traits_size(const Traits& traits);

}  // namespace clusterd::mirror::live
