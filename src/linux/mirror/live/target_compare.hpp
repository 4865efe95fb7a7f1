// The target's half of a compare: walks its own tree, holds it against the source's digests as they come in,
// and lists the directories that differ.
//
// `owners`: owners are told by name; everything it says is in the source's numbers then.
//
// Threading: `digest`, `end`, `credit` and `stop` from the reader's thread; the walk has a thread of its own.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "linux/mirror/live/compare_walk.hpp"
#include "linux/mirror/live/outbox.hpp"

namespace clusterd::live {

class TargetCompare {
 public:
  TargetCompare(const Anchors& anchors, const std::vector<std::string>& exclude, AgreementStore& store,
                uint64_t seed, Outbox<mirror::live::TargetFrame>& out, std::vector<std::string> scopes,
                std::optional<mirror::live::OwnerMap> owners);
  ~TargetCompare();
  TargetCompare(const TargetCompare&) = delete;
  TargetCompare& operator=(const TargetCompare&) = delete;

  void digest(mirror::live::Digest digest);
  void end();
  void credit(uint64_t entries);
  [[nodiscard]] std::optional<Error> error();  // why it ended, if not well

 private:
  struct Level {
    std::string path;
    std::vector<mirror::live::Listed> entries;
  };
  void run();
  Result<void> walk();
  void entry(std::string_view path, std::string_view folder, const Status& status, bool changed);
  Result<void> finished(std::string_view path, const mirror::live::Hash& own);
  Result<std::optional<mirror::live::Digest>> next_digest();
  Result<void> list(Level level);
  Result<void> list_missing(const std::string& path);
  Result<void> wait_for_credit(size_t entries);

  const Anchors& anchors_;
  const std::vector<std::string>& exclude_;
  AgreementStore& store_;
  const uint64_t seed_;
  Outbox<mirror::live::TargetFrame>& out_;
  const std::vector<std::string> scopes_;
  const std::optional<mirror::live::OwnerMap> owners_;
  LinkLeaders leaders_;
  std::vector<Level> levels_;
  std::optional<mirror::live::Digest> ahead_;
  uint64_t files_ = 0, taken_ = 0;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<mirror::live::Digest> digests_;
  bool complete_ = false, stop_ = false;
  uint64_t listed_ = 0, credited_ = 0;
  std::optional<Error> error_;
  std::thread thread_;
};

}  // namespace clusterd::live
