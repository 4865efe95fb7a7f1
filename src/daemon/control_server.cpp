#include "daemon/control_server.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/json.hpp>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <list>
#include <optional>
#include <utility>

namespace clusterd {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace json = boost::json;
using Local = asio::local::stream_protocol;
using BoostError = boost::system::error_code;

namespace {

class Session;

std::string answer_json(const CommandAnswer& answer) {
  return json::serialize(json::object{{"ok", answer.ok}, {"text", answer.text}}) + "\n";
}

std::string error_json(std::string_view text) { return answer_json({false, std::string(text)}); }

// The value of `key` in "a=1&b=2", percent-decoded; empty if it is not there or not well formed.
std::string query_value(std::string_view query, std::string_view key) {
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const size_t equal = pair.find('=');
    if (equal == std::string_view::npos || pair.substr(0, equal) != key) continue;
    std::string value;
    for (size_t i = equal + 1; i < pair.size(); ++i) {
      unsigned byte = 0;
      if (pair[i] != '%') {
        value += pair[i];
      } else if (i + 2 < pair.size() &&
                 std::from_chars(pair.data() + i + 1, pair.data() + i + 3, byte, 16).ptr ==
                     pair.data() + i + 3) {
        value += static_cast<char>(byte);
        i += 2;
      } else {
        return {};
      }
    }
    return value;
  }
  return {};
}

// nullopt for what is not a plain number; `absent` when nothing was given.
std::optional<uint64_t> query_number(std::string_view query, std::string_view key, uint64_t absent) {
  const std::string text = query_value(query, key);
  if (text.empty()) return absent;
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

class ControlServer::Impl : public std::enable_shared_from_this<ControlServer::Impl> {
 public:
  Impl(EventLoop& loop, ControlBackend& backend, ControlLimits limits, const AccessGroups& groups)
      : io_(*static_cast<asio::io_context*>(loop.native())),
        acceptor_(io_),
        retry_(io_),
        backend_(backend),
        limits_(limits),
        groups_(groups) {}

  Result<void> listen(const std::string& path);
  void close();
  void forget(const Session* session);
  [[nodiscard]] size_t waiting() const;

  asio::io_context& io_;
  Local::acceptor acceptor_;
  asio::steady_timer retry_;
  ControlBackend& backend_;
  const ControlLimits limits_;
  const AccessGroups groups_;
  ControlStats stats_;
  std::list<std::shared_ptr<Session>> sessions_;  // oldest first

 private:
  void accept();
  void accepted(Local::socket socket);
  void make_room(Access newcomer);
};

namespace {

// One connection. It lives as long as the server lists it or a callback holds it.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(std::weak_ptr<ControlServer::Impl> server, Local::socket socket, Access access,
          const PeerCredentials& peer, const ControlLimits& limits)
      : server_(std::move(server)),
        stream_(std::move(socket)),
        deadline_(stream_.get_executor()),
        access_(access),
        pid_(peer.pid),
        uid_(peer.uid),
        limits_(limits) {}

  void read() {
    parser_.emplace();
    parser_->header_limit(static_cast<uint32_t>(limits_.max_header));
    parser_->body_limit(limits_.max_body);
    stream_.expires_after(limits_.idle);  // for the whole request, however slowly it trickles in
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](const BoostError& error, size_t) { self->on_read(error); });
  }

  // Ends the connection at once. Callbacks that are under way find it closed.
  void drop() {
    closed_ = true;
    deadline_.cancel();
    BoostError ignored;
    stream_.socket().close(ignored);
  }

  [[nodiscard]] bool waits_for_command() const { return waiting_; }
  [[nodiscard]] Access access() const { return access_; }

 private:
  void on_read(const BoostError& error) {
    const auto server = server_.lock();
    if (!server || closed_) return;
    if (!error) {
      ++server->stats_.requests;
      handle(*server);
      return;
    }
    if (error == beast::error::timeout) {
      ++server->stats_.dropped;
      finish();
    } else if (error == http::error::body_limit) {
      refuse(*server, http::status::payload_too_large, "the request's body is too big");
    } else if (error == http::error::header_limit || error == http::error::buffer_overflow) {
      refuse(*server, http::status::request_header_fields_too_large, "the request's header is too big");
    } else if (error.category() == make_error_code(http::error::bad_method).category() &&
               error != http::error::end_of_stream && error != http::error::partial_message) {
      refuse(*server, http::status::bad_request, "this is not HTTP/1.1");
    } else {
      finish();
    }
  }

  void handle(ControlServer::Impl& server) {
    const auto& request = parser_->get();
    if (access_ == Access::kNone) {
      return refuse(server, http::status::forbidden, refusal(Access::kRead, server.groups_, uid_));
    }
    const std::string_view target(request.target().data(), request.target().size());
    const size_t mark = std::min(target.find('?'), target.size());
    const std::string_view path = target.substr(0, mark);
    const std::string_view query = target.substr(std::min(mark + 1, target.size()));
    if (path == "/v1/command" || path == "/v1/likeness") {
      if (request.method() != http::verb::post)
        return refuse(server, http::status::method_not_allowed, "use POST");
      if (access_ != Access::kAdmin) {
        return refuse(server, http::status::forbidden, refusal(Access::kAdmin, server.groups_, uid_));
      }
      return path == "/v1/command" ? command(server) : likeness(server);
    }
    if (path != "/v1/status" && path != "/v1/check" && path != "/v1/decisions" && path != "/v1/events") {
      return refuse(server, http::status::not_found, "no such page; see docs/operations.md");
    }
    if (request.method() != http::verb::get)
      return refuse(server, http::status::method_not_allowed, "use GET");
    if (path == "/v1/status") return reply(http::status::ok, server.backend_.status());
    if (path == "/v1/check") return reply(http::status::ok, server.backend_.check());
    if (path == "/v1/events") {
      const auto after = query_number(query, "after", 0);
      if (!after) return refuse(server, http::status::bad_request, "\"after\" has to be a number");
      return reply(http::status::ok, server.backend_.events(*after));
    }
    const auto limit = query_number(query, "limit", 10);
    if (!limit) return refuse(server, http::status::bad_request, "\"limit\" has to be a number");
    auto text = server.backend_.decisions(query_value(query, "service"), static_cast<size_t>(*limit));
    if (!text) return refuse(server, http::status::not_found, "there is no such service");
    reply(http::status::ok, std::move(*text));
  }

  void likeness(ControlServer::Impl& server) {
    const CommandAnswer answer = server.backend_.likeness(parser_->get().body());
    if (!answer.ok) return refuse(server, http::status::bad_request, answer.text);
    reply(http::status::ok, answer_json(answer));
  }

  void command(ControlServer::Impl& server) {
    if (server.waiting() >= limits_.max_waiting) {
      return refuse(server, http::status::service_unavailable,
                    "too many orders wait for their answers; look at `clusterctl status`, and try again");
    }
    std::string error;
    const auto order = parse_command(parser_->get().body(), error);
    if (!order) return refuse(server, http::status::bad_request, error);
    waiting_ = true;
    const uint64_t turn = ++command_;
    stream_.expires_never();
    deadline_.expires_after(limits_.command);
    deadline_.async_wait([self = shared_from_this(), turn](const BoostError& cancelled) {
      if (cancelled || !self->waits_for(turn)) return;
      self->waiting_ = false;
      self->reply(http::status::gateway_timeout,
                  error_json("no answer yet; the order stands, look at `clusterctl status`"));
    });
    // Weak: an answer that never comes must not keep a connection that is gone.
    server.backend_.command(*order, pid_, [weak = weak_from_this(), turn](const CommandAnswer& answer) {
      const auto self = weak.lock();
      if (!self || !self->waits_for(turn)) return;
      self->waiting_ = false;
      self->deadline_.cancel();
      self->reply(answer.ok ? http::status::ok : http::status::conflict, answer_json(answer));
    });
  }

  [[nodiscard]] bool waits_for(uint64_t turn) const { return !closed_ && waiting_ && command_ == turn; }

  void refuse(ControlServer::Impl& server, http::status status, std::string_view text) {
    ++server.stats_.refused;
    last_ = true;
    reply(status, error_json(text));
  }

  void reply(http::status status, std::string body) {
    response_.emplace(status, 11);
    response_->set(http::field::content_type, "application/json");
    response_->body() = std::move(body);
    response_->keep_alive(!last_ && parser_->get().keep_alive());
    response_->prepare_payload();
    stream_.expires_after(limits_.idle);
    http::async_write(stream_, *response_, [self = shared_from_this()](const BoostError& error, size_t) {
      if (self->closed_) return;
      const auto server = self->server_.lock();
      if (server && error == beast::error::timeout) ++server->stats_.dropped;
      if (error || !self->response_->keep_alive()) return self->finish();
      self->read();
    });
  }

  void finish() {
    drop();
    if (const auto server = server_.lock()) server->forget(this);
  }

  std::weak_ptr<ControlServer::Impl> server_;
  beast::basic_stream<Local> stream_;
  asio::steady_timer deadline_;  // of the command that waits for its answer
  beast::flat_buffer buffer_{128 * 1024};
  std::optional<http::request_parser<http::string_body>> parser_;
  std::optional<http::response<http::string_body>> response_;
  const Access access_;
  const pid_t pid_;
  const uid_t uid_;
  const ControlLimits limits_;
  uint64_t command_ = 0;
  bool waiting_ = false;
  bool last_ = false;
  bool closed_ = false;
};

// A dead daemon's socket may be replaced; whatever else lies there is somebody's file.
Result<void> clear_path(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return {};
    return fail(Code::kRefused, path + ": " + std::strerror(errno));
  }
  if (!S_ISSOCK(info.st_mode)) {
    return fail(Code::kConfig, path + " exists and is not a socket; remove it or choose another --run-dir");
  }
  if (::unlink(path.c_str()) != 0) return fail(Code::kRefused, path + ": " + std::strerror(errno));
  return {};
}

}  // namespace

Result<void> ControlServer::Impl::listen(const std::string& path) {
  if (path.size() > 100)
    return fail(Code::kConfig, path + ": too long for a socket; choose a shorter --run-dir");
  if (auto cleared = clear_path(path); !cleared) return cleared;
  BoostError error;
  acceptor_.open(Local(), error);
  if (!error) {
    ::fcntl(acceptor_.native_handle(), F_SETFD, FD_CLOEXEC);
    const mode_t before = ::umask(0177);
    acceptor_.bind(Local::endpoint(path), error);
    ::umask(before);
  }
  if (!error) acceptor_.listen(64, error);
  if (error) return fail(Code::kRefused, "cannot listen on " + path + ": " + error.message());
  if (auto permitted = permit(path, groups_); !permitted) return permitted;
  accept();
  return {};
}

void ControlServer::Impl::accept() {
  acceptor_.async_accept([weak = weak_from_this()](const BoostError& error, Local::socket socket) {
    const auto self = weak.lock();
    if (!self || error == asio::error::operation_aborted) return;
    if (!error) {
      self->accepted(std::move(socket));
      return self->accept();
    }
    // No descriptors left, or the like: trying again at once would only burn the processor.
    self->retry_.expires_after(std::chrono::milliseconds(200));
    self->retry_.async_wait([weak](const BoostError& cancelled) {
      if (const auto again = weak.lock(); again && !cancelled) again->accept();
    });
  });
}

void ControlServer::Impl::accepted(Local::socket socket) {
  ::fcntl(socket.native_handle(), F_SETFD, FD_CLOEXEC);
  const auto peer = peer_credentials(socket.native_handle());
  if (!peer) return;
  ++stats_.accepted;
  const Access access = access_of(*peer, groups_);
  make_room(access);
  if (sessions_.size() >= limits_.max_connections) {
    ++stats_.dropped;  // the others may do more, or wait for answers: the newcomer has to try again
    return;
  }
  auto session = std::make_shared<Session>(weak_from_this(), std::move(socket), access, *peer, limits_);
  sessions_.push_back(session);
  session->read();
}

void ControlServer::Impl::make_room(Access newcomer) {
  if (sessions_.size() < limits_.max_connections) return;
  auto least = sessions_.end();
  for (auto it = sessions_.begin(); it != sessions_.end(); ++it) {
    if ((*it)->waits_for_command()) continue;
    if (least == sessions_.end() || (*it)->access() < (*least)->access()) least = it;
  }
  if (least == sessions_.end() || (*least)->access() > newcomer) return;
  (*least)->drop();
  sessions_.erase(least);
  ++stats_.dropped;
}

size_t ControlServer::Impl::waiting() const {
  return static_cast<size_t>(std::count_if(sessions_.begin(), sessions_.end(),
                                           [](const auto& session) { return session->waits_for_command(); }));
}

void ControlServer::Impl::forget(const Session* session) {
  sessions_.remove_if([session](const std::shared_ptr<Session>& other) { return other.get() == session; });
}

void ControlServer::Impl::close() {
  BoostError ignored;
  acceptor_.close(ignored);
  retry_.cancel();
  for (const auto& session : sessions_) session->drop();
  sessions_.clear();
}

ControlServer::ControlServer(EventLoop& loop, ControlBackend& backend, ControlLimits limits,
                             const AccessGroups& groups)
    : impl_(std::make_shared<Impl>(loop, backend, limits, groups)) {}
ControlServer::~ControlServer() { impl_->close(); }

Result<void> ControlServer::listen(const std::string& path) { return impl_->listen(path); }
size_t ControlServer::connections() const { return impl_->sessions_.size(); }
ControlStats ControlServer::stats() const { return impl_->stats_; }

}  // namespace clusterd
