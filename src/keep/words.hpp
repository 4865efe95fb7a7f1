// What clusterd-config is asked, and what it answers: one JSON object each way per connection. Whatever comes
// from the other side is checked as that of a stranger: a peer that has the secret may still be broken.
//
// Between nodes:
//   ask                                     → its record, the hash that its daemon runs with, edited or not
//   files, of version N or as they are now  → the files
//   prepare: version, files, flags          → prepared, or why not
//   activate: version                       → activated, or why not
//   always-look, always-files               → what the always mirror has, and parts of it (always/words.hpp)
//   alike-look                              → what its services need, as it is there (alike/words.hpp)
// On the Unix socket also:
//   always-show, always-keep: path, from    → how the always mirror stands; what a human decides of it
//   apply: what and how                     → the version's number, or why not
//   ask-peer, files-peer                    → the other node's answer
//   release-port                            → the TCP port is free for a pairing for a moment
#pragma once

#include <optional>
#include <string>

#include "base/result.hpp"
#include "versions/agree.hpp"
#include "versions/json.hpp"

namespace clusterd::keep {

namespace json = versions::json;

struct Prepare {
  versions::Change change;  // with `to`, owner, arbitration and trial
  std::string from_digest;  // of the owner's current version
  ConfigTexts files;
  bool overwrite = false;
};

struct Apply {
  int64_t trial_s = 60;
  uint64_t rollback_to = 0;  // 0: what stands in /etc/cluster.d
  bool previous = false;     // rollback: to the version before the one in force
  bool overwrite = false;    // also over what the other node has of its own
  bool alone = false;        // the other node is away, and gets it when it returns
  bool files_only = false;   // rollback: only let go of what was edited here
};

// Why something is not done.
struct Refusal {
  std::string why;      // empty: it is done
  bool passes = false;  // by itself, within moments: the same question may be answered then

  Refusal() = default;
  Refusal(const char* text) : why(text) {}           // NOLINT(google-explicit-constructor)
  Refusal(std::string text, bool by_itself = false)  // NOLINT(google-explicit-constructor)
      : why(std::move(text)), passes(by_itself) {}
  static Refusal for_now(std::string text) { return {std::move(text), true}; }
  explicit operator bool() const { return !why.empty(); }
};

[[nodiscard]] std::string asked(const char* what);
[[nodiscard]] std::string asked_for_files(uint64_t number);  // 0: as they stand in /etc/cluster.d
[[nodiscard]] std::string asked(const Prepare& prepare);
[[nodiscard]] std::string asked_to_activate(const versions::Version& version);
[[nodiscard]] std::string asked(const Apply& apply);

[[nodiscard]] std::string answered(const versions::PeerWord& word);
[[nodiscard]] std::string answered(const ConfigTexts& files);
[[nodiscard]] std::string answered_done(uint64_t number = 0, const std::string& note = "");
[[nodiscard]] std::string answered_refusal(const Refusal& refusal);

[[nodiscard]] std::string what_of(const json::value& question);
[[nodiscard]] std::optional<Prepare> prepare_from(const json::value& question);
[[nodiscard]] Apply apply_from(const json::value& question);

// An answer's contents; a refusal (kRefused, or kRetry if it passes by itself) and nonsense (kCorrupt) are
// errors.
[[nodiscard]] Result<versions::PeerWord> word_from(const std::string& answer);
[[nodiscard]] Result<ConfigTexts> files_from(const std::string& answer);
struct Done {
  uint64_t number = 0;
  std::string note;
};
[[nodiscard]] Result<Done> done_from(const std::string& answer);

}  // namespace clusterd::keep
