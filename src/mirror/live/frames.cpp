#include "mirror/live/frames.hpp"

#include <algorithm>

namespace clusterd::mirror::live {
namespace {

constexpr std::string_view kTypes = "fdlpsbc";
constexpr size_t kMaxName = 255;
constexpr size_t kMaxWords = 4096;
constexpr size_t kMaxReport = 900 * 1024;

// One description of each frame for both directions: `Put` writes a field, `Get` reads and checks it.
class Put {
 public:
  explicit Put(std::vector<uint8_t>& out) : out_(out) {}
  void number(const uint64_t& v, uint64_t /*most*/ = UINT64_MAX) { out_.number(v); }
  void number(const uint32_t& v, uint64_t /*most*/ = UINT32_MAX) { out_.number(v); }
  void byte(const uint8_t& v, uint8_t /*most*/) { out_.u8(v); }
  void signed_number(const int64_t& v) { out_.signed_number(v); }
  void flag(const bool& v) { out_.flag(v); }
  void type(const char& v) { out_.u8(static_cast<uint8_t>(v)); }
  void path(const std::string& v) { out_.text(v); }
  void path_or_none(const std::string& v) { out_.text(v); }
  void name(const std::string& v) { out_.text(v); }
  void id_name(const std::string& v) { out_.text(v); }
  void text(const std::string& v, size_t /*most*/) { out_.text(v); }
  void content(const std::span<const uint8_t>& v) {
    out_.number(v.size());
    out_.bytes(v);
  }
  template <size_t n>
  void array(const std::array<uint8_t, n>& v) {
    out_.bytes(v);
  }
  template <class T, class F>
  void list(const std::vector<T>& v, size_t /*most*/, F each) {
    out_.number(v.size());
    for (const T& element : v) each(element);
  }
  template <class Enum>
  void choice(const Enum& v, Enum /*last*/) {
    out_.u8(static_cast<uint8_t>(v));
  }
  void hash(const std::optional<Hash>& v) {
    out_.flag(v.has_value());
    if (v) out_.bytes(*v);
  }

 private:
  ByteWriter out_;
};

class Get {
 public:
  explicit Get(ByteReader& in) : in_(in) {}
  void number(uint64_t& v, uint64_t most = UINT64_MAX) { v = in_.limited(in_.number(), most); }
  void number(uint32_t& v, uint64_t most = UINT32_MAX) {
    v = static_cast<uint32_t>(in_.limited(in_.number(), most));
  }
  void byte(uint8_t& v, uint8_t most) { v = static_cast<uint8_t>(in_.limited(in_.u8(), most)); }
  void signed_number(int64_t& v) { v = in_.signed_number(); }
  void flag(bool& v) { v = in_.flag(); }
  void type(char& v) {
    v = static_cast<char>(in_.u8());
    in_.fail_if(kTypes.find(v) == std::string_view::npos);
  }
  void path(std::string& v) {
    v = in_.text(kMaxPath);
    in_.fail_if(!is_clean_path(v));
  }
  void path_or_none(std::string& v) {
    v = in_.text(kMaxPath);
    in_.fail_if(!v.empty() && !is_clean_path(v));
  }
  void name(std::string& v) {  // one part of a path, or a whole one
    v = in_.text(kMaxPath);
    const bool part = v.size() <= kMaxName && v.find('/') == std::string::npos && is_clean_path("/" + v);
    in_.fail_if(!part && !is_clean_path(v));
  }
  void id_name(std::string& v) {
    v = in_.text(kMaxIdName);
    in_.fail_if(!is_id_name(v));
  }
  void text(std::string& v, size_t most) { v = in_.text(most); }
  void content(std::span<const uint8_t>& v) {
    v = in_.bytes(static_cast<size_t>(in_.limited(in_.number(), kMaxContent)));
  }
  template <size_t n>
  void array(std::array<uint8_t, n>& v) {
    const auto part = in_.bytes(n);
    if (part.size() == n) std::copy(part.begin(), part.end(), v.begin());
  }
  template <class T, class F>
  void list(std::vector<T>& v, size_t most, F each) {
    for (size_t left = in_.count(most); left > 0 && !in_.bad(); --left) each(v.emplace_back());
  }
  template <class Enum>
  void choice(Enum& v, Enum last) {
    v = static_cast<Enum>(in_.limited(in_.u8(), static_cast<uint64_t>(last)));
  }
  void hash(std::optional<Hash>& v) {
    if (in_.flag()) array(v.emplace());
  }

 private:
  ByteReader& in_;
};

// The device and the number of links are a node's own; the inode and the change time are too, but a listing
// shows them so that renamed files can be found.
template <class A, class S>
void fields_of_status(A& a, S& s) {
  a.type(s.type);
  a.number(s.mode, 07777);
  a.number(s.uid);
  a.number(s.gid);
  a.number(s.size, kMaxFileSize);
  a.signed_number(s.mtime_ns);
  a.number(s.rdev);
  a.byte(s.flags, kImmutable | kAppendOnly);
}
template <class A, class T>
void fields_of_traits(A& a, T& t) {
  a.text(t.link_target, 4096);
  a.list(t.xattrs, kMaxXattrs, [&](auto& x) {
    a.text(x.first, 255);
    a.text(x.second, 64 * 1024);
  });
}
template <class A, class L>
void fields_of_ids(A& a, L& ids) {
  a.list(ids, kMaxNames, [&](auto& id) {
    a.number(id.number, kNobodys - 1);
    a.id_name(id.name);
  });
}
template <class A, class F>
void fields_of_entry(A& a, F& f) {
  a.path(f.path);
  fields_of_status(a, f.status);
  fields_of_traits(a, f.traits);
}

template <class A, class F>
void fields(A& a, F& f) {
  using T = std::remove_const_t<F>;
  if constexpr (std::is_same_v<T, Hello>) {
    a.number(f.version);
    a.flag(f.resync);
    a.flag(f.confirmed);
    a.text(f.backup_set, 255);
    a.number(f.seed);
    a.number(f.life);
  } else if constexpr (std::is_same_v<T, CompareBegin>) {
    a.list(f.scopes, 1024, [&](auto& path) { a.path(path); });
  } else if constexpr (std::is_same_v<T, Digest>) {
    a.path_or_none(f.path);
    a.array(f.hash);
  } else if constexpr (std::is_same_v<T, Credit>) {
    a.number(f.entries);
  } else if constexpr (std::is_same_v<T, Make>) {
    a.number(f.number);
    fields_of_entry(a, f);
  } else if constexpr (std::is_same_v<T, WholeFile>) {
    a.number(f.number);
    fields_of_entry(a, f);
    a.content(f.content);
  } else if constexpr (std::is_same_v<T, FileBegin>) {
    fields_of_entry(a, f);
    a.choice(f.base, FileBegin::Base::kKnown);
    a.number(f.base_number);
  } else if constexpr (std::is_same_v<T, FileData>) {
    a.number(f.offset, kMaxFileSize);
    a.content(f.content);
  } else if constexpr (std::is_same_v<T, FileCopy>) {
    a.number(f.from, kMaxFileSize);
    a.number(f.to, kMaxFileSize);
    a.number(f.length, kMaxFileSize);
  } else if constexpr (std::is_same_v<T, FileEnd>) {
    a.number(f.number);
    a.flag(f.complete);
  } else if constexpr (std::is_same_v<T, Check>) {
    a.number(f.number);
    fields_of_entry(a, f);
    a.hash(f.hash);
    a.flag(f.knows);
  } else if constexpr (std::is_same_v<T, Rename> || std::is_same_v<T, Link>) {
    a.number(f.number);
    a.path(f.from);
    a.path(f.to);
  } else if constexpr (std::is_same_v<T, Remove>) {
    a.number(f.number);
    a.path(f.path);
  } else if constexpr (std::is_same_v<T, WantSignature>) {
    a.path(f.path);
  } else if constexpr (std::is_same_v<T, WantHash>) {
    a.path(f.path);
    a.number(f.offset, kMaxFileSize);
    a.number(f.length, kMaxHashed);
  } else if constexpr (std::is_same_v<T, Names>) {
    a.flag(f.first);
    a.flag(f.last);
    fields_of_ids(a, f.table.users);
    fields_of_ids(a, f.table.groups);
  } else if constexpr (std::is_same_v<T, PartHash>) {
    a.path(f.path);
    a.number(f.offset, kMaxFileSize);
    a.hash(f.hash);
    a.number(f.size, kMaxFileSize);
  } else if constexpr (std::is_same_v<T, Welcome>) {
    a.choice(f.answer, Welcome::Answer::kRefused);
    a.text(f.why, kMaxWords);
    a.flag(f.goes_on);
  } else if constexpr (std::is_same_v<T, Listed>) {
    a.name(f.name);
    fields_of_status(a, f.status);
    a.number(f.status.inode);
    a.flag(f.changed);
    if (f.changed) a.array(f.traits);
    a.path_or_none(f.leader);
  } else if constexpr (std::is_same_v<T, Listing>) {
    a.path_or_none(f.path);
    a.flag(f.missing);
    a.flag(f.last);
    a.list(f.entries, kMaxListing, [&](auto& entry) { fields(a, entry); });
  } else if constexpr (std::is_same_v<T, Compared>) {
    a.number(f.digests);
  } else if constexpr (std::is_same_v<T, CompareDone>) {
    a.number(f.files);
  } else if constexpr (std::is_same_v<T, Acked>) {
    a.number(f.number);
  } else if constexpr (std::is_same_v<T, Failed>) {
    a.number(f.number);
    a.choice(f.reason, Failed::Reason::kOther);
    a.text(f.why, 4 * kMaxPath + kMaxWords);
  } else if constexpr (std::is_same_v<T, Signature>) {
    a.path(f.path);
    a.number(f.size, kMaxFileSize);
    a.number(f.block_size, 1U << 30U);
    a.flag(f.last);
    a.list(f.blocks, kMaxBlocks, [&](auto& block) {
      a.number(block.weak);
      a.array(block.strong);
    });
  } else if constexpr (std::is_same_v<T, Finished>) {
    a.text(f.report, kMaxReport);
    a.text(f.problem, kMaxWords);
  } else {
    static_assert(std::is_empty_v<T>, "each frame has its fields here");
  }
}

template <class Variant>
void write(std::vector<uint8_t>& out, const Variant& frame) {
  out.push_back(static_cast<uint8_t>(frame.index()));
  std::visit(
      [&](const auto& f) {
        Put put(out);
        fields(put, f);
      },
      frame);
}

template <class Variant, size_t i = 0>
Variant make(size_t index) {
  if constexpr (i + 1 < std::variant_size_v<Variant>) {
    if (index != i) return make<Variant, i + 1>(index);
  }
  return Variant(std::in_place_index<i>);
}

template <class Variant>
Result<std::optional<Variant>> read(ByteReader& in) {
  if (in.empty() && !in.bad()) return std::optional<Variant>{};
  const auto index = static_cast<size_t>(in.limited(in.u8(), std::variant_size_v<Variant> - 1));
  std::optional<Variant> frame(make<Variant>(index));
  std::visit(
      [&](auto& f) {
        Get get(in);
        fields(get, f);
      },
      *frame);
  if (in.bad()) return fail(Code::kCorrupt, "the other end of the mirror speaks nonsense");
  return frame;
}

}  // namespace

void write_frame(std::vector<uint8_t>& out, const SourceFrame& frame) { write(out, frame); }
void write_frame(std::vector<uint8_t>& out, const TargetFrame& frame) { write(out, frame); }
Result<std::optional<SourceFrame>> read_source_frame(ByteReader& in) { return read<SourceFrame>(in); }
Result<std::optional<TargetFrame>> read_target_frame(ByteReader& in) { return read<TargetFrame>(in); }

size_t traits_size(const Traits& traits) {
  size_t size = traits.link_target.size() + 8;
  for (const auto& [name, value] : traits.xattrs) size += name.size() + value.size() + 8;
  return size;
}

}  // namespace clusterd::mirror::live
