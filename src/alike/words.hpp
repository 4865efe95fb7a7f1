// What two nodes say to each other of what has to be alike, and what the daemon is told of it, as JSON. Names
// are escaped (mirror/escape.hpp): they may hold any byte. Whatever is read is checked as a stranger's.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "alike/list.hpp"
#include "always/words.hpp"

namespace clusterd::alike {

namespace json = boost::json;

// Of an encoded word: what does not fit is too much to be compared.
inline constexpr size_t kMaxWordBytes = always::kMaxWordBytes;
// Of what the daemon is told: a request that its control socket takes.
inline constexpr size_t kMaxReportBytes = size_t{48} * 1024;

[[nodiscard]] std::string encoded(const Word& word);
// A word of an older version has no numbers: they are not known then.
[[nodiscard]] std::optional<Word> word_from(const json::value& value);

// `known`: the digest of the other node's word as this one knows it; it need not say it again. `mine`: that
// of the own word, by which the other node learns that it should ask.
[[nodiscard]] std::string asked_to_look(const std::string& known, const std::string& mine);

// By the service's name.
using Report = std::map<std::string, Likeness>;
// Differences that find no room are only counted.
[[nodiscard]] std::string encoded(const Report& report);
// nullopt: not written by `encoded`.
[[nodiscard]] std::optional<Report> report_from(const std::string& text);

}  // namespace clusterd::alike
