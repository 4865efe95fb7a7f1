// What paired nodes tell each other, each message sealed (sealed.hpp):
//
//   joining → waiting   about: its machine, clock, ssh host keys
//   joining ← waiting   files: all of /etc/cluster.d, with the secret; or an error
//   joining → waiting   staged: the files are good here and lie beside their places; or an error
//   joining ← waiting   keep: they are in place on the waiting node
//   joining → waiting   kept
//
// Both sides check the other one's words as those of a stranger: a peer that knows the code may still be
// broken.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/load.hpp"
#include "setup/machine.hpp"
#include "setup/propose.hpp"

namespace clusterd::pair {

struct About {
  setup::Machine machine;
  std::string version;
  int64_t clock_s = 0;     // wall clock, seconds since 1970
  setup::Lines host_keys;  // "ssh-ed25519 AAAA…", without names
};

inline constexpr size_t kMaxHostKeys = 8;
inline constexpr size_t kMaxBundleBytes = 4 * 1024 * 1024;

[[nodiscard]] std::string encoded(const About& about);
[[nodiscard]] std::optional<About> about_from(const std::string& message);

// Names as within /etc/cluster.d. Only names that belong there are taken: see is_cluster_file.
[[nodiscard]] std::string encoded(const ConfigTexts& files);
[[nodiscard]] std::optional<ConfigTexts> files_from(const std::string& message);
[[nodiscard]] bool is_cluster_file(const std::string& name);
[[nodiscard]] bool is_private(const std::string& name);  // mode 0600

enum class Word : uint8_t { kStaged, kKeep, kKept };
[[nodiscard]] std::string encoded(Word word);
[[nodiscard]] bool is(Word word, const std::string& message);

[[nodiscard]] std::string encoded(const setup::Trouble& trouble);
[[nodiscard]] std::optional<setup::Trouble> trouble_from(const std::string& message);

// What to say of a peer whose clock is so many seconds ahead of ours; empty if it is near enough.
[[nodiscard]] std::string clock_note(int64_t ahead_s, const std::string& peer);

// Four groups that two people can read to each other: over all files, the secret among them.
[[nodiscard]] std::string fingerprint(const ConfigTexts& files);

}  // namespace clusterd::pair
