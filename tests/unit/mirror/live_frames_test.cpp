// Every kind of frame: it is read as it was written, whole or not at all, and only within its bounds.
#include <gtest/gtest.h>

#include <tuple>

#include "mirror/live/frames.hpp"
#include "unit/damage.hpp"

namespace clusterd::mirror::live {
namespace {

using Bytes = std::vector<uint8_t>;

// All that a frame says, to be compared.
Bytes copy_of(std::span<const uint8_t> bytes) { return {bytes.begin(), bytes.end()}; }
auto said(const Hello& f) {
  return std::tuple(f.version, f.resync, f.confirmed, f.backup_set, f.seed, f.life);
}
auto said(const CompareBegin& f) { return f.scopes; }
auto said(const Digest& f) { return std::tuple(f.path, f.hash); }
auto said(const CompareEnd& /*f*/) { return 0; }
auto said(const Credit& f) { return f.entries; }
auto said(const Make& f) { return std::tuple(f.number, f.path, f.status, f.traits); }
auto said(const WholeFile& f) { return std::tuple(f.number, f.path, f.status, f.traits, copy_of(f.content)); }
auto said(const FileBegin& f) { return std::tuple(f.path, f.status, f.traits, f.base, f.base_number); }
auto said(const FileData& f) { return std::tuple(f.offset, copy_of(f.content)); }
auto said(const FileCopy& f) { return std::tuple(f.from, f.to, f.length); }
auto said(const FileEnd& f) { return std::tuple(f.number, f.complete); }
auto said(const Check& f) { return std::tuple(f.number, f.path, f.status, f.traits, f.hash, f.knows); }
auto said(const Rename& f) { return std::tuple(f.number, f.from, f.to); }
auto said(const Link& f) { return std::tuple(f.number, f.from, f.to); }
auto said(const Remove& f) { return std::tuple(f.number, f.path); }
auto said(const WantSignature& f) { return f.path; }
auto said(const WantHash& f) { return std::tuple(f.path, f.offset, f.length); }
auto said(const Finish& /*f*/) { return 0; }
auto said(const Names& f) {
  std::vector<std::pair<uint32_t, std::string>> ids;
  for (const auto* list : {&f.table.users, &f.table.groups}) {
    for (const NamedId& id : *list) ids.emplace_back(id.number, id.name);
    ids.emplace_back(0, "");
  }
  return std::tuple(f.first, f.last, ids);
}
auto said(const Welcome& f) { return std::tuple(f.answer, f.why, f.goes_on); }
auto said(const Listed& f) { return std::tuple(f.name, f.status, f.changed, f.traits, f.leader); }
auto said(const Listing& f) {
  std::vector<decltype(said(Listed{}))> entries;
  for (const Listed& entry : f.entries) entries.push_back(said(entry));
  return std::tuple(f.path, f.missing, f.last, entries);
}
auto said(const Compared& f) { return f.digests; }
auto said(const CompareDone& f) { return f.files; }
auto said(const Acked& f) { return f.number; }
auto said(const Failed& f) { return std::tuple(f.number, f.reason, f.why); }
auto said(const Signature& f) {
  std::vector<std::pair<uint32_t, std::array<uint8_t, 12>>> blocks;
  for (const BlockSum& block : f.blocks) blocks.emplace_back(block.weak, block.strong);
  return std::tuple(f.path, f.size, f.block_size, f.last, blocks);
}
auto said(const Finished& f) { return std::tuple(f.report, f.problem); }
auto said(const PartHash& f) { return std::tuple(f.path, f.offset, f.hash, f.size); }

Result<std::optional<SourceFrame>> read(ByteReader& in, const SourceFrame& /*kind*/) {
  return read_source_frame(in);
}
Result<std::optional<TargetFrame>> read(ByteReader& in, const TargetFrame& /*kind*/) {
  return read_target_frame(in);
}

template <class Frame>
Bytes written(const Frame& frame) {
  Bytes bytes;
  write_frame(bytes, frame);
  return bytes;
}

template <class Frame>
bool is_read(const Frame& frame) {
  const Bytes bytes = written(frame);
  ByteReader in(bytes);
  const auto back = read(in, frame);
  return back && *back;
}
bool source_reads(const SourceFrame& frame) { return is_read(frame); }
bool target_reads(const TargetFrame& frame) { return is_read(frame); }

Status status() {
  Status s;
  s.type = 'c';
  s.mode = 06751;
  s.uid = 1000;
  s.gid = 70'000;
  s.size = uint64_t{1} << 40U;
  s.mtime_ns = -1'234'567'890'123;
  s.rdev = 0x8'0001;
  s.flags = kImmutable | kAppendOnly;
  return s;
}

Traits traits() { return {"../there", {{"user.a", "one"}, {"user.b", std::string("\0\xff", 2)}}}; }

Hash hash(uint8_t first) {
  Hash out;
  for (uint8_t& byte : out) byte = first++;
  return out;
}

const Bytes kContent = {7, 0, 255, 3};

std::vector<SourceFrame> source_frames() {
  return {Hello{kVersion, true, true, "2026-01-02", 5, UINT64_MAX},
          CompareBegin{{"/srv/a", "/srv/b/c"}},
          CompareBegin{},
          Digest{"/srv", hash(1)},
          Digest{"", hash(9)},
          CompareEnd{},
          Credit{300},
          Make{1, "/srv/dev", status(), traits()},
          WholeFile{2, "/srv/\xff\n", status(), traits(), kContent},
          FileBegin{"/srv/big", status(), traits(), FileBegin::Base::kKnown, 9},
          FileData{kMaxFileSize, kContent},
          FileCopy{1, 2, 3},
          FileEnd{4, true},
          Check{5, "/srv/x", status(), traits(), hash(2), true},
          Check{6, "/srv/x", status(), {}, std::nullopt, false},
          Rename{7, "/srv/a", "/srv/b"},
          Link{8, "/srv/c", "/srv/d"},
          Remove{9, "/srv/e"},
          WantSignature{"/srv/f"},
          WantHash{"/srv/g", 4096, kMaxHashed},
          Names{true, false, {{{0, "root"}, {kNobodys - 1, "w\xc3\xbc"}}, {{33, "www-data"}}}},
          Names{},
          Finish{}};
}

std::vector<TargetFrame> target_frames() {
  Status listed = status();
  listed.inode = 77;
  return {Welcome{Welcome::Answer::kHalted, "it is halted", true},
          Listing{"/srv",
                  true,
                  false,
                  {Listed{"a", listed, true, hash(3), "/srv/leader"},
                   Listed{"/whole/path", listed, false, {}, ""}}},
          Listing{},
          Compared{1},
          CompareDone{2},
          Acked{3},
          Failed{4, Failed::Reason::kFull, "/srv/x: no space"},
          Signature{"/srv/big", 5000, 4096, false, {{1, {1, 2, 3}}, {0xffffffff, {9}}}},
          Finished{"{}", "none"},
          PartHash{"/srv/g", 4096, hash(4), 8192},
          PartHash{"/srv/g", 0, std::nullopt, 0}};
}

template <class Frame>
void expect_back(const std::vector<Frame>& frames) {
  std::vector<bool> kinds(std::variant_size_v<Frame>);
  Bytes message;
  for (const Frame& frame : frames) {
    write_frame(message, frame);
    kinds[frame.index()] = true;
  }
  for (size_t kind = 0; kind < kinds.size(); ++kind) EXPECT_TRUE(kinds[kind]) << "no frame of kind " << kind;
  ByteReader in(message);
  for (size_t i = 0; i < frames.size(); ++i) {
    const auto back = read(in, frames[i]);
    ASSERT_TRUE(back && *back) << i;
    ASSERT_EQ((*back)->index(), frames[i].index()) << i;
    std::visit(
        [&](const auto& frame) {
          EXPECT_TRUE(said(std::get<std::decay_t<decltype(frame)>>(**back)) == said(frame)) << i;
        },
        frames[i]);
  }
  const auto end = read(in, frames.front());
  ASSERT_TRUE(end);
  EXPECT_FALSE(*end) << "more frames than were written";
}

TEST(LiveFrames, OfEveryKindAreReadBackAsTheyWere) {
  expect_back(source_frames());
  expect_back(target_frames());
}

template <class Frame>
void expect_whole_or_nothing(const std::vector<Frame>& frames) {
  for (const Frame& frame : frames) {
    const Bytes whole = written(frame);
    testing::for_each_truncation(whole, [&](const Bytes& part, size_t length) {
      if (length == 0) return;  // the end of a message
      ByteReader in(part);
      const auto back = read(in, frame);
      ASSERT_FALSE(back) << "kind " << frame.index() << " cut to " << length << " of " << whole.size();
      EXPECT_EQ(back.error().code, Code::kCorrupt);
      // What is bad stays bad: that the bytes are used up is not the end of a good message.
      EXPECT_FALSE(read(in, frame)) << frame.index();
    });
  }
}

TEST(LiveFrames, AreReadWholeOrNotAtAll) {
  expect_whole_or_nothing(source_frames());
  expect_whole_or_nothing(target_frames());
}

// Whatever a turned bit makes of a frame: it is refused, or it is a frame that is written as it was read.
template <class Frame>
void expect_one_way_to_write(const std::vector<Frame>& frames) {
  for (const Frame& frame : frames) {
    testing::for_each_flip(written(frame), [&](const Bytes& damaged, size_t bit) {
      ByteReader in(damaged);
      const auto back = read(in, frame);
      if (!back) return;
      ASSERT_TRUE(*back);
      Bytes again = written(**back);
      EXPECT_TRUE(std::equal(again.begin(), again.end(), damaged.begin())) << frame.index() << " bit " << bit;
      EXPECT_EQ(again.size() + in.left(), damaged.size());
    });
  }
}

TEST(LiveFrames, HaveOneWayToBeWritten) {
  expect_one_way_to_write(source_frames());
  expect_one_way_to_write(target_frames());
}

TEST(LiveFrames, OfNoKindAreRefused) {
  for (unsigned kind = std::variant_size_v<SourceFrame>; kind < 256; ++kind) {
    const Bytes bytes(300, static_cast<uint8_t>(kind));
    ByteReader in(bytes);
    EXPECT_FALSE(read_source_frame(in)) << kind;
  }
  for (unsigned kind = std::variant_size_v<TargetFrame>; kind < 256; ++kind) {
    const Bytes bytes(300, static_cast<uint8_t>(kind));
    ByteReader in(bytes);
    EXPECT_FALSE(read_target_frame(in)) << kind;
  }
}

TEST(LiveFrames, StatusesStayWithinTheirBounds) {
  const auto reads = [](auto change) {
    Make make{1, "/srv/x", status(), {}};
    change(make.status);
    return source_reads(make);
  };
  for (const char type : {'f', 'd', 'l', 'p', 's', 'b', 'c'})
    EXPECT_TRUE(reads([&](Status& s) { s.type = type; })) << type;
  for (const char type : {'\0', 'F', 'x', '\xff'})
    EXPECT_FALSE(reads([&](Status& s) { s.type = type; })) << type;
  EXPECT_TRUE(reads([](Status& s) { s.mode = 07777; }));
  EXPECT_FALSE(reads([](Status& s) { s.mode = 010000; }));
  EXPECT_TRUE(reads([](Status& s) { s.size = kMaxFileSize; }));
  EXPECT_FALSE(reads([](Status& s) { s.size = kMaxFileSize + 1; }));
  EXPECT_FALSE(reads([](Status& s) { s.flags = 4; }));
  EXPECT_TRUE(reads([](Status& s) { s.mtime_ns = INT64_MIN; }));
}

TEST(LiveFrames, NamesAreNamesAndNotTooMany) {
  const auto reads = [](const std::string& name, uint32_t number = 7) {
    return source_reads(Names{true, true, {{{number, name}}, {}}}) &&
           source_reads(Names{true, true, {{}, {{number, name}}}});
  };
  EXPECT_TRUE(reads("web42"));
  EXPECT_TRUE(reads(std::string(kMaxIdName, 'x')));
  EXPECT_TRUE(reads("$_.-@\\\xff"));
  for (const std::string& name : {std::string(), std::string(kMaxIdName + 1, 'x'), std::string("a:b"),
                                  std::string("a\nb"), std::string("a b"), std::string("../a"),
                                  std::string("a,b"), std::string("a\0b", 3), std::string("a\x7f")})
    EXPECT_FALSE(reads(name)) << name;
  EXPECT_TRUE(reads("x", kNobodys - 1));
  EXPECT_FALSE(reads("x", kNobodys));
  const std::vector<NamedId> most(kMaxNames, {1, "x"}), more(kMaxNames + 1, {1, "x"});
  EXPECT_TRUE(source_reads(Names{true, true, {most, most}}));
  EXPECT_FALSE(source_reads(Names{true, true, {more, {}}}));
  EXPECT_FALSE(source_reads(Names{true, true, {{}, more}}));
}

TEST(LiveFrames, TraitsStayWithinTheirBounds) {
  const auto reads = [](Traits traits) {
    return source_reads(Make{1, "/srv/x", status(), std::move(traits)});
  };
  EXPECT_TRUE(reads({std::string(4096, 'x'), {}}));
  EXPECT_FALSE(reads({std::string(4097, 'x'), {}}));
  EXPECT_TRUE(reads({"", {{std::string(255, 'n'), std::string(64 * 1024, 'v')}}}));
  EXPECT_FALSE(reads({"", {{std::string(256, 'n'), ""}}}));
  EXPECT_FALSE(reads({"", {{"n", std::string(64 * 1024 + 1, 'v')}}}));
  EXPECT_TRUE(reads({"", {kMaxXattrs, {"n", "v"}}}));
  EXPECT_FALSE(reads({"", {kMaxXattrs + 1, {"n", "v"}}}));
}

TEST(LiveFrames, ContentsAndListsStayWithinTheirBounds) {
  const Bytes most(kMaxContent), more(kMaxContent + 1);
  EXPECT_TRUE(source_reads(FileData{0, most}));
  EXPECT_FALSE(source_reads(FileData{0, more}));
  EXPECT_FALSE(source_reads(WholeFile{1, "/x", status(), {}, more}));
  EXPECT_FALSE(source_reads(FileData{kMaxFileSize + 1, {}}));
  EXPECT_FALSE(source_reads(FileCopy{0, 0, kMaxFileSize + 1}));
  EXPECT_FALSE(source_reads(WantHash{"/x", 0, kMaxHashed + 1}));
  EXPECT_FALSE(source_reads(CompareBegin{{1025, "/x"}}));
  EXPECT_FALSE(source_reads(CompareBegin{{"/good", "bad", "/good"}}));
  EXPECT_TRUE(target_reads(Listing{"/x", false, true, {kMaxListing, Listed{"n", {}, false, {}, ""}}}));
  EXPECT_FALSE(target_reads(Listing{"/x", false, true, {kMaxListing + 1, Listed{"n", {}, false, {}, ""}}}));
  EXPECT_FALSE(target_reads(Signature{"/x", 1, 4096, true, {kMaxBlocks + 1, BlockSum{}}}));
  EXPECT_FALSE(target_reads(Signature{"/x", 1, (1U << 30U) + 1, true, {}}));
  // A count is not believed beyond what is there, so that nothing is reserved for it.
  Bytes bytes = written(TargetFrame(Signature{"/x", 1, 4096, true, {}}));
  bytes.back() = 100;
  ByteReader in(bytes);
  EXPECT_FALSE(read_target_frame(in));
}

TEST(LiveFrames, ChoicesAreInRange) {
  EXPECT_TRUE(target_reads(Welcome{Welcome::Answer::kRefused, "", false}));
  EXPECT_FALSE(target_reads(Welcome{static_cast<Welcome::Answer>(4), "", false}));
  EXPECT_TRUE(target_reads(Failed{1, Failed::Reason::kOther, ""}));
  EXPECT_FALSE(target_reads(Failed{1, static_cast<Failed::Reason>(5), ""}));
  EXPECT_FALSE(source_reads(FileBegin{"/x", status(), {}, static_cast<FileBegin::Base>(3), 0}));
}

TEST(LiveFrames, NamesOfAListingStayInTheirDirectory) {
  const auto reads = [](std::string name, std::string path = "/srv", std::string leader = "") {
    return target_reads(
        Listing{std::move(path), false, true, {Listed{std::move(name), {}, false, {}, std::move(leader)}}});
  };
  EXPECT_TRUE(reads("name"));
  EXPECT_TRUE(reads(std::string(255, 'x')));
  EXPECT_TRUE(reads("/a/whole/path"));
  for (const char* name : {"", ".", "..", "/", "a/b", "a/../b", "/a/..", "/a/"})
    EXPECT_FALSE(reads(name)) << name;
  EXPECT_FALSE(reads(std::string(256, 'x')));
  EXPECT_FALSE(reads("name", "relative"));
  EXPECT_FALSE(reads("name", "/srv", "../leader"));
  EXPECT_FALSE(source_reads(Digest{"/a/../b", {}}));
  EXPECT_FALSE(source_reads(Remove{1, "/" + std::string(kMaxPath, 'x')}));
}

TEST(LiveFrames, TheTraitsOfAnEntryCountWithAllTheirBytes) {
  EXPECT_GE(traits_size({"", {}}), 1U);
  EXPECT_GE(traits_size({std::string(100, 'x'), {{"name", std::string(50, 'v')}, {"n", "v"}}}),
            100U + 54U + 2U);
  EXPECT_GE(traits_size(traits()), written(SourceFrame(Make{0, "/x", {}, traits()})).size() -
                                       written(SourceFrame(Make{0, "/x", {}, {}})).size());
}

}  // namespace
}  // namespace clusterd::mirror::live
