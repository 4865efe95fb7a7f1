// What the source makes of the target's answers: an operation that has failed is handed back by the name that
// it has at the target by then, with the object that it was about, and with all that it puts in doubt.
#include "linux/mirror/live/sender.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "linux/mirror/live/object.hpp"

namespace clusterd::live {
namespace {

namespace fs = std::filesystem;
namespace ml = mirror::live;
using Reason = ml::Failed::Reason;

class Nowhere : public Channel {
 public:
  Result<void> send(std::span<const std::byte> /*message*/) override { return {}; }
  Result<void> flush() override { return {}; }
  Result<std::optional<std::vector<std::byte>>> receive() override { return fail(Code::kRetry, "nowhere"); }
  void close() override {}
};

class Answers : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/var/tmp/cdt-sender-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    root_ = name;
    fs::create_directories(root_ + "/s/d");
    auto anchors = Anchors::open({root_ + "/s"}, {});
    ASSERT_TRUE(anchors.has_value());
    anchors_ = std::move(*anchors);
    store_ = std::make_unique<AgreementStore>(root_ + "/manifest");
    sender_ = std::make_unique<Sender>(
        anchors_, *store_, links_, out_, 1,
        Sender::Hooks{[this](const Sender::Again& a) { again_[inside(a.path)] = a; },
                      [] { return Result<void>(); },
                      [](const std::function<bool()>& /*until*/) { return Result<void>(); }});
  }
  void TearDown() override {
    if (!root_.empty()) fs::remove_all(root_);
  }
  [[nodiscard]] std::string at(const std::string& path) const { return root_ + "/s/" + path; }
  // The root itself is ".".
  [[nodiscard]] std::string inside(const std::string& path) const {
    return path == root_ + "/s" ? "." : path.substr(root_.size() + 3);
  }
  void write(const std::string& path) const { std::ofstream(at(path)) << path; }
  uint64_t send(const std::string& path, uint8_t marks) {
    EXPECT_TRUE(sender_->send(at(path), marks).has_value());
    return sender_->last_number();
  }
  void rename(const std::string& from, const std::string& to) {
    fs::rename(at(from), at(to));
    EXPECT_TRUE(sender_->rename(at(from), at(to), object_at(anchors_, at(to))).has_value());
  }
  void failed(uint64_t number, Reason reason) {
    again_.clear();
    sender_->take(ml::Failed{number, reason, "so it is"});
  }
  [[nodiscard]] std::vector<std::string> handed_back() const {
    std::vector<std::string> paths;
    for (const auto& [path, again] : again_) paths.push_back(path);
    return paths;
  }

  std::string root_;
  Anchors anchors_;
  std::unique_ptr<AgreementStore> store_;
  Links links_;
  Nowhere channel_;
  Outbox<ml::SourceFrame> out_{channel_};
  std::unique_ptr<Sender> sender_;
  std::map<std::string, Sender::Again> again_;
};

// The node may die before the answer comes, and the file be put back as it was.
TEST_F(Answers, WhatIsToBeRemovedIsNotAgreedOnBeforeTheTargetHasSaidAnything) {
  const auto proven = [this] {
    std::map<std::string, bool> out;
    auto known = AgreementStore(root_ + "/manifest").open();
    EXPECT_TRUE(known.has_value());
    for (auto entry = known->entries(); entry && *entry; entry = known->entries())
      out[inside((*entry)->path)] = !mirror::is_unproven(**entry);
    return out;
  };
  for (const char* path : {"a", "b", "c"}) {
    write(path);
    store_->agreed(at(path), *look(anchors_, at(path)));
  }
  ::usleep(20'000);  // older than the clock's grain
  store_->settle([this](const std::string& path) -> std::optional<Status> { return *look(anchors_, path); });
  store_->flush();
  ASSERT_EQ(proven(), (std::map<std::string, bool>{{"a", true}, {"b", true}, {"c", true}}));
  ASSERT_TRUE(sender_->remove(at("a")).has_value());
  ASSERT_TRUE(sender_->remove(std::vector{at("b")}).has_value());
  EXPECT_EQ(proven(), (std::map<std::string, bool>{{"a", false}, {"b", false}, {"c", true}}));
  sender_->take(ml::Acked{sender_->last_number()});
  store_->flush();
  EXPECT_EQ(proven(), (std::map<std::string, bool>{{"c", true}}));
}

TEST_F(Answers, WhatDiffersIsHandedBackByItsPresentNameWithItsObject) {
  // The name may be gone by then: others of the same file are not.
  write("d/f");
  const uint64_t number = send("d/f", ml::kAttributes);
  const std::string object = object_at(anchors_, at("d/f"));
  rename("d", "e");
  failed(number, Reason::kDiffers);
  EXPECT_THAT(handed_back(), testing::ElementsAre("e/f"));
  EXPECT_EQ(again_["e/f"].marks, kAll);
  EXPECT_EQ(again_["e/f"].object, object);
}

TEST_F(Answers, ARenameThatHasFailedLeavesBothNamesToBeCompared) {
  // There may be another folder by the old name here, and still the old one there.
  fs::create_directories(at("d/x"));
  rename("d/x", "d/y");
  failed(sender_->last_number(), Reason::kAbsent);
  EXPECT_THAT(handed_back(), testing::ElementsAre("d/x", "d/y"));
  EXPECT_EQ(again_["d/x"].marks, kAll | ml::kSubtree);
  EXPECT_EQ(again_["d/y"].marks, kAll | ml::kSubtree);
}

TEST_F(Answers, WhatHasLeftAFolderThatIsNotAsItShouldBeIsComparedToo) {
  write("d/f");
  fs::create_directories(at("d/x"));
  fs::create_directories(at("other"));
  rename("other", "another");  // before, and elsewhere
  const uint64_t number = send("d/f", kAll);
  rename("d/x", "x");
  rename("x", "y");
  rename("another", "other");
  failed(number, Reason::kAbsent);
  EXPECT_THAT(handed_back(), testing::ElementsAre("d", "d/f", "y"));
  EXPECT_EQ(again_["d"].marks & ml::kSubtree, ml::kSubtree);
  EXPECT_EQ(again_["y"].marks, kAll | ml::kSubtree);
}

TEST_F(Answers, ANameThatNothingCanBeJoinedToIsForgotten) {
  write("d/a");
  fs::create_hard_link(at("d/a"), at("b"));
  send("d/a", kAll);
  send("b", ml::kName | ml::kAttributes);
  const uint64_t link = sender_->last_number() - 1;
  failed(link, Reason::kAbsent);
  EXPECT_THAT(handed_back(), testing::Contains("d/a"));
  auto status = look(anchors_, at("b"));
  ASSERT_TRUE(status.has_value());
  EXPECT_EQ(links_.other(anchors_, *status, at("b")), "");
}

TEST_F(Answers, WhatIsInDoubtHasTheNameThatTheTargetKnowsItBy) {
  write("d/f");
  send("d/f", kAll);
  rename("d", "e");
  std::vector<std::string> paths;
  for (const auto& [path, marks] : sender_->in_doubt()) paths.push_back(inside(path));
  EXPECT_THAT(paths, testing::UnorderedElementsAre("e/f", "d", "e"));
}

}  // namespace
}  // namespace clusterd::live
