#include "mirror/manifest.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cstring>
#include <memory>

#include "base/mark.hpp"
#include "mirror/escape.hpp"

namespace clusterd::mirror {
namespace {

constexpr std::string_view kMagic = "clusterd-manifest 1";
constexpr size_t kMaxRoots = 1024;
constexpr std::string_view kTypes = "fdlpsbc";

// Takes the next word (up to a blank) off `text`.
std::string_view word(std::string_view& text) {
  const size_t blank = text.find(' ');
  const std::string_view first = text.substr(0, blank);
  text = blank == std::string_view::npos ? std::string_view{} : text.substr(blank + 1);
  return first;
}

template <class T>
bool number(std::string_view text, T& value, int base = 10) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return error == std::errc{} && end == text.data() + text.size();
}

bool clean_escaped_path(std::string_view text, std::string& path) {
  auto raw = unescape(text);
  if (!raw || !is_clean_path(*raw)) return false;
  path = std::move(*raw);
  return true;
}

tl::unexpected<Error> bad(std::string_view what) {
  mark(Mark::kManifestDamaged);
  return fail(Code::kCorrupt, fmt::format("the manifest is damaged: {}", what));
}

}  // namespace

bool path_before(std::string_view a, std::string_view b) {
  const size_t n = std::min(a.size(), b.size());
  // Most paths have much in common, so that comparing them is much of every walk: eight bytes at a time.
  size_t i = 0;
  for (; i + sizeof(uint64_t) <= n; i += sizeof(uint64_t)) {
    uint64_t x = 0, y = 0;
    std::memcpy(&x, a.data() + i, sizeof x);
    std::memcpy(&y, b.data() + i, sizeof y);
    if (x != y) break;
  }
  while (i < n && a[i] == b[i]) ++i;
  if (i == n) return a.size() < b.size();
  const int x = a[i] == '/' ? 0 : static_cast<uint8_t>(a[i]);
  const int y = b[i] == '/' ? 0 : static_cast<uint8_t>(b[i]);
  return x < y;
}

bool is_clean_path(std::string_view path) {
  if (path.size() < 2 || path.front() != '/' || path.back() == '/') return false;
  for (size_t i = 0; i < path.size();) {
    const size_t end = std::min(path.find('/', i + 1), path.size());
    const std::string_view part = path.substr(i + 1, end - i - 1);
    if (part.empty() || part == "." || part == ".." || part.find('\0') != std::string_view::npos)
      return false;
    i = end;
  }
  return true;
}

bool same_content(const Entry& a, const Entry& b) {
  if (a.type != b.type || a.mode != b.mode || a.uid != b.uid || a.gid != b.gid) return false;
  return a.type == 'd' || (a.size == b.size && a.mtime_ns == b.mtime_ns);
}

bool same_state(const Entry& a, const Entry& b) {
  return same_content(a, b) && (a.type == 'd' || (a.ctime_ns == b.ctime_ns && a.inode == b.inode));
}

std::string write_header(const ManifestHeader& header) {
  std::string out = fmt::format("{}\nrole {}\nepoch {}\ntime {}\nboot {}\n", kMagic,
                                header.role == ManifestHeader::Role::kSource ? "source" : "target",
                                header.epoch, header.time_unix, header.boot.empty() ? "-" : header.boot);
  for (const RootRecord& root : header.roots) {
    // The mount point goes last but one as an escaped word: blanks in it would end the word.
    std::string mount = escape(root.mount_point);
    std::string quoted;
    for (char c : mount) quoted += c == ' ' ? std::string("\\x20") : std::string(1, c);
    out += fmt::format("root {} {} {} {} {} {}\n", root.type, root.device, root.files,
                       root.filesystem.empty() ? "-" : root.filesystem, quoted, escape(root.path));
  }
  for (const std::string& mount : header.mounts) out += fmt::format("mount {}\n", escape(mount));
  return out + "entries\n";
}

std::string write_entry(const Entry& e) {
  return fmt::format("{} {:o} {} {} {} {} {} {} {}\n", e.type, e.mode, e.uid, e.gid, e.size, e.mtime_ns,
                     e.ctime_ns, e.inode, escape(e.path));
}

std::string write_end(uint64_t entries) { return fmt::format("end {}\n", entries); }

Result<std::optional<Entry>> ManifestParser::line(std::string_view text) {
  if (text.size() > kMaxManifestLine) return bad("a line is too long");
  switch (state_) {
    case State::kStart:
      if (text != kMagic) return bad("it does not begin as one");
      state_ = State::kHeader;
      return std::optional<Entry>{};
    case State::kHeader:
      return header_line(text);
    case State::kEntries:
      return entry_line(text);
    case State::kEnd:
      break;
  }
  return bad("something follows its end");
}

Result<std::optional<Entry>> ManifestParser::header_line(std::string_view text) {
  std::string_view rest = text;
  const std::string_view key = word(rest);
  bool ok = true;
  if (key == "entries") {
    state_ = State::kEntries;
  } else if (key == "role") {
    ok = rest == "source" || rest == "target";
    header_.role = rest == "source" ? ManifestHeader::Role::kSource : ManifestHeader::Role::kTarget;
  } else if (key == "epoch") {
    ok = number(rest, header_.epoch);
  } else if (key == "time") {
    ok = number(rest, header_.time_unix);
  } else if (key == "boot") {
    header_.boot = rest == "-" ? "" : std::string(rest);
  } else if (key == "root") {
    RootRecord root;
    const std::string_view type = word(rest);
    ok = type.size() == 1 && kTypes.find(type[0]) != std::string_view::npos &&
         number(word(rest), root.device) && number(word(rest), root.files) &&
         header_.roots.size() < kMaxRoots;
    if (ok) root.type = type[0];
    root.filesystem = std::string(word(rest));
    if (root.filesystem == "-") root.filesystem.clear();
    auto mount = unescape(word(rest));
    ok = ok && mount && clean_escaped_path(rest, root.path);
    if (ok) root.mount_point = *mount;
    if (ok) header_.roots.push_back(std::move(root));
  } else if (key == "mount") {
    std::string path;
    ok = clean_escaped_path(rest, path) && header_.mounts.size() < kMaxRoots;
    if (ok) header_.mounts.push_back(std::move(path));
  } else {
    ok = false;
  }
  if (!ok) return bad(fmt::format("header line \"{}\"", escape(text.substr(0, 80))));
  return std::optional<Entry>{};
}

Result<std::optional<Entry>> ManifestParser::entry_line(std::string_view text) {
  std::string_view rest = text;
  const std::string_view type = word(rest);
  if (type == "end") {
    uint64_t count = 0;
    if (!number(rest, count) || count != count_) return bad("its number of entries is wrong");
    state_ = State::kEnd;
    return std::optional<Entry>{};
  }
  auto parsed = parse_entry(text);
  if (!parsed) return tl::unexpected(parsed.error());
  if (count_ > 0 && !path_before(last_path_, parsed->path)) return bad("its entries are out of order");
  last_path_ = parsed->path;
  ++count_;
  return std::optional<Entry>{std::move(*parsed)};
}

Result<Entry> parse_entry(std::string_view text) {
  std::string_view rest = text;
  const std::string_view type = word(rest);
  Entry e;
  const bool ok = type.size() == 1 && kTypes.find(type[0]) != std::string_view::npos &&
                  number(word(rest), e.mode, 8) && e.mode <= 07777 && number(word(rest), e.uid) &&
                  number(word(rest), e.gid) && number(word(rest), e.size) && number(word(rest), e.mtime_ns) &&
                  number(word(rest), e.ctime_ns) && number(word(rest), e.inode) &&
                  clean_escaped_path(rest, e.path);
  if (!ok) return bad(fmt::format("entry \"{}\"", escape(text.substr(0, 80))));
  e.type = type[0];
  return e;
}

Result<void> compare_streams(const EntryStream& before, const EntryStream& now,
                             const std::function<Result<void>(const Entry*, const Entry*)>& visit) {
  auto a = before();
  auto b = now();
  while (true) {
    if (!a) return tl::unexpected(a.error());
    if (!b) return tl::unexpected(b.error());
    if (!a->has_value() && !b->has_value()) return {};
    const bool take_a = a->has_value() && (!b->has_value() || !path_before((*b)->path, (*a)->path));
    const bool take_b = b->has_value() && (!a->has_value() || !path_before((*a)->path, (*b)->path));
    if (auto ok = visit(take_a ? &**a : nullptr, take_b ? &**b : nullptr); !ok) return ok;
    if (take_a) a = before();
    if (take_b) b = now();
  }
}

EntryStream union_of(EntryStream one, EntryStream two) {
  struct Both {
    EntryStream one, two;
    std::optional<Entry> next_one, next_two;
    bool begun = false;
  };
  auto both = std::make_shared<Both>(Both{std::move(one), std::move(two), {}, {}});
  const auto advance = [](EntryStream& stream, std::optional<Entry>& next) -> Result<void> {
    auto entry = stream();
    if (!entry) return tl::unexpected(entry.error());
    next = std::move(*entry);
    return {};
  };
  return [both, advance]() -> Result<std::optional<Entry>> {
    Both& b = *both;
    if (!b.begun) {
      b.begun = true;
      if (auto ok = advance(b.one, b.next_one); !ok) return tl::unexpected(ok.error());
      if (auto ok = advance(b.two, b.next_two); !ok) return tl::unexpected(ok.error());
    }
    if (!b.next_one && !b.next_two) return std::optional<Entry>{};
    const bool take_one = b.next_one && (!b.next_two || !path_before(b.next_two->path, b.next_one->path));
    const bool take_two = b.next_two && (!b.next_one || !path_before(b.next_one->path, b.next_two->path));
    std::optional<Entry> taken = take_one ? b.next_one : b.next_two;
    if (take_one) {
      if (auto ok = advance(b.one, b.next_one); !ok) return tl::unexpected(ok.error());
    }
    if (take_two) {
      if (auto ok = advance(b.two, b.next_two); !ok) return tl::unexpected(ok.error());
    }
    return taken;
  };
}

Entry unproven(const Entry& entry) {
  Entry out = entry;
  out.inode = 0;
  out.ctime_ns = 0;
  return out;
}

bool is_unproven(const Entry& entry) { return entry.inode == 0; }

std::optional<Entry> agreed_after_run(const Entry* agreed, const Entry* sent, const Entry* now) {
  if (!sent) {
    // Not there when the run began: the run has deleted it at the target, or it is newer than the run, which
    // may have carried it over all the same.
    mark(Mark::kNewSinceRunBegan);
    return now ? std::optional<Entry>(unproven(*now)) : std::nullopt;
  }
  // Deleted meanwhile: the run may have carried it over, so the deletion is what has not been mirrored.
  if (!now) {
    mark(Mark::kDeletedDuringRun);
    return *sent;
  }
  if (same_state(*sent, *now)) return *sent;
  // Changed meanwhile: the run may have carried over either version, or a mixture. The older record stands,
  // and the entry counts as not mirrored until the next run.
  mark(Mark::kChangedDuringRun);
  return agreed ? *agreed : unproven(*now);
}

Entry agreed_after_broken_run(const Entry* agreed, const Entry* sent, const Entry* now) {
  if (agreed && sent) return *agreed;
  // Not there when the run began: the run may have deleted it at the target. Should it be put back as it was
  // (its directory renamed, and back; a file system mounted again), the peer need not have it any more.
  if (agreed) {
    mark(Mark::kGoneWhenRunBroke);
    return unproven(*agreed);
  }
  return unproven(sent ? *sent : *now);
}

}  // namespace clusterd::mirror
