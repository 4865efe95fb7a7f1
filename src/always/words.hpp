// What two nodes say to each other of the always mirror, and what is kept on disk of it, as JSON. Names and
// paths are escaped (mirror/escape.hpp): they may hold any byte. Whatever is read is checked as a stranger's.
#pragma once

#include <boost/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "always/rules.hpp"

namespace clusterd::always {

namespace json = boost::json;

// All that one answer carries of files; the bytes are written as base64.
inline constexpr size_t kMaxCarriedBytes = 2 * 1024 * 1024;
inline constexpr size_t kMaxAskedFiles = 200;
// Of an encoded word: what does not fit is too much to be carried.
inline constexpr size_t kMaxWordBytes = 3 * 1024 * 1024 + 512 * 1024;

// A part of a file that the other node is asked for: what has this digest, from `at` on.
struct Wanted {
  std::string path, digest;
  uint64_t at = 0;
  bool operator==(const Wanted&) const = default;
};
struct Part {
  std::string path;
  std::string data;
  bool gone = false;  // it is not there any more with that digest
  bool operator==(const Part&) const = default;
};

[[nodiscard]] std::string encoded(const Word& word);
[[nodiscard]] std::optional<Word> word_from(const json::value& value);

// `known`: the digest of the other node's word as this one knows it; it need not say it again. `mine`: the
// digest of the own word, by which the other node learns that it should ask.
[[nodiscard]] std::string asked_to_look(const std::string& known, const std::string& mine);
[[nodiscard]] std::string asked_for(const std::vector<Wanted>& files);
[[nodiscard]] std::vector<Wanted> wanted_from(const json::value& question);
[[nodiscard]] std::string answered(const std::vector<Part>& parts);
// nullopt: not written by `answered`, or more than was asked for.
[[nodiscard]] std::optional<std::vector<Part>> parts_from(const json::value& answer);

// nullopt: damaged.
[[nodiscard]] std::string encoded(const Stored& stored);
[[nodiscard]] std::optional<Stored> stored_from(const std::string& text);

// What stands at a path, as in a word. nullopt: nothing that can stand there.
[[nodiscard]] json::object encoded(const Entry& entry);
[[nodiscard]] std::optional<Entry> entry_from(const json::value& value);

// For clusterctl: `null` for what is not there.
[[nodiscard]] json::value shown(const Entry& entry);

}  // namespace clusterd::always
