// All that is listed, as it stands on this machine, look after look. Blocks.
//
// A change counts when two looks, a moment apart, have found it the same: a file that is just being written,
// or that an editor has put away for a moment, is neither given to the other node nor taken for deleted.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "always/entry.hpp"
#include "linux/always/place.hpp"

namespace clusterd::always {

inline constexpr int64_t kSettleMs = 400;  // a change counts after it
inline constexpr int64_t kQuietMs = 2000;  // what is gone counts when nothing more has vanished for so long

struct Stand {
  std::map<std::string, Entry> entries;  // what is there, as far as it has settled
  std::string halted;                    // why nothing is carried: too much, or not looked at twice yet
  bool settled = false;                  // nothing has changed since the look before
};

class Tree {
 public:
  // Contents are read only of what has changed since the last look.
  [[nodiscard]] Stand look(const AlwaysConfig& config, int64_t now_ms);
  // This program itself has just put it there: that counts at the next look.
  void trust(const std::string& path) { trusted_.insert(path); }

 private:
  struct Known {
    Entry entry;
    Signature signature;
    int64_t ctime_ns = 0;
    int64_t since_ms = 0;  // found like this
    [[nodiscard]] bool still(const Known& before) const {
      return signature == before.signature && ctime_ns == before.ctime_ns;
    }
  };
  [[nodiscard]] std::map<std::string, Entry> settle(int64_t now_ms, bool& settled);
  void look_at_listed(const AlwaysConfig& config, const std::string& listed);
  void walk(const AlwaysConfig& config, int folder, const std::string& path, dev_t device, int depth);
  // True: it had to be read.
  bool note(int folder, const std::string& name, const std::string& path);
  void note_opaque(const std::string& path, std::string why);
  [[nodiscard]] std::string too_much() const;

  Owners owners_;
  std::map<std::string, Known> last_, now_;
  std::map<std::string, Entry> counts_;  // as the other node is told
  std::map<std::string, int64_t> gone_;  // what counts, and is not found since
  std::set<std::string> trusted_;
  std::optional<int64_t> first_ms_;
  bool ready_ = false;  // all that counts has been seen twice
};

}  // namespace clusterd::always
