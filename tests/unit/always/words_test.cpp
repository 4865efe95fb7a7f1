// What two nodes say to each other of the always mirror, and what is kept on disk.
#include "always/words.hpp"

#include <gmock/gmock.h>

#include "versions/json.hpp"

namespace clusterd::always {
namespace {

Entry file() {
  Entry entry;
  entry.kind = Kind::kFile;
  entry.mode = 0640;
  entry.uid = 5;
  entry.gid = 7;
  entry.user = "anna";
  entry.content = digest_of("x");
  entry.size = 1;
  entry.mtime_ns = -3;
  return entry;
}

Word word() {
  Word word;
  word.hash = UINT64_MAX;
  word.halted = "why";
  word.store = {"A", 4};
  word.seen = {"B", 5};
  word.entries["/etc/\xff\"\\name\n"] = file();
  word.agreed["/etc/site"] = {Entry(), 3, true};
  return word;
}

TEST(Words, AWordIsReadBackAsItWasSaid) {
  const auto value = versions::parsed(encoded(word()));
  ASSERT_TRUE(value);
  EXPECT_EQ(word_from(*value), word());
}

TEST(Words, WhatIsNoWordIsNone) {
  for (const char* text :
       {"{}", R"({"entries":[],"agreed":{}})", R"({"entries":{"/a":{"kind":"fork"}},"agreed":{}})",
        R"({"entries":{"/a\\x0":{"kind":"file"}},"agreed":{}})",
        R"({"entries":{"/a":{"kind":"file","uid":4294967296}},"agreed":{}})",
        R"({"entries":{"/a":{"kind":"file","content":7}},"agreed":{}})",
        R"({"entries":{},"agreed":{"/a":{"entry":{"kind":"file"},"number":0}}})",
        R"({"entries":{},"agreed":{"/a":{"entry":{},"number":1}}})"}) {
    const auto value = versions::parsed(text);
    ASSERT_TRUE(value) << text;
    EXPECT_FALSE(word_from(*value)) << text;
  }
}

TEST(Words, FilesAreAskedForAndCarriedWhateverTheirBytes) {
  const std::vector<Wanted> wanted{{"/etc/\xfe", digest_of("x"), 17}};
  EXPECT_EQ(wanted_from(*versions::parsed(asked_for(wanted))), wanted);
  std::string bytes;
  for (int n = 0; n < 256; ++n) bytes += static_cast<char>(n);
  const std::vector<Part> parts{{"/etc/\xfe", bytes, false}, {"/etc/b", "", false}, {"/etc/c", "", true}};
  EXPECT_EQ(parts_from(*versions::parsed(answered(parts))), parts);
}

TEST(Words, MoreThanIsAskedForIsRefused) {
  const std::vector<Part> much{{"/a", std::string(kMaxCarriedBytes + 1, 'x'), false}};
  EXPECT_FALSE(parts_from(*versions::parsed(answered(much))));
  const std::vector<Part> many(kMaxAskedFiles + 1, Part{"/a", "", true});
  EXPECT_FALSE(parts_from(*versions::parsed(answered(many))));
  const std::vector<Wanted> all(kMaxAskedFiles + 1, Wanted{"/a", digest_of("x"), 0});
  EXPECT_TRUE(wanted_from(*versions::parsed(asked_for(all))).empty());
  EXPECT_TRUE(wanted_from(*versions::parsed(asked_for({{"/a", "../etc", 0}}))).empty());
  EXPECT_TRUE(wanted_from(*versions::parsed(asked_for({{"/a", digest_of("x"), UINT64_MAX}}))).empty());
}

// The largest answers fit into a message (keep/secret_talk.hpp).
TEST(Words, AnAnswerHasRoomInAMessage) {
  const std::vector<Part> most{{"/a", std::string(kMaxCarriedBytes, 'x'), false}};
  EXPECT_LT(answered(most).size(), size_t{4} * 1024 * 1024);
  EXPECT_LT(kMaxWordBytes + 1024, size_t{4} * 1024 * 1024);
}

TEST(Words, AStoreIsReadBackAndEveryChangedByteIsFound) {
  const Stored stored{{"A", 4}, {"B", 5}, word().agreed};
  const std::string text = encoded(stored);
  EXPECT_EQ(stored_from(text), stored);
  for (size_t i = 0; i < text.size(); ++i) {
    std::string damaged = text;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    const auto read = stored_from(damaged);
    EXPECT_TRUE(!read || *read == stored) << i;  // a blank between the members is none of its content
    EXPECT_FALSE(stored_from(text.substr(0, i)) && i + 1 < text.size()) << i;
  }
}

}  // namespace
}  // namespace clusterd::always
