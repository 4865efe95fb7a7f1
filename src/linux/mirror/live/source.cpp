#include "linux/mirror/live/source.hpp"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <ctime>

#include "linux/mirror/backup_json.hpp"
#include "linux/mirror/backup_store.hpp"
#include "linux/mirror/broken_run.hpp"
#include "linux/mirror/live/hint_marks.hpp"
#include "linux/mirror/live/record.hpp"
#include "linux/mirror/live/session.hpp"
#include "linux/mirror/live/source_scrub.hpp"
#include "linux/mirror/live/walk.hpp"
#include "linux/mirror/report_copies.hpp"
#include "mirror/command.hpp"
#include "mirror/escape.hpp"
#include "mirror/halt.hpp"

namespace clusterd {
namespace {

namespace ml = mirror::live;
using live::Hint;
using live::Session;
using live::Shared;
using Kind = MirrorReport::Kind;
using Outcome = MirrorReport::Outcome;

}  // namespace

class LiveSource::Impl {
 public:
  Impl(LiveSetup setup, Connect connect, std::function<void(const MirrorReport&)> report)
      : setup_(std::move(setup)),
        service_(setup_.config.service(setup_.service)),
        mirror_(service_.mirrors.at(setup_.id.at())),
        connect_(std::move(connect)),
        report_(std::move(report)),
        store_(manifest_path(setup_.paths.state_dir, service_.name, mirror_.name)) {
    rlimit files{};
    if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
      files.rlim_cur = files.rlim_max;
      (void)::setrlimit(RLIMIT_NOFILE, &files);
    }
    worker_ = std::thread([this] { run(); });
  }

  ~Impl() {
    {
      const std::lock_guard lock(shared_.mutex);
      shared_.stop = true;
      if (channel_) channel_->close();
    }
    shared_.wake.notify_all();
    worker_.join();
  }

  void order(const MirrorOrder& order) {
    const std::lock_guard lock(shared_.mutex);
    std::erase_if(shared_.orders, [&](const MirrorOrder& o) { return o.kind == order.kind; });
    shared_.orders.push_back(order);
    paused_ = order.kind == Kind::kPause || (paused_ && order.kind == Kind::kFollow);
    // What is under way does not look for orders before it is done.
    if (paused_ && channel_) channel_->close();
    shared_.wake.notify_all();
  }

 private:
  void run() {
    while (true) {
      auto order = next_order(true);
      if (!order) return;
      if (order->kind == Kind::kScrub) {
        scrub_.want();
        continue;
      }
      if (order->kind == Kind::kPause) continue;
      bool resync = order->kind == Kind::kResync;
      following_ = quiet_ = false;
      while (true) {
        auto ended = order->kind == Kind::kFollow ? look_at_everything(*order) : serve(*order, resync);
        if (ended || stopping() || paused()) break;
        if (ended.error().code == Code::kRetry && ended.error().message == kBeginAnew) {
          resync = true;
          quiet_ = false;
          continue;
        }
        if (ended.error().code == Code::kRetry && std::exchange(following_, false)) {
          // What was followed is taken up once more, perhaps over another link, before anybody hears of it.
          // An order that is under way is obeyed again, and then has its report.
          quiet_ = answered_;
          resync = resync && !quiet_;
          continue;
        }
        // A stream that breaks after its order was answered is no news once there is another order.
        if (answered_ && has_orders()) break;
        say(*order, ended.error().code == Code::kConfig ? Outcome::kHalted : Outcome::kFailed,
            ended.error().message);
        break;
      }
    }
  }

  // What a pause has broken off is no news.
  bool paused() {
    const std::lock_guard lock(shared_.mutex);
    return paused_;
  }

  bool has_orders() {
    const std::lock_guard lock(shared_.mutex);
    return !shared_.orders.empty();
  }

  bool stopping() {
    const std::lock_guard lock(shared_.mutex);
    return shared_.stop;
  }

  std::optional<MirrorOrder> next_order(bool wait) {
    std::unique_lock lock(shared_.mutex);
    if (wait) shared_.wake.wait(lock, [&] { return shared_.stop || !shared_.orders.empty(); });
    if (shared_.stop || shared_.orders.empty()) return std::nullopt;
    MirrorOrder order = shared_.orders.front();
    shared_.orders.pop_front();
    return order;
  }

  // One session, from its first order to its end. An error is that of `order`, or of the stream after it.
  Result<void> serve(MirrorOrder& order, bool resync) {
    answered_ = false;
    if (auto ok = look_at_everything(order); !ok) return ok;
    auto channel = connect_();
    if (!channel) return tl::unexpected(channel.error());
    {
      const std::lock_guard lock(shared_.mutex);
      if (shared_.stop || paused_) return fail(Code::kRetry, "cancelled");
      channel_ = channel->get();
    }
    auto session = std::make_unique<Session>(live::SessionPlace{setup_, service_, mirror_, *anchors_, store_,
                                                                links_, shared_, follower_.get(), life_},
                                             std::move(*channel));
    auto ended = serve(*session, order, resync);
    {
      const std::lock_guard lock(shared_.mutex);
      channel_ = nullptr;
    }
    return ended;
  }

  Result<void> serve(Session& session, MirrorOrder& order, bool resync) {
    const std::string set = resync ? new_set_name(::time(nullptr), order.epoch.value, mirror_.name) : "";
    if (auto ok = session.begin(order, set); !ok) {
      return session.needs_resync() && !quiet_ ? fail(Code::kRetry, kBeginAnew) : ok;
    }
    if (auto ok = goes_on(session, order) ? take_up(session, order) : perform_compare(session, order); !ok)
      return ok;
    while (true) {
      const Instant until = follower_ ? Instant::max() : next_compare_;
      if (auto ok = session.follow(until, [&] { progress(session, order); }); !ok) return ok;
      auto next = next_order(false);
      if (!next) {
        if (live::now_instant() < until) continue;
        quiet_ = true;
        if (auto ok = perform_compare(session, order); !ok) return ok;
        continue;
      }
      if (next->kind == Kind::kFollow) continue;
      if (next->kind == Kind::kPause) return {};
      if (next->kind == Kind::kScrub) {
        scrub_.want();
        continue;
      }
      order = *next;
      if (order.kind == Kind::kResync) return fail(Code::kRetry, kBeginAnew);
      auto ok = order.kind == Kind::kFlush ? perform_flush(session, order) : perform_compare(session, order);
      if (!ok) return ok;
    }
  }

  // Everything since the last compare of the whole is known by its marks, here and there.
  bool goes_on(const Session& session, const MirrorOrder& order) const {
    return session.goes_on() && order.kind != Kind::kResync && compared_at_ && follower_ &&
           live::now_instant() - *compared_at_ < mirror_.every && every_root_holds_a_file();
  }

  // A root that was emptied is for the compare to halt at (S10).
  bool every_root_holds_a_file() const {
    const auto roots = live::root_paths(mirror_);
    return std::all_of(roots.begin(), roots.end(), [this](const std::string& root) {
      return live::holds_a_file(*anchors_, root, mirror_.exclude);
    });
  }

  Result<void> take_up(Session& session, const MirrorOrder& order) {
    answered_ = false;
    const bool quiet = std::exchange(quiet_, false);
    session.sender().tally = {};
    if (auto ok = session.take_up(); !ok) return ok;
    following_ = true;
    answered_ = true;
    const std::string trouble = session.trouble();
    const Outcome outcome = quiet ? Outcome::kProgress : trouble.empty() ? Outcome::kDone : Outcome::kFailed;
    say(order, outcome, trouble, session.sender().tally);
    return {};
  }

  Result<void> perform_compare(Session& session, const MirrorOrder& order) {
    answered_ = false;
    const bool quiet = std::exchange(quiet_, false);
    ml::Finished finished;
    session.sender().tally = {};
    // Its marks are dropped, since the walk sees everything: until it is through, nothing is known.
    compared_at_.reset();
    const Instant begun = live::now_instant();
    if (auto ok = session.compare_all(order, finished); !ok) return ok;
    if (!session.trouble().empty()) {
      answered_ = true;
      next_compare_ = live::now_instant() + kUnfollowedPause;
      say(order, Outcome::kFailed, session.trouble(), session.sender().tally);
      return {};
    }
    compared_at_ = begun;
    const Instant ended = live::now_instant();
    next_compare_ = ended + std::max<Duration>(kUnfollowedPause, 10 * (ended - begun));
    MirrorReport report = report_for(order, Outcome::kDone, "", session.sender().tally);
    if (!finished.report.empty()) {
      auto losses = parse_report_json(finished.report);
      if (!losses) return fail(Code::kRetry, "the loss report of the peer cannot be read");
      report.backed_up = losses->set.files;
      report.lost = losses->set.lost;
      if (mirror::is_safe_name(losses->set.name)) {
        report.backup_set = losses->set.name;
        if (auto ok =
                keep_report_copy(setup_.paths.state_dir, service_.name, mirror_, *losses, ::time(nullptr));
            !ok)
          return ok;
      }
    }
    following_ = true;
    if (quiet) report.outcome = Outcome::kProgress;
    answered_ = true;
    report_(report);
    return {};
  }

  Result<void> perform_flush(Session& session, const MirrorOrder& order) {
    if (!follower_) return perform_compare(session, order);
    answered_ = false;
    session.sender().tally = {};
    if (auto ok = session.flush(); !ok) return ok;
    const std::string trouble = session.trouble();
    answered_ = true;
    say(order, trouble.empty() ? Outcome::kDone : Outcome::kFailed, trouble, session.sender().tally);
    return {};
  }

  // The roots (S10), and somebody who follows them.
  Result<void> look_at_everything(const MirrorOrder& order) {
    if (!mirror::is_safe_name(service_.name) || !mirror::is_safe_name(mirror_.name))
      return fail(Code::kRefused,
                  "the names of service and mirror may hold letters, digits and - _ . @ only");
    for (const std::string& root : live::root_paths(mirror_)) {
      if (ml::is_within(setup_.paths.state_dir, root) || ml::is_within(root, setup_.paths.state_dir))
        return fail(Code::kRefused,
                    fmt::format("{} and clusterd's own state cannot be mirrored", mirror::escape(root)));
    }
    if (auto ok = make_directories(setup_.paths.state_dir + "/mirror", 0700); !ok) return ok;
    if (auto ok = take_in_broken_run(manifest(), mirror_); !ok) return ok;
    scrub_.remember();
    auto opened = store_.open();
    if (!opened) return tl::unexpected(opened.error());
    const mirror::RootsNow now = look_at_roots(mirror_.paths);
    auto last = opened->header;
    // How many files there are shows later, before anything is deleted.
    if (last) {
      for (auto& root : last->roots) root.files = 0;
    }
    if (auto reason = mirror::halt_reason(now, last ? &*last : nullptr)) {
      const bool problem = std::any_of(now.roots.begin(), now.roots.end(), [](const mirror::RootNow& r) {
        return !r.problem.empty() || !r.exists;
      });
      if (problem || !order.confirmed) return fail(Code::kConfig, *reason);
    }
    auto begun =
        live::begin_agreement(store_, mirror_, mirror::ManifestHeader::Role::kSource, order.epoch.value);
    if (!begun) return begun;
    if (follower_ && anchors_->replaced().empty()) return {};
    follower_.reset();
    compared_at_.reset();
    auto anchors = live::Anchors::open(live::root_paths(mirror_), now.mounts);
    if (!anchors) return tl::unexpected(anchors.error());
    anchors_ = std::make_unique<live::Anchors>(std::move(*anchors));
    links_.clear();
    auto follower = live::Follower::start(*anchors_, mirror_.exclude,
                                          [this](const std::vector<Hint>& hints) { take_hints(hints); });
    if (!follower && follower.error().code != Code::kConfig) return tl::unexpected(follower.error());
    // Without: what changes is found by comparing again and again, and the report says so.
    unfollowed_ = follower ? "" : follower.error().message + "; it is compared again and again instead";
    if (follower) follower_ = std::move(*follower);
    return {};
  }

  void take_hints(const std::vector<Hint>& hints) {
    const std::lock_guard lock(shared_.mutex);
    const Instant now = live::now_instant();
    const live::HintMarks marks{shared_.dirty, *anchors_, links_, shared_.exact && mirror_.remove};
    for (const Hint& hint : hints) live::mark_hint(marks, hint, now);
    shared_.wake.notify_all();
  }

  MirrorReport report_for(const MirrorOrder& order, Outcome outcome, std::string detail,
                          live::Tally tally) const {
    MirrorReport report;
    report.service = setup_.service;
    report.mirror = setup_.id;
    report.epoch = order.epoch;
    report.kind = order.kind;
    report.outcome = outcome;
    report.files = tally.files;
    report.bytes = tally.bytes;
    report.removed = tally.removed;
    report.detail = std::move(detail);
    report.scrub = scrub_.told();
    if (report.detail.empty() && (outcome == Outcome::kDone || outcome == Outcome::kProgress))
      report.detail = unfollowed_;
    return report;
  }

  void say(const MirrorOrder& order, Outcome outcome, std::string detail, live::Tally tally = {}) {
    if (!stopping()) report_(report_for(order, outcome, std::move(detail), tally));
  }

  // The lag: files and bytes that have changed and are not durable there, and since when.
  void progress(Session& session, const MirrorOrder& order) {
    MirrorLag lag;
    std::optional<Instant> oldest;
    {
      const std::lock_guard lock(shared_.mutex);
      lag.files = shared_.dirty.size();
      oldest = shared_.dirty.oldest();
    }
    lag.files += session.sender().in_flight();
    lag.bytes = session.sender().bytes_in_flight();
    if (lag.files > 0 && oldest && *oldest > Instant::min()) lag.age = live::now_instant() - *oldest;
    const std::string trouble = session.trouble();
    const std::string& detail = trouble.empty() ? unfollowed_ : trouble;
    const bool scrubs = scrub_.look_after(session);
    if (lag.files == 0 && said_files_ == 0 && detail == said_ && !scrubs) return;
    said_files_ = lag.files;
    said_ = detail;
    if (stopping()) return;
    MirrorReport report = report_for(order, Outcome::kProgress, detail, {});
    report.lag = lag;
    report_(report);
    scrub_.end_is_told();
  }

  [[nodiscard]] std::string manifest() const {
    return manifest_path(setup_.paths.state_dir, service_.name, mirror_.name);
  }

  static constexpr const char* kBeginAnew = "begin anew, as a resync";

  const LiveSetup setup_;
  const ServiceConfig& service_;
  const MirrorConfig& mirror_;
  const Connect connect_;
  const std::function<void(const MirrorReport&)> report_;
  live::AgreementStore store_;
  live::Links links_;
  Shared shared_;
  std::unique_ptr<live::Anchors> anchors_;
  std::unique_ptr<live::Follower> follower_;  // uses anchors_
  std::string unfollowed_, said_;
  uint64_t said_files_ = 0;
  // Of the worker: a stream had come so far that it followed; the compare of one that is taken up is no
  // report.
  bool following_ = false, quiet_ = false;
  // Where nothing can be followed: when the whole is compared next.
  static constexpr Duration kUnfollowedPause = std::chrono::seconds(5);
  Instant next_compare_{};
  // When the whole was compared, if every change since then has left a mark.
  std::optional<Instant> compared_at_;
  const uint64_t life_ = live::random_number();
  live::SourceScrub scrub_{mirror_, manifest()};
  bool paused_ = false;         // with shared_.mutex
  bool answered_ = false;       // the order under way has had its final report
  Channel* channel_ = nullptr;  // of the session, to be closed from outside
  std::thread worker_;
};

LiveSource::LiveSource(LiveSetup setup, Connect connect, std::function<void(const MirrorReport&)> report)
    : impl_(std::make_unique<Impl>(std::move(setup), std::move(connect), std::move(report))) {}
LiveSource::~LiveSource() = default;
void LiveSource::order(const MirrorOrder& order) { impl_->order(order); }

}  // namespace clusterd
