// What clusterd-config answers of the always mirror before it knows anything, and to those who ask for too
// much.
#include "keep/always.hpp"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace clusterd::keep {
namespace {

using testing::HasSubstr;

class Always : public testing::Test {
 protected:
  Always() {
    char name[] = "/var/tmp/always-keep-XXXXXX";
    root_ = ::mkdtemp(name);
    NodeOptions options;
    options.config_dir = root_ + "/etc";
    options.state_dir = root_ + "/var";
    options.run_dir = root_ + "/run";
    options.node = "serv1";
    node_.emplace(options);
    always_.emplace(*node_);
  }
  ~Always() override { std::filesystem::remove_all(root_); }
  std::string peer(const std::string& question) {
    return always_->answer_peer(*versions::parsed(question)).value_or("");
  }
  std::string local(const std::string& question) {
    return always_->answer_local(*versions::parsed(question)).value_or("");
  }

  std::string root_;
  std::optional<ThisNode> node_;
  std::optional<AlwaysMirror> always_;
};

TEST_F(Always, BeforeTheFirstLookItSaysNothingOfItself) {
  EXPECT_THAT(peer(always::asked_to_look("", "x")), HasSubstr("only just started"));
  EXPECT_THAT(local(asked("always-show")), HasSubstr("\"met\":false"));
  EXPECT_THAT(local(asked_to_keep("/etc/hosts", "serv9")), HasSubstr("there is no node"));
}

// Somebody who has the secret asks for a file that is not listed, by its true digest.
TEST_F(Always, NothingIsReadThatItHasNotNamed) {
  const std::string file = root_ + "/file";
  std::ofstream(file) << "private";
  const auto value = versions::parsed(peer(always::asked_for({{file, always::digest_of("private"), 0}})));
  ASSERT_TRUE(value);
  const auto parts = always::parts_from(*value);
  ASSERT_TRUE(parts);
  ASSERT_EQ(parts->size(), 1U);
  EXPECT_TRUE(parts->front().gone);
}

TEST_F(Always, OtherQuestionsAreNotForIt) {
  for (const char* question : {R"({"do":"ask"})", R"({})", R"({"do":"always"})", R"({"do":"always-show"})",
                               R"({"do":"always-keep","path":"/etc/hosts","from":"serv1"})"})
    EXPECT_EQ(peer(question), "") << question << ": no order from the other node";
}

}  // namespace
}  // namespace clusterd::keep
