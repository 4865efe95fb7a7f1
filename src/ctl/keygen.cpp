#include "ctl/keygen.hpp"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace clusterd::ctl {

tl::expected<void, std::string> write_new_secret(const std::string& file) {
  std::array<unsigned char, 32> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    return tl::unexpected<std::string>("the kernel gives no random numbers");
  }
  std::string text;
  for (const unsigned char byte : bytes) {
    static constexpr char kHex[] = "0123456789abcdef";
    text += {kHex[byte >> 4U], kHex[byte & 15U]};
  }
  text += '\n';
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    std::string remedy;
    if (errno == EEXIST)
      remedy = "; it is kept as it is. To replace it on purpose, move it away on both nodes first";
    if (errno == ENOENT) remedy = "; make its folder first";
    return tl::unexpected(file + ": " + std::strerror(errno) + remedy);
  }
  const bool written = ::fchmod(fd, 0600) == 0 &&
                       ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                       ::fsync(fd) == 0;
  const int error = errno;
  ::close(fd);
  if (written) return {};
  ::unlink(file.c_str());
  return tl::unexpected(file + ": " + std::strerror(error));
}

}  // namespace clusterd::ctl
