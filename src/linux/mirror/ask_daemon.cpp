// A very small HTTP client: one request over a Unix socket, answer until the end of its body.
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "linux/mirror/backup_json.hpp"
#include "linux/mirror/files.hpp"
#include "linux/mirror/target.hpp"

namespace clusterd {
namespace {

constexpr int kTimeoutMs = 5000;
constexpr size_t kMaxAnswer = 256 * 1024;

struct Answer {
  int status = 0;
  std::string body;
};

// Header names in lower case, for the comparison alone.
std::optional<size_t> content_length(std::string headers) {
  std::transform(headers.begin(), headers.end(), headers.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  const size_t at = headers.find("\r\ncontent-length:");
  if (at == std::string::npos) return std::nullopt;
  return std::strtoull(headers.c_str() + at + 17, nullptr, 10);
}

Result<Answer> read_answer(int fd) {
  std::string text;
  size_t body_at = 0;
  std::optional<size_t> length;
  while (true) {
    if (body_at == 0) {
      const size_t end = text.find("\r\n\r\n");
      if (end != std::string::npos) {
        body_at = end + 4;
        length = content_length(text.substr(0, end + 2));
      }
    }
    if (body_at > 0 && length && text.size() >= body_at + *length) break;
    pollfd p{fd, POLLIN, 0};
    const int ready = ::poll(&p, 1, kTimeoutMs);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return fail(Code::kRetry, "the local clusterd does not answer");
    char buffer[8192];
    const ssize_t n = ::recv(fd, buffer, sizeof buffer, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(Code::kRetry, "the local clusterd does not answer");
    if (n == 0) break;
    text.append(buffer, static_cast<size_t>(n));
    if (text.size() > kMaxAnswer) return fail(Code::kCorrupt, "the local clusterd's answer is too long");
  }
  if (body_at == 0 || text.compare(0, 7, "HTTP/1.") != 0 || text.size() < 12) {
    return fail(Code::kCorrupt, "the local clusterd's answer is no HTTP");
  }
  Answer answer;
  answer.status = std::atoi(text.c_str() + 9);
  answer.body = text.substr(body_at, length.value_or(std::string::npos));
  return answer;
}

}  // namespace

Result<void> ask_daemon(const std::string& socket_path, const std::string& body) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof address.sun_path)
    return fail(Code::kConfig, "the run directory's path is too long");
  std::memcpy(address.sun_path, socket_path.c_str(), socket_path.size() + 1);
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid() || ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return fail(Code::kRetry, errno_text("the local clusterd does not run: cannot connect to", socket_path));
  }
  const std::string request = fmt::format(
      "POST /v1/command HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Content-Length: {}\r\nConnection: close\r\n\r\n{}",
      body.size(), body);
  for (std::string_view rest = request; !rest.empty();) {
    const ssize_t n = ::send(fd.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(Code::kRetry, "the local clusterd does not listen");
    rest.remove_prefix(static_cast<size_t>(n));
  }
  auto answer = read_answer(fd.get());
  if (!answer) return tl::unexpected(answer.error());
  if (answer->status == 200) return {};
  const std::string text = answer_text(answer->body);
  return fail(Code::kRefused,
              text.empty() ? fmt::format("the local clusterd refuses (HTTP {})", answer->status) : text);
}

}  // namespace clusterd
