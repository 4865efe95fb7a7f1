#include "linux/mirror/live/connector.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <thread>

#include "linux/mirror/live/tls_channel.hpp"
#include "linux/net/secret.hpp"
#include "linux/net/socket.hpp"
#include "mirror/escape.hpp"
#include "mirror/live_hello.hpp"

namespace clusterd {
namespace {

using Clock = std::chrono::steady_clock;
using mirror::Answer;
using std::chrono::milliseconds;

// A connection, as its user and the one who looks for a better link share it.
struct Use {
  explicit Use(std::unique_ptr<Channel> c) : channel(std::move(c)) {}
  const std::unique_ptr<Channel> channel;
  std::atomic<Clock::rep> last_sent{Clock::now().time_since_epoch().count()};

  [[nodiscard]] Clock::duration idle() const {
    return Clock::now().time_since_epoch() - Clock::duration(last_sent.load());
  }
};

class UsedChannel : public Channel {
 public:
  explicit UsedChannel(std::shared_ptr<Use> use) : use_(std::move(use)) {}
  ~UsedChannel() override { UsedChannel::close(); }
  Result<void> send(std::span<const std::byte> message) override {
    use_->last_sent = Clock::now().time_since_epoch().count();
    return use_->channel->send(message);
  }
  Result<void> flush() override { return use_->channel->flush(); }
  Result<std::optional<std::vector<std::byte>>> receive() override { return use_->channel->receive(); }
  void close() override { use_->channel->close(); }

 private:
  std::shared_ptr<Use> use_;
};

}  // namespace

class Connector::Impl : public std::enable_shared_from_this<Connector::Impl> {
 public:
  Impl(const Config& config, ServiceId service, MirrorId mirror, Epoch epoch)
      : config_(config),
        service_(config.service(service)),
        mirror_(service_.mirrors.at(mirror.at())),
        epoch_(epoch),
        peer_(config.node(config.peer()).name) {
    for (const bool of_service : {false, true}) {
      for (size_t i = 0; i < config.links.size(); ++i) {
        if ((LinkId(i) == service_.link) == of_service) links_.emplace_back(i);
      }
    }
  }

  Result<std::unique_ptr<Channel>> connect() {
    auto secret = read_secret(config_.secret_file);
    if (!secret) return tl::unexpected(secret.error());
    const TlsKey key = derive_tls_key(*secret, config_.cluster, config_.node(config_.self).name, peer_);
    Error last{Code::kRetry, fmt::format("{} cannot be reached on any link", peer_)};
    for (size_t rank = 0; rank < links_.size() && !stopped_; ++rank) {
      auto session = handshake(links_[rank], key);
      if (!session) {
        last = session.error();
        continue;
      }
      return introduce(tls_channel(std::move(*session), {mirror_.bandwidth}), rank, key);
    }
    if (stopped_) return fail(Code::kRetry, "cancelled");
    return tl::unexpected(last);
  }

  void stop() {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    if (connecting_.valid()) ::shutdown(connecting_.get(), SHUT_RDWR);
    if (const auto use = use_.lock()) use->channel->close();
    changed_.notify_all();
  }

  // Thread: until the channel is gone, or closed for a better link.
  void look_for_better(size_t rank, const TlsKey& key, const std::weak_ptr<Use>& weak) {
    const auto begin = Clock::now();
    int good = 0;
    while (pause(kLookEvery)) {
      good = any_works(rank, key) ? good + 1 : 0;
      const auto use = weak.lock();
      if (!use) return;
      const bool quiet = use->idle() >= kIdle || Clock::now() - begin > kMoveAnyway;
      if (good < 2 || !quiet) continue;
      std::fprintf(stderr, "<6>live mirror %s/%s: a better link works again\n", service_.name.c_str(),
                   mirror_.name.c_str());
      use->channel->close();
      return;
    }
  }

 private:
  // False: stopped.
  bool pause(milliseconds span) {
    std::unique_lock lock(mutex_);
    return !changed_.wait_for(lock, span, [this] { return stopped_.load(); });
  }

  bool any_works(size_t rank, const TlsKey& key) {
    for (size_t better = 0; better < rank; ++better) {
      auto session = handshake(links_[better], key);
      if (!session) continue;
      tls_channel(std::move(*session), {})->close();  // says goodbye before any hello
      return true;
    }
    return false;
  }

  Result<TlsSession> handshake(LinkId link, const TlsKey& key) {
    auto socket = connect_tcp(link);
    if (!socket) return tl::unexpected(socket.error());
    // stop() shuts down the copy, so that nobody waits for the handshake.
    if (!hold(Fd(::fcntl(socket->get(), F_DUPFD_CLOEXEC, 0)))) return fail(Code::kRetry, "cancelled");
    auto session = TlsSession::start(std::move(*socket), TlsSide::kSource, key, kLinkLimit);
    hold(Fd());
    if (session) return session;
    return fail(session.error().code,
                fmt::format("{} over link {}: {}", peer_, config_.link(link).name, session.error().message));
  }

  bool hold(Fd copy) {
    const std::lock_guard lock(mutex_);
    connecting_ = std::move(copy);
    return !stopped_;
  }

  Result<Fd> connect_tcp(LinkId link) {
    const LinkConfig& config = config_.link(link);
    const IpAddress own = config.ends.at(config_.self.at()).address.address;
    const IpAddress theirs = config.ends.at(config_.peer().at()).address.address;
    const auto trouble = [&](const std::string& why) {
      return fail(Code::kRetry, fmt::format("{} over link {}: {}", peer_, config.name, why));
    };
    Fd socket(::socket(net::domain_of(own), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket.valid()) return trouble("no socket");
    // From the link's own address: otherwise the kernel might choose another way there.
    const auto from = net::socket_address(own, 0, 0);
    if (::bind(socket.get(), from.get(), from.length) != 0)
      return trouble("this node's address is not there");
    const auto to = net::socket_address(theirs, config_.mirror_port, 0);
    if (::connect(socket.get(), to.get(), to.length) != 0 && errno != EINPROGRESS)
      return trouble("unreachable");
    pollfd p{socket.get(), POLLOUT, 0};
    for (auto left = kLinkLimit; left.count() > 0 && !stopped_; left -= milliseconds(100)) {
      const int ready = ::poll(&p, 1, 100);
      if (ready < 0 && errno != EINTR) return trouble("unreachable");
      if (ready <= 0) continue;
      int error = 0;
      socklen_t size = sizeof error;
      ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
      if (error == ECONNREFUSED)
        return trouble(fmt::format("nothing listens on port {}", config_.mirror_port));
      if (error != 0) return trouble("unreachable");
      return socket;
    }
    return trouble("it does not answer");
  }

  Result<std::unique_ptr<Channel>> introduce(std::unique_ptr<Channel> opened, size_t rank,
                                             const TlsKey& key) {
    const auto use = std::make_shared<Use>(std::move(opened));
    auto channel = std::make_unique<UsedChannel>(use);
    {
      const std::lock_guard lock(mutex_);
      use_ = use;
      if (stopped_) channel->close();
    }
    const mirror::Hello hello{
        config_.cluster, config_.node(config_.self).name, peer_,      service_.name, mirror_.name,
        epoch_.value,    mirror::hash_of(mirror_),        mirror_.ids};
    const auto broke = [&](const std::string& why) {
      return fail(Code::kRetry, fmt::format("{}: {}", peer_, why));
    };
    if (auto ok = channel->send(mirror::encode(hello)); !ok) return broke(ok.error().message);
    auto message = channel->receive();
    if (!message) return broke(message.error().message);
    if (!*message) return broke("it has closed the connection");
    auto answer = mirror::decode_answer(**message);
    if (!answer) return fail(answer.error().code, fmt::format("{}: {}", peer_, answer.error().message));
    if (answer->verdict != Answer::Verdict::kWelcome) return refused(*answer);
    if (rank > 0) {
      std::thread([self = shared_from_this(), rank, key, weak = std::weak_ptr(use)] {
        self->look_for_better(rank, key, weak);
      }).detach();
    }
    std::fprintf(stderr, "<6>live mirror %s/%s: connected with %s over link %s\n", service_.name.c_str(),
                 mirror_.name.c_str(), peer_.c_str(), config_.link(links_[rank]).name.c_str());
    return channel;
  }

  [[nodiscard]] tl::unexpected<Error> refused(const Answer& answer) const {
    const std::string reason = mirror::escape(answer.reason);
    if (answer.verdict == Answer::Verdict::kRefused) {
      return fail(Code::kRefused, fmt::format("{} refuses: {}", peer_, reason));
    }
    return fail(Code::kRetry, fmt::format("{}: {}", peer_, reason));
  }

  const Config& config_;
  const ServiceConfig& service_;
  const MirrorConfig& mirror_;
  const Epoch epoch_;
  const std::string peer_;
  std::vector<LinkId> links_;  // the best first
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<bool> stopped_ = false;
  Fd connecting_;
  std::weak_ptr<Use> use_;
};

Connector::Connector(const Config& config, ServiceId service, MirrorId mirror, Epoch epoch)
    : impl_(std::make_shared<Impl>(config, service, mirror, epoch)) {}
Connector::~Connector() { impl_->stop(); }
Result<std::unique_ptr<Channel>> Connector::connect() { return impl_->connect(); }
void Connector::stop() { impl_->stop(); }

}  // namespace clusterd
