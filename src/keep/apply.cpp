#include "keep/apply.hpp"

#include <fmt/format.h>

#include <ctime>

#include "keep/answer.hpp"
#include "keep/machine_check.hpp"
#include "versions/plan.hpp"

namespace clusterd::keep {

namespace {

using versions::Phase;
using versions::Record;

class Applying {
 public:
  Applying(const ThisNode& node, Apply order) : node_(node), order_(order) {}

  std::string run() {
    if (const Refusal refusal = read()) return answered_refusal(refusal);
    if (order_.files_only) return let_go();
    if (const Refusal refusal = judge()) return answered_refusal(refusal);
    if (const Refusal refusal = meet()) return answered_refusal(refusal);
    return peer_ ? prepare() : activate_alone();
  }

 private:
  // What is to hold, and what holds now.
  Refusal read() {
    record_ = node_.store().load();
    if (record_.change)
      return Refusal::for_now(fmt::format("version {} is {}; `clusterctl versions` says how far it is",
                                          record_.change->to.number, versions::name(record_.change->phase)));
    if (record_.current() == nullptr)
      return Refusal::for_now("clusterd has only just started; try again in a moment");
    if (order_.previous) {
      if (record_.history.size() < 2)
        return "there is no version before this one; `clusterctl versions` lists what is kept";
      order_.rollback_to = record_.history[record_.history.size() - 2].number;
    }
    const uint64_t number = order_.files_only ? record_.current()->number : order_.rollback_to;
    auto files = number == 0 ? node_.store().edited() : node_.store().files(number);
    if (!files) return files.error().message + "; `clusterctl versions` lists what is kept";
    files_ = std::move(*files);
    return versions::refusal_of(files_);
  }

  std::string let_go() {
    if (const auto edited = node_.store().edited()) {
      if (auto put = node_.store().put_aside(record_.highest, *edited); !put)
        return answered_refusal(put.error().message);
    }
    if (auto placed = node_.store().place(files_); !placed) return answered_refusal(placed.error().message);
    return answered_done(
        record_.current()->number,
        fmt::format("what was edited is kept as /var/lib/clusterd/config/edited-{}", record_.highest));
  }

  Refusal judge() {
    const auto now = node_.understood(files_);
    if (!now) return "the configuration has errors:\n" + now.error().message;
    const auto old_files = node_.store().files(record_.current()->number);
    const auto old = old_files ? node_.understood(*old_files) : tl::unexpected(old_files.error());
    if (!old) return "the version in force cannot be read: " + old.error().message;
    plan_ = versions::plan(*old, *now);
    if (!plan_.refused.empty()) return plan_.refused;
    to_.hash = now->hash;
    to_.digest = versions::digest_of(files_);
    if (to_.digest == record_.current()->digest && !order_.overwrite)
      return fmt::format("nothing to apply: this is version {}", record_.current()->number);
    peer_name_ = now->node(now->peer()).name;
    if (const std::string missing = missing_here(*now); !missing.empty()) return missing;
    daemon_ = node_.daemon();
    // A daemon with other files than its version was restarted by hand: who would return to what?
    if (daemon_.running != record_.current()->hash && !order_.overwrite)
      return "clusterd runs with other files than version " + std::to_string(record_.current()->number) +
             ": it was restarted after they were edited. Take them on for both nodes: clusterctl apply "
             "--overwrite";
    return "";
  }

  Refusal meet() {
    const auto answer = node_.ask_peer(asked("ask"));
    if (!answer) {
      if (!order_.alone)
        return {fmt::format(
                    "{} cannot be asked ({}), and has to agree. If it is off for longer: clusterctl apply "
                    "--alone; it gets the version when it returns",
                    peer_name_, answer.error().message),
                daemon_.hears};
      if (daemon_.hears)
        return fmt::format("{} is heard, so it is not away; see there: journalctl -u clusterd -n 50",
                           peer_name_);
      if (plan_.arbitration)
        return fmt::format(
            "{} is away, and this changes how the nodes hear each other or when one takes over: both "
            "have to take it at the same time. Services may be changed alone",
            peer_name_);
      return "";
    }
    auto word = word_from(*answer);
    if (!word) return fmt::format("{}: {}", peer_name_, word.error().message);
    peer_ = std::move(*word);
    if (order_.alone) return fmt::format("{} answers: it is not away. Without --alone", peer_name_);
    if (peer_->record.change)
      return Refusal::for_now(fmt::format("{} is busy with version {}; again in a moment", peer_name_,
                                          peer_->record.change->to.number));
    const versions::Version* theirs = peer_->record.current();
    if (theirs == nullptr)
      return Refusal::for_now(peer_name_ + " has only just started; try again in a moment");
    if (order_.overwrite) return "";
    if (theirs->hash != record_.current()->hash)
      return fmt::format(
          "{} has version {} of {}, this node version {} of {}: the nodes have to agree first "
          "(`clusterctl versions`), or, if these files shall hold on both: clusterctl apply "
          "--overwrite",
          peer_name_, theirs->number, theirs->by, record_.current()->number, record_.current()->by);
    if (!daemon_.agrees)
      return Refusal::for_now(
          "the daemons do not hear each other now; a version on trial could not be judged "
          "(`clusterctl status`)");
    return "";
  }

  [[nodiscard]] uint64_t next_number() const {
    return std::max(record_.highest, peer_ ? peer_->record.highest : 0) + 1;
  }

  std::string store_it() {
    to_.number = next_number();
    to_.by = node_.name();
    to_.at_s = static_cast<int64_t>(::time(nullptr));
    to_.how = order_.rollback_to == 0 ? "applied" : fmt::format("rollback to {}", order_.rollback_to);
    const auto put = node_.store().put(to_.number, files_);
    return put ? "" : put.error().message;
  }

  std::string activate_alone() {
    if (std::string why = store_it(); !why.empty()) return answered_refusal(why);
    to_.how += ", alone";
    const auto changed = node_.store().change([&](Record& record) {
      if (record != record_) return false;
      record.clear_of = record.current()->number;
      record.settle(to_);
      record.placing = true;
      record.due = true;
      record.last = fmt::format("version {} is in force here; {} was away and gets it when it returns",
                                to_.number, peer_name_);
      return true;
    });
    if (!changed || changed->current() == nullptr || !changed->current()->same(to_))
      return answered_refusal(changed ? Refusal::for_now("busy; try again")
                                      : Refusal(changed.error().message));
    if (auto placed = node_.place(); !placed) return answered_refusal(placed.error().message);
    return answered_done(to_.number, changed->last);
  }

  std::string prepare() {
    if (std::string why = store_it(); !why.empty()) return answered_refusal(why);
    Prepare wanted;
    wanted.change.from = *record_.current();
    wanted.change.to = to_;
    wanted.change.owner = node_.name();
    wanted.change.arbitration = plan_.arbitration || order_.overwrite;
    wanted.change.trial_s = order_.trial_s;
    wanted.from_digest = record_.current()->digest;
    wanted.files = files_;
    wanted.overwrite = order_.overwrite;
    auto changed = node_.store().change([&](Record& record) {
      if (record != record_) return false;
      record.change = wanted.change;
      record.highest = to_.number;
      enter(*record.change, Phase::kPrepared);
      return true;
    });
    if (!changed || !changed->change)
      return answered_refusal(changed ? Refusal::for_now("busy; try again")
                                      : Refusal(changed.error().message));
    const auto answer = node_.ask_peer(asked(wanted));
    const auto done = answer ? done_from(*answer) : tl::unexpected(answer.error());
    if (!done) return give_up({done.error().message, done.error().code == Code::kRetry});
    if (wanted.change.arbitration) {
      if (auto held = node_.hold_back(true); !held) return give_up(held.error().message);
    }
    changed = node_.store().change([&](Record& record) {
      if (!record.change || !record.change->to.same(to_)) return false;
      enter(*record.change, Phase::kTrying);
      record.clear_of = record.change->from.number;
      return true;
    });
    if (!changed) return give_up(changed.error().message);
    return answered_done(to_.number, done->note);
  }

  std::string give_up(const Refusal& refusal) {
    if (plan_.arbitration || order_.overwrite) static_cast<void>(node_.hold_back(false));
    const auto changed = node_.store().change([&](Record& record) {
      if (!record.change || !record.change->to.same(to_)) return false;
      record.change.reset();
      return true;
    });
    if (!changed) return answered_refusal(refusal.why + "; and " + changed.error().message);
    return answered_refusal(refusal);
  }

  const ThisNode& node_;
  Apply order_;
  Record record_;
  ConfigTexts files_;
  versions::Plan plan_;
  versions::Version to_;
  std::string peer_name_;
  DaemonView daemon_;
  std::optional<versions::PeerWord> peer_;
};

}  // namespace

std::string apply(const ThisNode& node, const Apply& order) { return Applying(node, order).run(); }

}  // namespace clusterd::keep
