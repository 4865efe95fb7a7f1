// Whether both nodes have alike what a service needs beside its data (docs/decisions/0016), on a thread of
// its own at the lowest priority: looks at what is here, asks the other node for what it has, compares, and
// tells the daemon. Nothing is ever changed, and nothing depends on it but what people are told.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "alike/words.hpp"
#include "keep/node.hpp"
#include "keep/words.hpp"
#include "linux/alike/look.hpp"

namespace clusterd::keep {

class LikenessKeeper {
 public:
  explicit LikenessKeeper(const ThisNode& node) : node_(node) {}

  [[noreturn]] void run();  // on its own thread

  // On any thread: what the other node asks; nullopt: it is not for this.
  [[nodiscard]] std::optional<std::string> answer_peer(const json::value& question);

 private:
  void round();
  // Whether something has changed: in what is wanted, in what is here, in what is known of the other node.
  [[nodiscard]] bool read_wanted();
  [[nodiscard]] bool look();
  [[nodiscard]] bool ask();
  [[nodiscard]] bool not_known(std::string why);
  [[nodiscard]] std::string report() const;
  void tell_daemon();

  const ThisNode& node_;

  // The thread's own.
  alike::Look look_;
  std::string version_;  // the digest of the version that `wanted_` is of
  std::map<std::string, alike::Wanted> wanted_;
  alike::Word mine_;
  std::optional<alike::Word> theirs_;
  std::string asked_with_;  // the digest of the own word when the other node was asked last
  std::string contact_;     // why nothing is known of it; empty: it has answered
  int64_t last_look_ms_ = -1'000'000, last_ask_ms_ = -1'000'000;
  std::string report_, told_;  // as it is, and as the daemon has taken it last

  // What the other thread sees.
  std::mutex mutex_;
  bool poked_ = false;  // the other node has something new
  std::string mine_text_, mine_digest_, theirs_digest_;
};

}  // namespace clusterd::keep
