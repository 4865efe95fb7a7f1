#include "keep/likeness.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <thread>
#include <utility>

#include "config/alike.hpp"
#include "ctl/client.hpp"
#include "linux/units/ocf_agent.hpp"

namespace clusterd::keep {

using versions::Members;

namespace {

constexpr std::chrono::milliseconds kTick{1000};
// A look costs one stat for each file that has not changed.
constexpr int64_t kLookEveryMs = 20'000, kAskEveryMs = 60'000, kAskAgainMs = 10'000;
// Of a thread: neither a processor nor a disk that somebody else wants.
constexpr int kLowest = 19, kIoprioWhoThread = 1, kIoprioBestEffortLowest = (2 << 13) | 7;

void take_the_lowest_priority() {
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kLowest);
  ::syscall(SYS_ioprio_set, kIoprioWhoThread, 0, kIoprioBestEffortLowest);
}

}  // namespace

void LikenessKeeper::run() {
  take_the_lowest_priority();
  while (true) {
    round();
    std::this_thread::sleep_for(kTick);
  }
}

void LikenessKeeper::round() {
  const int64_t now = boottime_ms();
  const bool poked = [this] {
    const std::lock_guard lock(mutex_);
    return std::exchange(poked_, false);
  }();
  bool changed = read_wanted();
  if (version_.empty()) return;
  if (changed || now - last_look_ms_ >= kLookEveryMs) changed = look() || changed;
  const int64_t pause = contact_.empty() ? kAskEveryMs : kAskAgainMs;
  if (changed || poked || asked_with_ != mine_digest_ || now - last_ask_ms_ >= pause)
    changed = ask() || changed;
  if (changed) report_ = report();
  tell_daemon();
}

bool LikenessKeeper::read_wanted() {
  const versions::Record record = node_.store().load();
  const versions::Version* current = record.current();
  if (current == nullptr || current->digest == version_) return false;
  const auto files = node_.store().files(current->number);
  const auto config = files ? node_.understood(*files) : tl::unexpected(files.error());
  if (!config) return false;
  const auto paths = alike_paths(*files);
  wanted_.clear();
  for (const ServiceConfig& service : config->services) {
    const auto named = paths.find(service.name);
    wanted_.emplace(
        service.name,
        alike::wanted(service, named == paths.end() ? std::vector<std::string>() : named->second, ocf_path));
  }
  version_ = current->digest;
  return true;
}

bool LikenessKeeper::look() {
  alike::Word found = look_.at(wanted_);
  last_look_ms_ = boottime_ms();
  if (found == mine_ && !mine_text_.empty()) return false;
  mine_ = std::move(found);
  std::string text = encoded(mine_);
  const std::lock_guard lock(mutex_);
  mine_text_ = std::move(text);
  mine_digest_ = always::digest_of(mine_text_);
  return true;
}

bool LikenessKeeper::ask() {
  asked_with_ = mine_digest_;
  const auto answer = node_.ask_peer(alike::asked_to_look(theirs_ ? theirs_digest_ : "", mine_digest_));
  last_ask_ms_ = boottime_ms();
  if (!answer) return not_known(answer.error().message);
  const auto value = versions::parsed(*answer);
  if (!value) return not_known("its answer is none of clusterd-config");
  const Members members(*value);
  if (members.has("refused")) return not_known(members.text("refused"));
  if (members.yes("same") && theirs_) return false;
  auto word = alike::word_from(members.at("word"));
  if (!word) return not_known("its answer is none of clusterd-config");
  theirs_ = std::move(*word);
  contact_.clear();
  const std::lock_guard lock(mutex_);
  theirs_digest_ = members.text("digest");
  return true;
}

bool LikenessKeeper::not_known(std::string why) {
  const bool changed = theirs_.has_value() || contact_ != why;
  theirs_.reset();
  contact_ = std::move(why);
  const std::lock_guard lock(mutex_);
  theirs_digest_.clear();
  return changed;
}

std::string LikenessKeeper::report() const {
  alike::Report report;
  for (const auto& [service, mine] : mine_.services) {
    alike::Likeness likeness = alike::compare(service, mine_, theirs_ ? &*theirs_ : nullptr);
    if (!theirs_) likeness.why = contact_;
    report.emplace(service, std::move(likeness));
  }
  return encoded(report);
}

// Again and again until it was heard.
void LikenessKeeper::tell_daemon() {
  if (report_ == told_) return;
  const auto answer = ctl::Client(node_.options().run_dir).post("/v1/likeness", report_);
  if (answer && answer->status == 200) told_ = report_;
}

std::optional<std::string> LikenessKeeper::answer_peer(const json::value& question) {
  if (what_of(question) != "alike-look") return std::nullopt;
  const Members members(question);
  const std::lock_guard lock(mutex_);
  if (members.text("mine") != theirs_digest_) poked_ = true;
  if (mine_text_.empty()) return answered_refusal(Refusal::for_now("it has only just started"));
  if (members.text("known") == mine_digest_) return json::serialize(json::object{{"same", true}});
  return fmt::format(R"({{"digest":"{}","word":{}}})", mine_digest_, mine_text_);
}

}  // namespace clusterd::keep
