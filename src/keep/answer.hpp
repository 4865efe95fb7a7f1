// What this node answers to the other one (words.hpp). Called on the serving thread, while the other thread
// ticks: everything that both change is the record, under its lock.
#pragma once

#include <string>

#include "keep/node.hpp"

namespace clusterd::keep {

[[nodiscard]] std::string answer_peer(const ThisNode& node, const std::string& caller,
                                      const std::string& question);

// As `ask` is answered; also for clusterctl.
[[nodiscard]] versions::PeerWord own_word(const ThisNode& node);

// Enters a phase now.
void enter(versions::Change& change, versions::Phase phase);

}  // namespace clusterd::keep
