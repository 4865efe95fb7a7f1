// Names of files as text, and patterns of names. The first byte divides the input into pattern and text.
#include "linux/state/text.hpp"
#include "mirror/escape.hpp"
#include "mirror/exclude.hpp"
#include "targets.hpp"

namespace clusterd::fuzz {

void fuzz_names(Bytes input) {
  if (input.size() > 4096) return;  // longer than a path can be
  const std::string_view bytes = text_of(input);
  const std::string escaped = mirror::escape(bytes);
  require(clean_utf8(escaped, escaped.size()) == escaped, "an escaped name is UTF-8");
  for (const char c : escaped)
    require(static_cast<uint8_t>(c) >= 0x20 && c != 0x7f, "without control characters");
  const auto raw = mirror::unescape(escaped);
  if (bytes.find('\0') == std::string_view::npos) require(raw && *raw == bytes, "an escaped name comes back");
  if (const auto other = mirror::unescape(bytes))
    require(mirror::unescape(mirror::escape(*other)).value_or("\0") == *other ||
                other->find('\0') != std::string::npos,
            "whatever is read can be written");
  require(mirror::unescape_rsync(bytes).size() <= bytes.size(), "rsync's names only get shorter");

  const std::string clean = clean_utf8(bytes, 100);
  require(clean.size() <= 100 && clean_utf8(clean, 100) == clean, "cleaned is clean");
  require(clean.find('\0') == std::string::npos, "and without NUL");
  for (const char c : header_text(bytes, 80)) require(c >= 0x20 && c < 0x7f, "a header is printable ASCII");

  Feed feed(input);
  const std::string pattern = feed.text(1 + feed.below(64));
  const std::string text = feed.text(300);
  require(mirror::wildcard_match("**", text), "two stars match everything");
  (void)mirror::wildcard_match(pattern, text);
  const bool as_file = mirror::excluded({pattern}, "/" + text, false);
  require(!as_file || mirror::excluded({pattern}, "/" + text, true),
          "what excludes a file excludes a directory");
}

}  // namespace clusterd::fuzz
