// Performs the source's operations below the roots of a mirror, in batches.
//
//   stage    contents go to files without a name (O_TMPFILE): a crash leaves nothing behind
//   commit   the contents are synced; then everything gets its name, in the order of the operations;
//            directories get their times back; all of it is synced; the agreement is recorded
//
// So a name never shows contents that are not wholly there, also after a power cut. An operation that fails
// is reported with its number and changes nothing else.
//
// Threading: one thread.
#pragma once

#include <chrono>
#include <map>
#include <set>
#include <unordered_map>
#include <variant>
#include <vector>

#include "linux/mirror/live/agreement_store.hpp"
#include "linux/mirror/live/holder.hpp"
#include "linux/mirror/live/inode.hpp"
#include "linux/mirror/live/keeper.hpp"
#include "linux/mirror/live/owners.hpp"
#include "mirror/live/frames.hpp"

namespace clusterd::live {

class Applier {
 public:
  Applier(const Anchors& anchors, const std::vector<std::string>& exclude, AgreementStore& store,
          uint64_t seed)
      : anchors_(anchors), exclude_(exclude), store_(store), seed_(seed) {}

  // Owners are told by name, and become this node's; nullptr: by number.
  void own_by(std::unique_ptr<OwnersHere> owners) { owners_ = std::move(owners); }

  // Keeps what it overwrites or deletes there; nullptr: no more.
  void keep_in(std::unique_ptr<Keeper> keeper) { keeper_ = std::move(keeper); }

  // Takes an operation, a part of a large file, or what has to be known before. false: none of these.
  bool stage(const mirror::live::SourceFrame& frame);
  [[nodiscard]] bool full() const { return batch_.size() >= kMaxBatch || staged_bytes_ >= kMaxStaged; }
  [[nodiscard]] bool empty() const { return batch_.empty(); }

  struct Result {
    uint64_t last = 0;  // number of the last operation of the batch
    std::vector<mirror::live::Failed> failed;
  };
  // Everything that was staged. All of it that has not failed is durable.
  Result commit();
  // Large files whose place others have taken: their blocks are freed here, which nobody need wait for.
  void forget_replaced() { replaced_.clear(); }

  // What an earlier connection left unfinished: a large file with this name goes on from there. Nothing: what
  // was held is of no use any more.
  void go_on_with(std::optional<Unfinished> held);
  // The same for the next connection, after the last operation of this one.
  std::optional<Unfinished> let_go();

  // The blocks of what is at `path` now, or of what is held for it if that is more, for a delta.
  Outcome<mirror::live::Signature> signature(const std::string& path,
                                             const std::function<void(mirror::live::Signature)>& part);

 private:
  static constexpr size_t kMaxBatch = 512;
  static constexpr uint64_t kMaxStaged = 64 * 1024 * 1024;

  struct Staged {  // a file's contents, waiting for their name
    std::string path;
    Status status;
    Traits traits;
    Fd file;
    std::optional<Failure> failed;
    Fd old{};  // the large one that it takes the place of
  };
  struct Nothing {};
  struct Operation {
    uint64_t number = 0;
    std::variant<Nothing, Staged, mirror::live::Make, mirror::live::Check, mirror::live::Rename,
                 mirror::live::Link, mirror::live::Remove>
        what;
    std::optional<Failure> refused{};  // nobody here is its owner
  };
  struct Large {  // a file between FileBegin and FileEnd
    Staged file;
    Fd base;
    Status base_status;
    uint64_t covered = 0;  // everything below is data or a hole
    uint64_t unsynced = 0;
    bool cloned = false;  // it begins with what the base is
    // It is the base: what was held goes on in the very file, as another one beside it might not fit on the
    // disk.
    bool in_place = false;
    uint64_t intact = UINT64_MAX;  // in place: everything below still is what was summed
  };
  struct Touched {  // a directory whose names change; it gets its time back
    Fd folder;
    std::string path;
    int64_t mtime_ns = 0;
  };
  struct Inode {
    uint64_t device, number;
    bool operator<(const Inode& o) const { return std::tie(device, number) < std::tie(o.device, o.number); }
  };

  // stage.cpp
  void begin(const mirror::live::FileBegin& frame);
  std::optional<Failure> own(const std::string& path, Status& status, Traits& traits);
  template <class Frame>
  void add_owned(Frame operation);
  void follow_held(const mirror::live::SourceFrame& frame);
  void open_base(const mirror::live::FileBegin& frame, Large& large);
  void write(uint64_t offset, std::span<const uint8_t> content);
  void copy(const mirror::live::FileCopy& frame);
  void end(const mirror::live::FileEnd& frame);
  void give_up(Large& large, const Failure& why);
  void give_up(Staged& file, const Failure& why);
  Outcome<Fd> nameless(const std::string& path);
  Outcome<void> put(Large& large, uint64_t offset, std::span<const uint8_t> content);
  Outcome<void> put(Large& large, const mirror::live::FileCopy& frame);
  static void write_behind(Large& large, uint64_t length);
  Outcome<void> copy_in_place(Large& large, const mirror::live::FileCopy& frame);
  void leave_hole(Large& large, uint64_t until);
  Outcome<void> finish(Large& large);

  // apply_operations.cpp
  Outcome<void> name_file(Staged& file);
  Outcome<void> make(const mirror::live::Make& make);
  Outcome<void> make_new(const Place& place, const mirror::live::Make& make);
  Outcome<void> check(const mirror::live::Check& check);
  Outcome<void> rename(const mirror::live::Rename& rename);
  Outcome<void> link(const mirror::live::Link& link);
  Outcome<void> remove(const std::string& path);
  Outcome<void> remove_at(int folder, const std::string& name, const std::string& path,
                          bool protect_excluded);
  Outcome<void> clear_way(const Place& place, const std::string& path, char type);
  Outcome<void> give(const Place& place, const std::string& path, const Status& status, const Traits& traits);
  void touch(int folder, const std::string& path_of_name);
  void intend(int folder, const std::string& path, int64_t mtime_ns);
  void changed(Fd file) { inodes_.push_back(std::move(file)); }
  std::string temporary();

  // apply.cpp
  Outcome<void> perform(Operation& operation);
  Outcome<void> sync_contents();
  Outcome<void> keep_victims();
  Outcome<void> keep_tree(int folder, const std::string& name, const std::string& path);
  Outcome<void> sync_names();
  void note_unfinished(const std::vector<Operation>& operations);
  void record(const Operation& operation);

  const Anchors& anchors_;
  const std::vector<std::string>& exclude_;
  AgreementStore& store_;
  const uint64_t seed_;
  std::unique_ptr<Keeper> keeper_;
  std::unique_ptr<OwnersHere> owners_;
  std::vector<Operation> batch_;
  uint64_t staged_bytes_ = 0;
  std::optional<Large> large_;
  std::optional<Unfinished> held_;
  bool held_signed_ = false;  // the source was told of its blocks
  std::map<Inode, Touched> touched_;
  std::vector<Fd> inodes_;  // whose attributes have changed in this batch
  std::vector<Fd> replaced_;
  // Large files as this session has left them or summed them: the only ones that a delta may start from.
  struct Base {
    int64_t signed_at = 0, made_at = 0;  // change time of the inode then
    uint64_t number = 0;                 // of the operation that made it
  };
  std::map<Inode, Base> bases_;
  uint64_t temporaries_ = 0, token_ = 0;
  // Files whose last contents could not be put here: a rename of one of them would show what it is not to
  // show.
  std::set<std::string> unfinished_;
};

}  // namespace clusterd::live
