#include "linux/mirror/live/target.hpp"

#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cstdio>
#include <ctime>
#include <thread>

#include "linux/mirror/backup_store.hpp"
#include "linux/mirror/broken_run.hpp"
#include "linux/mirror/guard.hpp"
#include "linux/mirror/live/apply.hpp"
#include "linux/mirror/live/parting.hpp"
#include "linux/mirror/live/record.hpp"
#include "linux/mirror/live/target_compare.hpp"
#include "linux/mirror/live/target_scrub.hpp"
#include "linux/mirror/live/waiting.hpp"
#include "linux/mirror/target.hpp"
#include "linux/mirror/target_roots.hpp"
#include "mirror/command.hpp"
#include "mirror/escape.hpp"

namespace clusterd {
namespace {

namespace ml = mirror::live;
using live::AgreementStore;
using live::Anchors;
using live::Applier;
using live::Keeper;
using live::TargetCompare;
using live::Waiting;

constexpr std::chrono::milliseconds kNow{0};

class Target {
 public:
  Target(Channel& channel, const LiveTargetSetup& setup)
      : channel_(channel),
        setup_(setup),
        out_(channel),
        store_(manifest_path(setup.paths.state_dir, setup.service.name, setup.mirror.name)) {}

  int serve() {
    auto hello = receive_hello();
    if (!hello) return give_up(hello.error());
    const ml::Welcome welcome = prepare();
    if (auto ok = say(welcome); !ok) return give_up(ok.error());
    if (welcome.answer != ml::Welcome::Answer::kGoOn) {
      std::fprintf(stderr, "clusterd-mirror: %s\n", welcome.why.c_str());
      return exit_code(welcome.answer);
    }
    if (!confine_writes(writable_)) {
      std::fprintf(stderr,
                   "<5>live mirror: no Landlock in this kernel: the mirror of %s is not confined by it\n",
                   setup_.service.name.c_str());
    }
    applier_ = std::make_unique<Applier>(anchors_, setup_.mirror.exclude, store_, hello_.seed);
    if (by_name()) applier_->own_by(owners());
    if (hello_.resync) applier_->keep_in(std::make_unique<Keeper>(set_.files()));
    if (setup_.holder) applier_->go_on_with(setup_.holder->take());
    std::thread apply([this] { apply_all(); });
    auto ended = read_all();
    if (!ended) channel_.close();  // whoever waits for it goes on
    waiting_.end();                // what has arrived is still done
    apply.join();
    if (const auto unfinished = applier_->let_go(); unfinished && setup_.holder)
      setup_.holder->hold(*unfinished);
    compare_.reset();
    scrub_.reset();
    settle(true);
    store_.flush();
    if (ended || ended.error().code == Code::kRetry) note_.leave();
    return ended ? 0 : give_up(ended.error());
  }

 private:
  using Answer = ml::Welcome::Answer;

  static int exit_code(Answer answer) {
    switch (answer) {
      case Answer::kNeedsResync:
        return kExitResync;
      case Answer::kHalted:
        return kExitHalt;
      default:
        return kExitRefused;
    }
  }
  static int give_up(const Error& error) {
    std::fprintf(stderr, "clusterd-mirror: %s\n", error.message.c_str());
    return error.code == Code::kRetry ? 0 : kExitFailed;
  }

  [[nodiscard]] bool by_name() const { return setup_.mirror.ids == Ids::kName; }
  [[nodiscard]] std::unique_ptr<live::OwnersHere> owners() const {
    return std::make_unique<live::OwnersHere>(setup_.paths.ids_dir, setup_.from, setup_.paths.node);
  }

  Result<void> say(const ml::TargetFrame& frame) {
    if (auto ok = out_.put(frame); !ok) return ok;
    return out_.flush();
  }

  Result<void> receive_hello() {
    auto message = channel_.receive();
    if (!message) return tl::unexpected(message.error());
    if (!*message) return fail(Code::kRetry, "the source has said nothing");
    ByteReader in(live::bytes_of(**message));
    auto frame = ml::read_source_frame(in);
    if (!frame) return tl::unexpected(frame.error());
    const auto* hello = *frame ? std::get_if<ml::Hello>(&**frame) : nullptr;
    if (!hello || !in.empty()) return fail(Code::kCorrupt, "the source does not begin with its hello");
    hello_ = *hello;
    return {};
  }

  // Everything that has to hold before anything is written.
  ml::Welcome prepare() {
    if (hello_.version != ml::kVersion) return {Answer::kRefused, "the nodes' versions of the mirror differ"};
    if (hello_.resync && !mirror::is_safe_name(hello_.backup_set))
      return {Answer::kRefused, "not a backup set's name"};
    const std::string manifest =
        manifest_path(setup_.paths.state_dir, setup_.service.name, setup_.mirror.name);
    if (auto ok = make_directories(setup_.paths.state_dir + "/mirror", 0700); !ok) return refused(ok.error());
    if (auto ok = take_in_broken_run(manifest, setup_.mirror); !ok) return refused(ok.error());
    auto opened = store_.open();
    if (!opened) return refused(opened.error());
    const mirror::ManifestHeader* last = opened->header ? &*opened->header : nullptr;
    if (last && last->role == mirror::ManifestHeader::Role::kSource && !hello_.resync) {
      return {Answer::kNeedsResync,
              "this node was the source last; only a resync with a backup set may write here"};
    }
    const mirror::RootsNow now = look_at_roots(setup_.mirror.paths);
    note_.open(
        fmt::format("{}/mirror-parting.{}.{}", setup_.paths.run_dir, setup_.service.name, setup_.mirror.name),
        hello_.life, setup_.epoch, now.boot);
    ml::Welcome welcome;
    welcome.goes_on = note_.take() && !hello_.resync && hello_.life != 0;
    if (auto reason = target_halt(now, last); reason && !hello_.confirmed) return {Answer::kHalted, *reason};
    auto folders = prepare_roots(setup_.mirror, now);
    if (!folders) return refused(folders.error());
    if (setup_.mirror.guard) {
      if (auto ok = see_writable(live::root_paths(setup_.mirror)); !ok) return refused(ok.error());
    }
    writable_ = std::move(*folders);
    writable_.push_back(setup_.paths.state_dir + "/mirror");
    if (hello_.resync) {
      if (auto ok = open_set(); !ok) return refused(ok.error());
      writable_.push_back(setup_.paths.state_dir + "/backups/" + setup_.service.name);
    }
    auto anchors = Anchors::open(live::root_paths(setup_.mirror), now.mounts);
    if (!anchors) return refused(anchors.error());
    anchors_ = std::move(*anchors);
    auto begun = live::begin_agreement(store_, setup_.mirror, mirror::ManifestHeader::Role::kTarget,
                                       setup_.epoch.value);
    return begun ? welcome : refused(begun.error());
  }

  static ml::Welcome refused(const Error& error) { return {Answer::kRefused, error.message.substr(0, 4000)}; }

  Result<void> open_set() {
    if (auto ok = store_.fold(std::nullopt); !ok) return ok;  // the candidates are sought in the manifest
    set_ = {setup_.paths.state_dir, setup_.service.name, setup_.mirror.name, hello_.backup_set};
    BackupSet set;
    set.service = setup_.service.name;
    set.mirror = setup_.mirror.name;
    set.name = hello_.backup_set;
    set.epoch = setup_.epoch.value;
    set.source = setup_.from;
    set.node = setup_.paths.node;
    set.why = fmt::format("resync from {} at epoch {}", setup_.from, setup_.epoch.value);
    set.created_unix = ::time(nullptr);
    set.created = utc_text(set.created_unix, "%Y-%m-%dT%H:%M:%SZ");
    auto prepared = prepare_set(set_, setup_.mirror, set);
    // Names are by the second: a second resync within one gets another.
    for (int n = 2; !prepared && prepared.error().code == Code::kRetry && n < 100; ++n) {
      set_.name = set.name = fmt::format("{}.{}", hello_.backup_set, n);
      prepared = prepare_set(set_, setup_.mirror, set);
    }
    if (!prepared) return tl::unexpected(prepared.error());
    return probe_writable(set_.files());
  }

  // The reader: compares are served beside the operations, so that neither waits for the other.
  Result<void> read_all() {
    while (true) {
      auto message = channel_.receive();
      if (!message) return tl::unexpected(message.error());
      if (!*message) return {};
      auto shared = std::make_shared<std::vector<std::byte>>(std::move(**message));
      ByteReader in(live::bytes_of(*shared));
      while (true) {
        const size_t before = in.left();
        auto frame = ml::read_source_frame(in);
        if (!frame) return tl::unexpected(frame.error());
        if (!*frame) break;
        if (const auto* names = std::get_if<ml::Names>(&**frame)) {
          if (auto ok = take_names(*names); !ok) return ok;
        }
        auto taken = compare_frame(**frame);
        if (!taken) return tl::unexpected(taken.error());
        if (*taken) continue;
        if (!waiting_.push({shared, std::move(**frame), before - in.left() + 64}))
          return fail(Code::kRetry, "the target has ended");
      }
    }
  }

  // For the compares. The applier takes them in its turn, with the operations that they belong to.
  Result<void> take_names(const ml::Names& names) {
    if (!by_name()) return fail(Code::kCorrupt, "names that nobody has asked for");
    if (!named_) named_ = owners();
    return named_->take(names);
  }

  Result<bool> compare_frame(ml::SourceFrame& frame) {
    if (auto* begin = std::get_if<ml::CompareBegin>(&frame)) {
      std::vector<std::string> scopes = std::move(begin->scopes);
      if (scopes.empty()) scopes = live::root_paths(setup_.mirror);
      for (const std::string& scope : scopes) {
        if (!anchors_.covers(scope)) return fail(Code::kCorrupt, "a compare outside of the mirror");
      }
      std::optional<ml::OwnerMap> map;
      if (by_name()) {
        if (!named_) return fail(Code::kCorrupt, "a compare before the names");
        auto now = named_->now();
        if (!now) return tl::unexpected(now.error());
        map = std::move(*now);
      }
      compare_.reset();
      compare_ = std::make_unique<TargetCompare>(anchors_, setup_.mirror.exclude, store_, hello_.seed, out_,
                                                 std::move(scopes), std::move(map));
      return true;
    }
    if (auto* digest = std::get_if<ml::Digest>(&frame)) {
      if (!compare_) return fail(Code::kCorrupt, "a digest without a compare");
      if (auto error = compare_->error()) return tl::unexpected(*error);
      compare_->digest(std::move(*digest));
      return true;
    }
    if (std::holds_alternative<ml::CompareEnd>(frame)) {
      if (compare_) compare_->end();
      return true;
    }
    if (auto* want = std::get_if<ml::WantHash>(&frame)) {
      if (!scrub_) scrub_ = std::make_unique<live::TargetScrub>(anchors_, hello_.seed, out_);
      if (!scrub_->want(std::move(*want))) return fail(Code::kCorrupt, "more hashes are wanted than agreed");
      return true;
    }
    if (const auto* credit = std::get_if<ml::Credit>(&frame)) {
      if (compare_) compare_->credit(credit->entries);
      return true;
    }
    return false;
  }

  void apply_all() {
    bool recorded = false;  // all that has been agreed on
    while (!waiting_.over()) {
      std::optional<std::chrono::milliseconds> patience = kNow;
      if (applier_->empty()) patience = recorded ? std::nullopt : std::optional(live::kSettleEvery);
      auto item = waiting_.pop(patience);
      if (!item) {
        if (!commit()) break;
        settle(false);
        if (store_.wants_fold()) (void)store_.fold(std::nullopt);
        recorded = store_.settled();
        continue;
      }
      recorded = false;
      if (applier_->stage(item->frame)) {
        if (applier_->full() && !commit()) break;
        continue;
      }
      if (!commit()) break;
      if (!answer(item->frame)) break;
    }
    commit();
    waiting_.end();
  }

  bool commit() {
    if (applier_->empty()) return true;
    const Applier::Result done = applier_->commit();
    for (const ml::Failed& failed : done.failed) {
      if (!out_.put(failed)) return false;
    }
    const bool said = say(ml::Acked{done.last}).has_value();
    applier_->forget_replaced();
    if (store_.crowded()) settle(false);
    if (store_.wants_fold()) (void)store_.fold(std::nullopt);
    return said;
  }

  bool answer(const ml::SourceFrame& frame) {
    if (const auto* want = std::get_if<ml::WantSignature>(&frame)) {
      bool sent = true;
      auto last = applier_->signature(want->path,
                                      [&](ml::Signature part) { sent = sent && out_.put(part).has_value(); });
      return sent && last && say(*last).has_value();
    }
    if (std::holds_alternative<ml::Finish>(frame)) return say(finish()).has_value();
    return false;  // a hello in the middle: nonsense
  }

  // All of the source's tree is here. From now on nothing is kept any more.
  ml::Finished finish() {
    ml::Finished finished;
    applier_->go_on_with(std::nullopt);
    settle(true);
    const auto role = mirror::ManifestHeader::Role::kTarget;
    if (auto ok = live::record_agreement(store_, setup_.mirror, role, setup_.epoch.value); !ok) {
      finished.problem = ok.error().message.substr(0, 4000);
      return finished;
    }
    ::malloc_trim(0);  // what a copy of a large tree has needed is not needed to follow it
    if (!hello_.resync || set_closed_) return finished;
    auto report = close_set(set_, true);
    if (!report) {
      finished.problem = report.error().message.substr(0, 4000);
      return finished;
    }
    set_closed_ = true;
    applier_->keep_in(nullptr);
    report->files.clear();
    finished.report = to_json(*report);
    if (finished.report.size() > 800 * 1024) {  // the whole list is here, in the set
      report->lost.clear();
      finished.report = to_json(*report);
    }
    return finished;
  }

  void settle(bool all) {
    const auto look = [this](const std::string& path) -> std::optional<live::Status> {
      auto status = live::look(anchors_, path);
      return status ? std::optional(*status) : std::nullopt;
    };
    if (all && !store_.settled()) std::this_thread::sleep_for(std::chrono::milliseconds(25));
    store_.settle(look);
    store_.flush();
  }

  Channel& channel_;
  const LiveTargetSetup& setup_;
  live::Outbox<ml::TargetFrame> out_;
  AgreementStore store_;
  Anchors anchors_;
  std::vector<std::string> writable_;  // the folders that anything is written below
  ml::Hello hello_;
  live::PartingNote note_;
  SetPlace set_;
  bool set_closed_ = false;
  std::unique_ptr<Applier> applier_;
  std::unique_ptr<live::OwnersHere> named_;  // the reader's
  std::unique_ptr<TargetCompare> compare_;
  std::unique_ptr<live::TargetScrub> scrub_;
  Waiting waiting_;
};

}  // namespace

int serve_live(Channel& channel, const LiveTargetSetup& setup) {
  ::umask(0);
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    (void)::setrlimit(RLIMIT_NOFILE, &files);
  }
  return Target(channel, setup).serve();
}

}  // namespace clusterd
