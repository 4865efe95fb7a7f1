#include "linux/mirror/live/live_mirrors.hpp"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

namespace clusterd {

class LiveMirrors::Keeper {
 public:
  explicit Keeper(LiveMirrors& owner) : owner_(owner), thread_([this] { work(); }) {}

  ~Keeper() {
    {
      const std::lock_guard lock(mutex_);
      ends_ = true;
      stop_connector();
    }
    wake_.notify_all();
    thread_.join();
  }

  void order(const MirrorOrder& order) {
    const std::lock_guard lock(mutex_);
    if (connector_ && order.epoch != epoch_) stop_connector();
    waiting_.emplace_back(order);
    wake_.notify_all();
  }

  // Orders that wait have come before the cancel: they are void.
  void cancel() {
    const std::lock_guard lock(mutex_);
    stop_connector();
    waiting_.clear();
    waiting_.emplace_back(std::nullopt);
    wake_.notify_all();
  }

 private:
  void stop_connector() {
    if (connector_) connector_->stop();
  }

  void work() {
    while (true) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return ends_ || !waiting_.empty(); });
      if (ends_) break;
      const auto order = waiting_.front();
      waiting_.pop_front();
      const bool other_tenure = !order || order->epoch != epoch_;
      lock.unlock();
      if (other_tenure) end();
      if (order) obey(*order);
    }
    end();
  }

  void end() {
    source_.reset();
    const std::lock_guard lock(mutex_);
    connector_.reset();
  }

  void obey(const MirrorOrder& order) {
    if (!source_) begin(order);
    source_->order(order);
  }

  void begin(const MirrorOrder& order) {
    auto connector = std::make_shared<Connector>(owner_.config_, order.service, order.mirror, order.epoch);
    {
      const std::lock_guard lock(mutex_);
      connector_ = connector;
      epoch_ = order.epoch;
      // A cancel, or an order of another tenure, that came meanwhile has not seen this one.
      for (const auto& next : waiting_) {
        if (!next || next->epoch != order.epoch) connector->stop();
      }
      if (ends_) connector->stop();
    }
    source_ = owner_.make_(
        {order.service, order.mirror, owner_.config_, owner_.paths_, order.epoch},
        [connector] { return connector->connect(); }, owner_.report_);
  }

  LiveMirrors& owner_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::optional<MirrorOrder>> waiting_;  // nullopt: the source ends
  bool ends_ = false;
  Epoch epoch_;
  std::shared_ptr<Connector> connector_;
  std::unique_ptr<FollowingSource> source_;  // of the thread
  std::thread thread_;
};

LiveMirrors::LiveMirrors(const Config& config, MirrorPaths paths, MakeSource make,
                         std::function<void(const MirrorReport&)> report)
    : config_(config), paths_(std::move(paths)), make_(std::move(make)), report_(std::move(report)) {}
LiveMirrors::~LiveMirrors() = default;

void LiveMirrors::order(const MirrorOrder& order) {
  auto& keeper = keepers_[{order.service, order.mirror}];
  if (!keeper) keeper = std::make_unique<Keeper>(*this);
  keeper->order(order);
}

void LiveMirrors::cancel(ServiceId service) {
  for (auto& [key, keeper] : keepers_) {
    if (key.first == service) keeper->cancel();
  }
}

}  // namespace clusterd
