#include "tools/mirror_two.hpp"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>

#include "linux/descriptor_message.hpp"
#include "linux/mirror/guard.hpp"
#include "linux/mirror/live/target.hpp"

namespace clusterd {
namespace {

void require(bool ok, const char* what) {
  if (!ok) throw std::runtime_error(std::string(what) + ": " + std::strerror(errno));
}

// Counts what goes over the wire, and tells when it is gone.
class Counting : public Channel {
 public:
  Counting(std::unique_ptr<Channel> inner, std::atomic<uint64_t>& bytes, std::function<bool(uint64_t)> breaks,
           std::function<void(Channel*)> current)
      : inner_(std::move(inner)), bytes_(bytes), breaks_(std::move(breaks)), current_(std::move(current)) {
    current_(this);
  }
  ~Counting() override { current_(nullptr); }
  Result<void> send(std::span<const std::byte> message) override {
    bytes_ += message.size() + 4;
    if (breaks_(bytes_)) inner_->close();
    if (swallows_) return {};
    return inner_->send(message);
  }
  Result<void> flush() override { return inner_->flush(); }
  Result<std::optional<std::vector<std::byte>>> receive() override {
    auto message = inner_->receive();
    if (message && *message) bytes_ += (*message)->size() + 4;
    return message;
  }
  void close() override { inner_->close(); }
  void swallow() { swallows_ = true; }

 private:
  std::unique_ptr<Channel> inner_;
  std::atomic<uint64_t>& bytes_;
  const std::function<bool(uint64_t)> breaks_;
  std::atomic<bool> swallows_ = false;
  const std::function<void(Channel*)> current_;
};

}  // namespace

MirrorTwo::MirrorTwo(TwoSetup setup) : setup_(std::move(setup)) {
  config_.self = NodeId(0);
  config_.nodes = {NodeConfig{"serv1", {}}, NodeConfig{"serv2", {}}};
  struct stat st {};
  require(::stat(setup_.source.c_str(), &st) == 0, setup_.source.c_str());
  MirrorConfig mirror;
  mirror.name = "data";
  mirror.paths = {setup_.source + (S_ISDIR(st.st_mode) ? "/" : "")};
  mirror.exclude = setup_.exclude;
  mirror.remove = setup_.remove;
  mirror.scrub_rate = setup_.scrub_rate;
  mirror.guard = setup_.guard;
  mirror.ids = setup_.ids;
  ServiceConfig service;
  service.name = "web";
  service.mirrors = {mirror};
  config_.services = {service};
  for (const char* side : {"source", "target"}) (void)make_directories(setup_.state + "/" + side, 0700);
  int pair[2];
  require(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
  acceptor_ = ::fork();
  require(acceptor_ >= 0, "fork");
  if (acceptor_ == 0) {
    ::close(pair[0]);
    accept_all(pair[1]);
  }
  ::close(pair[1]);
  control_ = pair[0];
  source_ = std::make_unique<LiveSource>(
      LiveSetup{ServiceId(0), MirrorId(0), config_, paths("source"), Epoch(setup_.epoch)},
      [this] { return connect(); }, [this](const MirrorReport& report) { take(report); });
}

MirrorTwo::~MirrorTwo() {
  source_.reset();
  ::close(control_);
  int status = 0;
  ::waitpid(acceptor_, &status, 0);
}

MirrorPaths MirrorTwo::paths(const std::string& side) const {
  MirrorPaths paths;
  paths.state_dir = setup_.state + "/" + side;
  paths.run_dir = paths.state_dir;
  if (!setup_.ids_dir.empty()) paths.ids_dir = setup_.ids_dir + "/" + side;
  paths.node = side == "source" ? "serv1" : "serv2";
  return paths;
}

// In the target's view of the files: one process per connection, as `clusterd-mirror accept` is.
void MirrorTwo::accept_all(int control) const {
  const bool ready = ::unshare(CLONE_NEWNS) == 0 &&
                     ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                     ::mount(setup_.target.c_str(), setup_.source.c_str(), nullptr, MS_BIND, nullptr) == 0;
  if (!ready) {
    std::fprintf(stderr, "the target's view of the files: %s\n", std::strerror(errno));
    ::_exit(1);
  }
  if (setup_.guard) {
    auto plan = prepare_guard(setup_.source);
    if (!plan || !set_guard(std::move(*plan))) {
      std::fprintf(stderr, "the target cannot be guarded\n");
      ::_exit(1);
    }
  }
  pid_t last = -1;
  live::HeldFiles held;  // as `clusterd-mirror serve` has them
  Fd line;
  bool known = true;
  while (true) {
    pollfd news[] = {{control, POLLIN, 0}, {line.get(), POLLIN, 0}};
    ::poll(news, 2, -1);
    if (news[1].revents != 0 && !held.answer(line.get(), known)) line.reset();
    if (news[0].revents == 0) continue;
    auto connection = receive_message(control, 1);
    if (!connection || !connection->file.valid()) break;
    // One writer at a time, as the mirror's lock has it.
    if (last > 0) ::waitpid(last, nullptr, 0);
    while (line.valid() && held.answer(line.get(), known)) {
    }
    int ends[2];
    require(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
    line = Fd(ends[0]);
    const Fd theirs(ends[1]);
    last = ::fork();
    if (last == 0) {
      ::close(control);
      line.reset();
      const auto channel = plain_channel(std::move(connection->file));
      const auto& service = config_.services.at(0);
      live::Holder holder(theirs.get(), service.name, service.mirrors.at(0).name);
      const LiveTargetSetup target{
          service, service.mirrors.at(0), paths("target"), Epoch(setup_.epoch), "serv1", &holder};
      const int code = serve_live(*channel, target);
      std::fflush(nullptr);
      ::_exit(code);
    }
    connection.reset();
    require(::send(control, &last, sizeof last, MSG_NOSIGNAL) == sizeof last, "send");
  }
  if (last > 0) ::waitpid(last, nullptr, 0);
  ::_exit(0);
}

Result<std::unique_ptr<Channel>> MirrorTwo::connect() {
  if (away_) return fail(Code::kRetry, "the peer is away");
  int pair[2];
  require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
  require(send_message(control_, "c", pair[1]), "sendmsg");
  ::close(pair[1]);
  pid_t pid = -1;
  if (::recv(control_, &pid, sizeof pid, 0) != sizeof pid) return fail(Code::kRetry, "there is no target");
  target_ = pid;
  auto channel = std::make_unique<Counting>(
      plain_channel(Fd(pair[0])), wire_,
      [this](uint64_t bytes) {
        if (bytes >= then_at_.load() && then_at_.exchange(UINT64_MAX) != UINT64_MAX) then_();
        if (bytes < break_at_) return false;
        break_at_ = UINT64_MAX;
        away_ = true;
        return true;
      },
      [this](Channel* c) {
        const std::lock_guard lock(mutex_);
        channel_ = c;
      });
  // Whoever lost the peer meanwhile found no channel to close.
  if (away_) return fail(Code::kRetry, "the peer is away");
  return std::unique_ptr<Channel>(std::move(channel));
}

void MirrorTwo::take(const MirrorReport& report) {
  const std::lock_guard lock(mutex_);
  if (report.outcome == MirrorReport::Outcome::kProgress) {
    progress_ = report;
    if (report.scrub.ended) scrubbed_ = report;
  } else if (waiting_ == report.kind) {
    final_ = report;
  } else {
    unasked_.push_back(report);
  }
  wake_.notify_all();
}

MirrorReport MirrorTwo::order(MirrorReport::Kind kind, bool confirmed) {
  {
    const std::lock_guard lock(mutex_);
    waiting_ = kind;
    final_.reset();
  }
  source_->order({ServiceId(0), MirrorId(0), kind, Epoch(setup_.epoch), confirmed});
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [&] { return final_.has_value(); });
  waiting_.reset();
  return *final_;
}

void MirrorTwo::begin(MirrorReport::Kind kind) {
  source_->order({ServiceId(0), MirrorId(0), kind, Epoch(setup_.epoch), false});
}

void MirrorTwo::begin_scrub() {
  {
    const std::lock_guard lock(mutex_);
    scrubbed_.reset();
  }
  begin(MirrorReport::Kind::kScrub);
}

MirrorReport MirrorTwo::await_scrub() {
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [&] { return scrubbed_.has_value(); });
  return *scrubbed_;
}

MirrorReport MirrorTwo::scrub() {
  begin_scrub();
  return await_scrub();
}

void MirrorTwo::pause() { begin(MirrorReport::Kind::kPause); }

void MirrorTwo::break_connection() {
  const std::lock_guard lock(mutex_);
  if (channel_) channel_->close();
}

void MirrorTwo::swallow() {
  const std::lock_guard lock(mutex_);
  if (auto* counting = dynamic_cast<Counting*>(channel_)) counting->swallow();
}

void MirrorTwo::lose_peer() {
  away_ = true;
  break_connection();
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [&] { return !unasked_.empty(); });
  unasked_.clear();
}

void MirrorTwo::kill_target() {
  if (target_ > 0) ::kill(target_, SIGKILL);
}

std::optional<MirrorReport> MirrorTwo::last_progress() {
  const std::lock_guard lock(mutex_);
  return progress_;
}

std::vector<MirrorReport> MirrorTwo::unasked() {
  const std::lock_guard lock(mutex_);
  return std::exchange(unasked_, {});
}

}  // namespace clusterd
