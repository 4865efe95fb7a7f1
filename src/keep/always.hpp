// The always mirror as clusterd-config carries it out, on a thread of its own (docs/decisions/0015): looks at
// what is listed, asks the other node for what it has, and takes what is newer there.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "always/words.hpp"
#include "keep/node.hpp"
#include "keep/words.hpp"
#include "linux/always/store.hpp"
#include "linux/always/tree.hpp"

namespace clusterd::keep {

class AlwaysMirror {
 public:
  explicit AlwaysMirror(const ThisNode& node) : node_(node), store_(node.options().state_dir) {}

  [[noreturn]] void run();  // on its own thread

  // ---- on any thread ----
  // What the other node asks; nullopt: it is not for the always mirror.
  [[nodiscard]] std::optional<std::string> answer_peer(const json::value& question);
  // What clusterctl asks of it.
  [[nodiscard]] std::optional<std::string> answer_local(const json::value& question);

 private:
  struct Force {  // what the version in force says
    AlwaysConfig config;
    uint64_t hash = 0;
    always::Names names;
    std::string digest;  // of the version
  };
  struct Failed {  // a path that could not be taken
    always::Entry to;
    std::string why;
    int64_t again_ms = 0;
  };

  void round();
  [[nodiscard]] std::string read_force();  // why nothing may be carried now; empty: it may
  // Whether the own word has changed.
  bool look(const std::string& halted);
  void share();
  bool ask();
  // Whether something was taken.
  bool take(const std::vector<always::Finding>& findings);
  bool take_one(const always::Finding& finding, const std::string& content, size_t before_it);
  [[nodiscard]] bool fetch(const std::vector<always::Finding>& findings, size_t first,
                           std::map<std::string, std::string>& contents);
  void agree(const std::vector<always::Finding>& findings);
  void save(const always::Stored& stored);
  void publish(std::vector<always::Finding> findings);
  void tell_daemon(const std::string& stuck);
  [[nodiscard]] std::string answer_look(const json::value& question);
  [[nodiscard]] std::string answer_files(const json::value& question);
  [[nodiscard]] std::string show();
  [[nodiscard]] std::string keep(const json::value& question);

  const ThisNode& node_;
  const always::Store store_;

  // The thread's own.
  always::Tree tree_;
  Force force_;
  bool loaded_ = false;
  always::Stored stored_;
  always::Word mine_, theirs_;
  std::string mine_text_;
  std::string asked_with_;  // the digest of the own word when the other node was asked last
  std::string theirs_digest_;
  bool met_ = false;     // theirs_ was said by the other node
  std::string contact_;  // why the other node was not reached last; empty: it was
  int64_t last_look_ms_ = -1'000'000, last_ask_ms_ = -1'000'000;
  bool settled_ = false;
  std::map<std::string, Failed> failed_;
  std::optional<std::string> told_;  // what the daemon was told last

  // What the other threads see.
  std::mutex mutex_;
  std::condition_variable due_;
  bool poked_ = false;
  struct Shown {
    Force force;
    always::Word mine, theirs;
    std::string mine_text, mine_digest, theirs_digest;
    std::vector<always::Finding> findings;
    std::string halted, contact;
    bool met = false;
  } shown_;
  always::Agreements orders_;  // what a human has decided, and the thread has not taken on yet
};

// For clusterctl.
[[nodiscard]] std::string asked_to_keep(const std::string& path, const std::string& from);

}  // namespace clusterd::keep
