// What rsync prints, and what we make of its errors. It prints names of files, which may hold anything.
#include "mirror/itemize.hpp"

#include "mirror/escape.hpp"
#include "targets.hpp"

namespace clusterd::fuzz {

namespace {

bool printable(std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte < 0x20 || byte == 0x7f) return false;
  }
  return true;
}

}  // namespace

void fuzz_itemize(Bytes input) {
  mirror::Tally tally;
  std::vector<std::string> lines;
  std::string_view text = text_of(input);
  while (!text.empty() && lines.size() < 100) {
    const size_t end = std::min(text.find('\n'), text.size());
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    const auto item = mirror::parse_item(lines.back());
    if (!item) continue;
    require(!item->path.empty() && item->path.front() == '/', "paths are absolute");
    require(item->path.size() == 1 || item->path.back() != '/', "and have no slash at the end");
    tally.add(*item);
  }
  require(tally.files + tally.removed <= lines.size(), "one line counts once");
  const int code = input.empty() ? 0 : input.front();
  const std::string why = mirror::explain_failure(code, lines, "serv2", lines.size());
  require(!why.empty() && printable(why), "a cause is printable, whatever rsync has said");
  require(why.size() < 64 * 1024, "and not endless");
}

}  // namespace clusterd::fuzz
