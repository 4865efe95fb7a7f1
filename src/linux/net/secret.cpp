#include "linux/net/secret.hpp"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <string_view>

namespace clusterd {

namespace {

constexpr std::string_view kMake = "make one with `clusterctl keygen` and copy {0} to the other node";

tl::unexpected<Error> refuse(const std::string& file, std::string_view cause, std::string_view remedy) {
  return fail(Code::kConfig, fmt::format("{}: {}; {}", file, cause, fmt::format(fmt::runtime(remedy), file)));
}

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Result<Secret> parse(const std::string& file, std::string_view text) {
  const size_t end = text.find_last_not_of(" \t\r\n");
  text = text.substr(0, end == std::string_view::npos ? 0 : end + 1);
  for (const char c : text) {
    if (digit(c) < 0) return refuse(file, "holds something else than hex digits", kMake);
  }
  Secret secret{};
  if (text.size() != secret.size() * 2) {
    return refuse(file, fmt::format("holds {} hex digits instead of 64", text.size()), kMake);
  }
  for (size_t i = 0; i < secret.size(); ++i) {
    secret[i] = static_cast<uint8_t>(digit(text[2 * i]) * 16 + digit(text[2 * i + 1]));
  }
  if (secret == Secret{}) return refuse(file, "holds only zeros, which is no secret", kMake);
  return secret;
}

Result<Secret> read_from(int fd, const std::string& file) {
  struct stat info {};
  if (fstat(fd, &info) != 0) return refuse(file, std::strerror(errno), kMake);
  if (!S_ISREG(info.st_mode)) return refuse(file, "is not a regular file", kMake);
  if ((info.st_mode & 077U) != 0) {
    return refuse(
        file,
        fmt::format("has mode {:04o}: others than its owner can read or write it", info.st_mode & 07777U),
        "run \"chmod 600 {0}\", and make a new secret if somebody may have seen it");
  }
  std::array<char, 256> buffer{};
  const ssize_t got = read(fd, buffer.data(), buffer.size());
  if (got < 0) return refuse(file, std::strerror(errno), kMake);
  if (static_cast<size_t>(got) == buffer.size())
    return refuse(file, "is too long for a secret of 64 hex digits", kMake);
  return parse(file, std::string_view(buffer.data(), static_cast<size_t>(got)));
}

}  // namespace

Result<Secret> read_secret(const std::string& file) {
  const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) return refuse(file, fmt::format("cannot be read: {}", std::strerror(errno)), kMake);
  auto secret = read_from(fd, file);
  close(fd);
  return secret;
}

}  // namespace clusterd
