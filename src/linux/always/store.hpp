// STATE_DIR/always: what was agreed on (agreed.json), and what was replaced (replaced/). Blocks.
#pragma once

#include <string>

#include "always/words.hpp"
#include "base/result.hpp"

namespace clusterd::always {

class Store {
 public:
  explicit Store(const std::string& state_dir) : folder_(state_dir + "/always") {}

  // A store that is not there or is damaged begins anew, and with another id: so the other node learns of it.
  [[nodiscard]] Result<Stored> load() const;
  // A name that no store has had.
  [[nodiscard]] static std::string fresh_id();
  // On disk on return.
  [[nodiscard]] Result<void> save(const Stored& stored) const;

  // Keeps what is about to be replaced: the last 20 of each path, and not more than 256 MiB together. Returns
  // where, and it is on disk then.
  [[nodiscard]] Result<std::string> keep(const std::string& path, const Entry& entry,
                                         const std::string& content) const;

 private:
  void prune() const;
  std::string folder_;
};

}  // namespace clusterd::always
