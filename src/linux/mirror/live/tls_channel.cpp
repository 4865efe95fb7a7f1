#include "linux/mirror/live/tls_channel.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>

#include "linux/mirror/live/tls_frames.hpp"
#include "mirror/token_bucket.hpp"

namespace clusterd {
namespace {

using std::chrono::milliseconds;
using wire::Bytes;
using wire::expand;
using wire::framed;
using wire::get32;
using wire::kHead;
using wire::Packer;
using wire::Type;

constexpr size_t kBatch = 64 * 1024;      // small messages that leave together
constexpr size_t kReadsPerTurn = 64;      // before what is to be written gets its turn
constexpr size_t kWritesPerTurn = 32;     // … and the reverse
constexpr milliseconds kLastWords{1000};  // for what was sent before a close
constexpr milliseconds kMeasured{20};     // of a busy wire, for one measurement

Instant now() { return Instant(std::chrono::steady_clock::now().time_since_epoch()); }

class TlsChannel : public Channel {
 public:
  TlsChannel(TlsSession session, TlsChannelOptions options)
      : session_(std::move(session)),
        options_(options),
        bucket_(options.bandwidth),
        wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        thread_([this] { work(); }) {}

  ~TlsChannel() override {
    TlsChannel::close();
    thread_.join();
  }

  Result<void> send(std::span<const std::byte> message) override {
    if (message.size() > kMaxChannelMessage) return fail(Code::kRefused, "the message is too long");
    const std::lock_guard order(pack_mutex_);  // a thread's messages stay in order
    Bytes frame = packer_.pack(message);
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return out_bytes_ < TlsChannelOptions::kQueue || over(); });
    if (over()) return tl::unexpected(why_over());
    const bool idle = out_.empty() && !writing_;
    out_bytes_ += frame.size();
    out_.push_back(std::move(frame));
    if (wire_bytes_ > 0) packer_.wire_took(std::exchange(wire_bytes_, 0), wire_time_);
    lock.unlock();
    if (idle) wake();
    return {};
  }

  // The thread sends whatever is there.
  Result<void> flush() override {
    const std::lock_guard lock(mutex_);
    return over() ? Result<void>(tl::unexpected(why_over())) : Result<void>();
  }

  Result<std::optional<Bytes>> receive() override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !in_.empty() || ended_ || over(); });
    if (closed_) return tl::unexpected(why_over());
    if (in_.empty()) return ended_ ? Result<std::optional<Bytes>>(std::nullopt) : tl::unexpected(why_over());
    Incoming incoming = std::move(in_.front());
    in_.pop_front();
    const bool was_full = in_full();
    in_bytes_ -= incoming.contents.size() + kHead;
    const bool resume = was_full && !in_full();
    lock.unlock();
    if (resume) wake();
    if (incoming.type == Type::kPlain) return std::move(incoming.contents);
    auto message = expand(incoming.contents);
    if (!message) return tl::unexpected(message.error());
    return std::move(*message);
  }

  void close() override {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    changed_.notify_all();
    wake();
  }

 private:
  struct Incoming {
    Type type;
    Bytes contents;
  };

  // ---- under the lock ----
  [[nodiscard]] bool over() const { return closed_ || broken_; }
  [[nodiscard]] Error why_over() const {
    return closed_ ? Error{Code::kRetry, "the connection was closed here"} : trouble_;
  }
  [[nodiscard]] bool in_full() const { return in_bytes_ >= TlsChannelOptions::kQueue; }

  void wake() {
    const uint64_t one = 1;
    (void)!::write(wake_.get(), &one, sizeof one);
  }

  void broke(Code code, std::string why) {
    {
      const std::lock_guard lock(mutex_);
      if (!broken_) trouble_ = {code, std::move(why)};
      broken_ = true;
    }
    changed_.notify_all();
  }

  // ---- the thread ----

  void work() {
    const SilentPipes silent;
    last_heard_ = last_said_ = now();
    while (true) {
      take_what_is_to_be_sent();
      const bool go_on = write_some() && read_some() && still_alive();
      if (!go_on || said_goodbye()) break;
      pause();
    }
    session_.end();
    ::shutdown(session_.socket(), SHUT_RDWR);
    broke(Code::kRetry, "the connection is broken");
  }

  // The next frame, or several small ones together.
  void take_what_is_to_be_sent() {
    if (at_ < current_.size()) return;
    current_.clear();
    at_ = 0;
    bool took = false;
    {
      const std::lock_guard lock(mutex_);
      closing_ = closed_;
      while (!out_.empty() && (current_.empty() || current_.size() + out_.front().size() <= kBatch)) {
        Bytes frame = std::move(out_.front());
        out_.pop_front();
        out_bytes_ -= frame.size();
        took = true;
        if (current_.empty()) {
          current_ = std::move(frame);
        } else {
          current_.insert(current_.end(), frame.begin(), frame.end());
        }
      }
      writing_ = !current_.empty();
    }
    if (took) {
      changed_.notify_all();
      return;
    }
    busy_since_ = kNever;
    busy_bytes_ = 0;
    if (closing_ && !goodbye_) {
      goodbye_ = true;
      current_ = framed(Type::kGoodbye, {});
    } else if (!closing_ && now() - last_said_ >= options_.beacon) {
      current_ = framed(Type::kBeacon, {});
    }
  }

  bool write_some() {
    wants_write_ = false;
    limited_ = Duration::zero();
    for (size_t i = 0; i < kWritesPerTurn && at_ < current_.size(); ++i) {
      const auto rest = std::span(current_).subspan(at_);
      // A write that was interrupted has been paid for, and goes on with the same bytes.
      if (granted_ == 0) granted_ = bucket_.take(now(), std::min<size_t>(rest.size(), 16 * 1024));
      if (granted_ == 0) {
        limited_ = bucket_.wait();
        return true;
      }
      if (busy_since_ == kNever) busy_since_ = now();
      const auto moved = session_.write(rest.first(std::min(granted_, rest.size())));
      if (moved.state == TlsSession::State::kWantsWrite) {
        wants_write_ = true;
        return true;
      }
      if (moved.state == TlsSession::State::kWantsRead) return true;
      if (moved.state != TlsSession::State::kDone) return lost();
      at_ += moved.bytes;
      granted_ -= std::min(granted_, moved.bytes);
      last_said_ = now();
      measure(moved.bytes);
    }
    return true;
  }

  // How long a byte takes on a wire that always has more to do.
  void measure(size_t bytes) {
    busy_bytes_ += bytes;
    const Duration took = last_said_ - busy_since_;
    if (took < kMeasured) return;
    {
      const std::lock_guard lock(mutex_);
      wire_bytes_ = busy_bytes_;
      wire_time_ = took;
    }
    busy_bytes_ = 0;
    busy_since_ = last_said_;
  }

  bool read_some() {
    {
      const std::lock_guard lock(mutex_);
      reading_ = !in_full() && !ended_;
    }
    more_to_read_ = false;
    if (!reading_) return true;
    for (size_t i = 0; i < kReadsPerTurn; ++i) {
      const bool in_head = head_have_ < kHead;
      const auto into = in_head ? std::span(head_).subspan(head_have_) : std::span(body_).subspan(body_have_);
      const auto moved = session_.read(into);
      if (moved.state == TlsSession::State::kWantsRead || moved.state == TlsSession::State::kWantsWrite)
        return true;
      if (moved.state != TlsSession::State::kDone) return lost();
      last_heard_ = now();
      (in_head ? head_have_ : body_have_) += moved.bytes;
      if (in_head && head_have_ == kHead && !begin_body()) return false;
      if (head_have_ == kHead && body_have_ == body_.size() && !deliver()) return true;
    }
    more_to_read_ = true;
    return true;
  }

  bool begin_body() {
    const size_t length = get32(&head_[1]);
    const auto type = std::to_integer<uint8_t>(head_[0]);
    const bool known = type <= static_cast<uint8_t>(Type::kGoodbye);
    const bool empty =
        type == static_cast<uint8_t>(Type::kBeacon) || type == static_cast<uint8_t>(Type::kGoodbye);
    if (!known || length > (empty ? 0 : kMaxChannelMessage)) {
      broke(Code::kCorrupt, "the other end sends what is no message");
      return false;
    }
    body_.resize(length);
    body_have_ = 0;
    return true;
  }

  // False: nothing more is to be read now.
  bool deliver() {
    head_have_ = 0;
    const auto type = static_cast<Type>(std::to_integer<uint8_t>(head_[0]));
    if (type == Type::kBeacon) return true;
    bool more = true;
    {
      const std::lock_guard lock(mutex_);
      if (type == Type::kGoodbye) {
        ended_ = true;
        more = false;
      } else {
        in_bytes_ += body_.size() + kHead;
        in_.push_back({type, std::move(body_)});
        more = !in_full();
      }
    }
    body_ = {};
    body_have_ = 0;
    changed_.notify_all();
    return more;
  }

  bool lost() {
    bool ended = false;
    {
      const std::lock_guard lock(mutex_);
      ended = ended_;
    }
    broke(Code::kRetry, ended ? "the other end has closed the connection" : "the connection is broken");
    return false;
  }

  bool still_alive() {
    if (!reading_) last_heard_ = now();  // nobody listens here: silence says nothing
    if (now() - last_heard_ < options_.silence) return true;
    broke(Code::kRetry, "nothing was heard over the connection for too long");
    return false;
  }

  // After a close: all has been said, or there is no time left for it.
  bool said_goodbye() {
    if (!closing_) {
      const std::lock_guard lock(mutex_);
      if (!closed_) return false;
      closing_ = true;
    }
    if (closing_since_ == kNever) closing_since_ = now();
    return (goodbye_ && at_ == current_.size()) || now() - closing_since_ > kLastWords;
  }

  void pause() {
    if (closing_ && !goodbye_) return;  // the last word is still to be said
    const bool pending = at_ < current_.size();
    bool queued = false;
    {
      const std::lock_guard lock(mutex_);
      queued = !out_.empty();
      writing_ = pending || queued;  // otherwise the next sender wakes this thread
    }
    if (more_to_read_ || (pending && !wants_write_ && limited_ == Duration::zero()) || (!pending && queued))
      return;
    Duration wait = options_.beacon;
    if (pending && limited_ > Duration::zero()) wait = std::min(wait, limited_);
    std::array<pollfd, 2> fds = {{{session_.socket(), 0, 0}, {wake_.get(), POLLIN, 0}}};
    if (reading_) fds[0].events |= POLLIN;
    if (wants_write_) fds[0].events |= POLLOUT;
    ::poll(fds.data(), fds.size(), static_cast<int>(std::chrono::ceil<milliseconds>(wait).count()));
    uint64_t ignored = 0;
    if (fds[1].revents != 0) (void)!::read(wake_.get(), &ignored, sizeof ignored);
    // Without POLLIN an end would make poll() return at once, again and again.
    if (!reading_ && (fds[0].revents & (POLLHUP | POLLERR)) != 0)
      std::this_thread::sleep_for(milliseconds(50));
  }

  TlsSession session_;
  const TlsChannelOptions options_;
  std::mutex pack_mutex_;
  Packer packer_;

  std::mutex mutex_;  // of what follows, up to the thread's own
  std::condition_variable changed_;
  std::deque<Bytes> out_;
  size_t out_bytes_ = 0;
  bool writing_ = false;
  std::deque<Incoming> in_;
  size_t in_bytes_ = 0;
  bool ended_ = false;  // by the other end, in good order
  bool closed_ = false, broken_ = false;
  Error trouble_;
  size_t wire_bytes_ = 0;
  Duration wire_time_{};

  mirror::TokenBucket bucket_;
  Bytes current_;
  size_t at_ = 0, granted_ = 0;
  std::array<std::byte, kHead> head_{};
  Bytes body_;
  size_t head_have_ = 0, body_have_ = 0;
  bool wants_write_ = false, reading_ = true, more_to_read_ = false;
  bool closing_ = false, goodbye_ = false;
  Instant closing_since_ = kNever, busy_since_ = kNever;
  size_t busy_bytes_ = 0;
  Instant last_heard_{}, last_said_{};
  Duration limited_{};
  Fd wake_;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<Channel> tls_channel(TlsSession session, TlsChannelOptions options) {
  return std::make_unique<TlsChannel>(std::move(session), options);
}

}  // namespace clusterd
