#include "linux/net/secret.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

namespace clusterd {
namespace {

class SecretFile : public ::testing::Test {
 protected:
  SecretFile() {
    std::string pattern = ::testing::TempDir() + "clusterd-secret-XXXXXX";
    const int fd = mkstemp(pattern.data());
    EXPECT_GE(fd, 0);
    close(fd);
    file_ = pattern;
  }
  ~SecretFile() override { std::remove(file_.c_str()); }

  Result<Secret> with(const std::string& text, mode_t mode = 0600) {
    std::ofstream(file_, std::ios::trunc) << text;
    chmod(file_.c_str(), mode);
    return read_secret(file_);
  }
  void expect_refused(const Result<Secret>& secret, const std::string& cause, const std::string& remedy) {
    ASSERT_FALSE(secret.has_value());
    EXPECT_EQ(secret.error().code, Code::kConfig);
    EXPECT_NE(secret.error().message.find(file_), std::string::npos) << secret.error().message;
    EXPECT_NE(secret.error().message.find(cause), std::string::npos) << secret.error().message;
    EXPECT_NE(secret.error().message.find(remedy), std::string::npos) << secret.error().message;
  }

  std::string file_;
  const std::string good_ = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";
};

TEST_F(SecretFile, ReadsSixtyFourHexDigits) {
  for (const char* end : {"", "\n", " \r\n\n"}) {
    const auto secret = with(good_ + end);
    ASSERT_TRUE(secret.has_value()) << secret.error().message;
    for (size_t i = 0; i < secret->size(); ++i) EXPECT_EQ((*secret)[i], i);
  }
}

TEST_F(SecretFile, RefusesAnyOtherLength) {
  for (size_t length = 0; length < 64; ++length) {
    expect_refused(with(good_.substr(0, length)), "instead of 64", "clusterctl keygen");
  }
  expect_refused(with(good_ + "0"), "65 hex digits", "clusterctl keygen");
  expect_refused(with(good_ + good_ + good_ + good_), "too long", "clusterctl keygen");
}

TEST_F(SecretFile, RefusesWhatIsNotHexAndDoesNotQuoteIt) {
  const auto secret = with("g" + good_.substr(1));
  expect_refused(secret, "else than hex", "clusterctl keygen");
  EXPECT_EQ(secret.error().message.find(good_.substr(1, 8)), std::string::npos);
  expect_refused(with(good_.substr(0, 32) + " " + good_.substr(32)), "else than hex", "clusterctl keygen");
  expect_refused(with(std::string(64, '0')), "only zeros", "clusterctl keygen");
}

TEST_F(SecretFile, RefusesAFileThatOthersCanReadOrWrite) {
  for (const mode_t mode : {0640U, 0604U, 0620U, 0602U, 0610U, 0644U}) {
    expect_refused(with(good_, mode), "others than its owner", "chmod 600 " + file_);
  }
  EXPECT_TRUE(with(good_, 0400).has_value());
}

TEST_F(SecretFile, RefusesWhatIsNoFile) {
  std::remove(file_.c_str());
  expect_refused(read_secret(file_), "No such file", "clusterctl keygen");
  ASSERT_EQ(mkfifo(file_.c_str(), 0600), 0);
  expect_refused(read_secret(file_), "not a regular file", "clusterctl keygen");
}

}  // namespace
}  // namespace clusterd
