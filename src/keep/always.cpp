#include "keep/always.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "ctl/client.hpp"
#include "linux/always/install.hpp"
#include "linux/always/place.hpp"
#include "mirror/escape.hpp"

namespace clusterd::keep {

using always::Agreement;
using always::Entry;
using always::Finding;
using always::Kind;
using always::Verdict;
using versions::Members;

namespace {

constexpr std::chrono::milliseconds kTick{500};
constexpr int64_t kLookEveryMs = 2000, kAskEveryMs = 5000, kTryAgainMs = 30'000;
constexpr size_t kToldInFull = 10, kShownFiles = 500;

void say(int level, const std::string& text) {
  std::fprintf(stderr, "<%d>always mirror: %s\n", level, text.c_str());
}

}  // namespace

std::string asked_to_keep(const std::string& path, const std::string& from) {
  return json::serialize(json::object{{"do", "always-keep"}, {"path", mirror::escape(path)}, {"from", from}});
}

void AlwaysMirror::run() {
  while (true) {
    {
      std::unique_lock lock(mutex_);
      due_.wait_for(lock, kTick, [this] { return poked_; });
    }
    round();
  }
}

void AlwaysMirror::round() {
  const int64_t now = boottime_ms();
  const bool poked = [this] {
    const std::lock_guard lock(mutex_);
    return std::exchange(poked_, false);
  }();
  if (!poked && settled_ && now - last_look_ms_ < kLookEveryMs) return;
  const std::string halted = read_force();
  if (force_.config.paths.empty()) {
    mine_ = {};
    mine_text_.clear();
    settled_ = true;
    last_look_ms_ = now;
    return publish({});
  }
  const bool changed = look(halted);
  bool fresh = false;
  if (poked || asked_with_ != always::digest_of(mine_text_) || now - last_ask_ms_ >= kAskEveryMs)
    fresh = ask();
  if (!changed && !fresh && contact_ == shown_.contact) return;  // this thread alone writes `shown_`
  std::vector<Finding> findings;
  const bool carries = met_ && mine_.halted.empty() && theirs_.halted.empty() && mine_.hash == theirs_.hash;
  if (carries) {
    findings = judge(force_.config, force_.names, mine_, theirs_);
    if (fresh) {
      agree(findings);
      findings = judge(force_.config, force_.names, mine_, theirs_);
      if (take(findings)) {
        static_cast<void>(look(halted));
        findings = judge(force_.config, force_.names, mine_, theirs_);
        agree(findings);
      }
    }
  }
  publish(std::move(findings));
}

std::string AlwaysMirror::read_force() {
  const versions::Record record = node_.store().load();
  const versions::Version* current = record.current();
  if (current == nullptr) return "clusterd has only just started";
  if (current->digest != force_.digest) {
    const auto files = node_.store().files(current->number);
    const auto config = files ? node_.understood(*files) : tl::unexpected(files.error());
    if (!config) return "the configuration in force cannot be read";
    tree_ = {};
    met_ = false;  // what the other node has said was judged by another list
    theirs_digest_.clear();
    failed_.clear();
    force_ = {
        config->always, config->hash, {node_.name(), config->node(config->peer()).name}, current->digest};
  }
  return record.change ? "a new version of the configuration is not settled yet" : "";
}

bool AlwaysMirror::look(const std::string& halted) {
  const always::Word before = std::exchange(mine_, {});
  if (!loaded_) {
    auto stored = store_.load();
    if (!stored) {
      mine_.halted = stored.error().message;
    } else {
      stored_ = std::move(*stored);
      loaded_ = true;
    }
  }
  last_look_ms_ = boottime_ms();
  always::Stand stand = tree_.look(force_.config, last_look_ms_);
  settled_ = stand.settled;
  if (loaded_) mine_.halted = stand.halted.empty() ? halted : stand.halted;
  mine_.hash = force_.hash;
  if (mine_.halted.empty()) mine_.entries = std::move(stand.entries);
  mine_.store = stored_.store;
  mine_.seen = stored_.seen;
  mine_.agreed = stored_.agreed;
  if (mine_ == before && !mine_text_.empty()) return false;
  mine_text_ = encoded(mine_);
  if (mine_text_.size() > always::kMaxWordBytes) {
    mine_.halted = "the names of all that is listed are too long together";
    mine_.entries.clear();
    mine_.agreed.clear();
    mine_text_ = encoded(mine_);
  }
  share();
  return true;
}

// The own word, for the thread that answers the other node.
void AlwaysMirror::share() {
  const std::lock_guard lock(mutex_);
  shown_.force = force_;
  shown_.mine = mine_;
  shown_.mine_text = mine_text_;
  shown_.mine_digest = always::digest_of(mine_text_);
}

// True: what the other node has is known as it is now.
bool AlwaysMirror::ask() {
  asked_with_ = always::digest_of(mine_text_);
  const auto answer = node_.ask_peer(always::asked_to_look(met_ ? theirs_digest_ : "", asked_with_));
  last_ask_ms_ = boottime_ms();
  const auto fault = [&](std::string why) {
    contact_ = std::move(why);
    return false;
  };
  if (!answer) return fault(answer.error().message);
  const auto value = versions::parsed(*answer);
  if (!value) return fault("its answer is none of clusterd-config");
  const Members members(*value);
  if (members.has("refused")) return fault(members.text("refused"));
  contact_.clear();
  if (members.yes("same")) return met_;
  auto word = always::word_from(members.at("word"));
  if (!word) return fault("its answer is none of clusterd-config");
  if (word->hash == force_.hash)
    if (const std::string why = fault_of(force_.config, *word); !why.empty()) return fault("it names " + why);
  theirs_ = std::move(*word);
  theirs_digest_ = members.text("digest");
  met_ = true;
  return true;
}

void AlwaysMirror::save(const always::Stored& stored) {
  if (stored == stored_) return;
  if (auto saved = store_.save(stored); !saved) {
    const std::string& why = saved.error().message;
    if (contact_ != why) say(3, why);
    contact_ = why;
    return;  // what is not on disk does not count
  }
  stored_ = stored;
  mine_.store = stored_.store;
  mine_.seen = stored_.seen;
  mine_.agreed = stored_.agreed;
  mine_text_ = encoded(mine_);
}

void AlwaysMirror::agree(const std::vector<Finding>& findings) {
  always::Stored next = noted(findings, mine_, theirs_, always::Store::fresh_id());
  if (!stores_match(mine_, theirs_)) {
    if (!stored_.agreed.empty())
      say(4, fmt::format("what {} or {} remembered of their agreement is lost: what is equal is agreed on "
                         "anew, and what differs is a conflict",
                         force_.names.self, force_.names.peer));
    return save(next);
  }
  const std::lock_guard lock(mutex_);
  for (auto& [path, order] : std::exchange(orders_, {})) {
    const auto number = [&](const always::Agreements& all) {
      const auto found = all.find(path);
      return found == all.end() ? 0 : found->second.number;
    };
    order.number = std::max({number(next.agreed), number(theirs_.agreed), order.number - 1}) + 1;
    next.agreed.insert_or_assign(path, order);
    next.store.turn = stored_.store.turn + 1;
  }
  save(next);
}

bool AlwaysMirror::take(const std::vector<Finding>& findings) {
  if (!stores_match(mine_, theirs_)) return false;  // the other node has to drop its agreements, too
  size_t taken = 0;
  std::map<std::string, std::string> contents;
  const auto one = [&](const Finding& finding) {
    const auto content = contents.find(finding.path);
    if (take_one(finding, content == contents.end() ? "" : content->second, taken)) ++taken;
    if (content != contents.end()) contents.erase(content);
  };
  for (size_t i = 0; i < findings.size(); ++i) {
    const Finding& finding = findings[i];
    if (finding.verdict != Verdict::kTake || !finding.theirs.there()) continue;
    if (finding.theirs.kind == Kind::kFile && !contents.contains(finding.path) &&
        !fetch(findings, i, contents))
      continue;
    one(finding);
  }
  // What lies in a directory goes before it.
  for (size_t i = findings.size(); i-- > 0;)
    if (findings[i].verdict == Verdict::kTake && !findings[i].theirs.there()) one(findings[i]);
  return taken > 0;
}

bool AlwaysMirror::take_one(const Finding& finding, const std::string& content, size_t before_it) {
  const auto before = failed_.find(finding.path);
  if (before != failed_.end() && same(before->second.to, finding.theirs) &&
      boottime_ms() < before->second.again_ms)
    return false;
  const auto kept = install({finding.path, finding.theirs, finding.mine, content}, store_);
  if (!kept) {
    if (kept.error().code == Code::kRetry) return false;  // it is looked at anew
    const std::string why = fmt::format("{} cannot take it: {}", force_.names.self, kept.error().message);
    if (before == failed_.end() || before->second.why != why)
      say(4, mirror::escape(finding.path) + ": " + why);
    failed_.insert_or_assign(finding.path, Failed{finding.theirs, why, boottime_ms() + kTryAgainMs});
    return false;
  }
  failed_.erase(finding.path);
  tree_.trust(finding.path);
  if (before_it < kToldInFull)
    say(5, fmt::format("{} is as on {} now{}", mirror::escape(finding.path), force_.names.peer,
                       kept->empty() ? "" : "; what it was is kept as " + *kept));
  if (before_it == kToldInFull) say(5, "and more");
  return true;
}

// The content of the first one, and with it of as many that follow as one answer carries.
bool AlwaysMirror::fetch(const std::vector<Finding>& findings, size_t first,
                         std::map<std::string, std::string>& contents) {
  std::map<std::string, std::string> arriving;
  const std::string& wanted_most = findings[first].path;
  while (!contents.contains(wanted_most)) {
    std::vector<always::Wanted> wanted;
    uint64_t bytes = 0;
    for (size_t i = first; i < findings.size() && wanted.size() < always::kMaxAskedFiles; ++i) {
      const Finding& finding = findings[i];
      if (finding.verdict != Verdict::kTake || finding.theirs.kind != Kind::kFile) continue;
      if (contents.contains(finding.path)) continue;
      const size_t at = arriving[finding.path].size();
      bytes += finding.theirs.size - std::min<uint64_t>(at, finding.theirs.size);
      if (!wanted.empty() && bytes > always::kMaxCarriedBytes) break;
      wanted.push_back({finding.path, finding.theirs.content, at});
    }
    const auto answer = node_.ask_peer(always::asked_for(wanted));
    const auto value = answer ? versions::parsed(*answer) : std::nullopt;
    const auto parts = value ? always::parts_from(*value) : std::nullopt;
    if (!parts || parts->empty()) return false;
    bool any = false;
    for (const always::Part& part : *parts) {
      const auto asked = std::ranges::find(wanted, part.path, &always::Wanted::path);
      const auto found = std::ranges::find(findings, part.path, &Finding::path);
      if (asked == wanted.end() || found == findings.end()) return false;
      if (part.gone) {
        if (part.path == wanted_most) return false;
        continue;
      }
      std::string& all = arriving[part.path];
      all += part.data;
      if (all.size() > found->theirs.size) return false;
      any = any || !part.data.empty() || found->theirs.size == 0;
      if (all.size() == found->theirs.size) contents[part.path] = std::move(all);
    }
    if (!any) return false;
  }
  return true;
}

void AlwaysMirror::publish(std::vector<Finding> findings) {
  for (Finding& finding : findings) {
    const auto failed = failed_.find(finding.path);
    if (failed == failed_.end() || finding.verdict != Verdict::kTake) continue;
    finding.verdict = Verdict::kRefused;
    finding.why = failed->second.why;
  }
  std::erase_if(failed_, [&](const auto& one) {
    return std::ranges::none_of(findings, [&](const Finding& finding) {
      return finding.path == one.first && finding.verdict == Verdict::kRefused;
    });
  });
  std::string stuck = always::stuck(findings);
  const std::string& halted = mine_.halted;
  if (halted.starts_with("more than") || halted.starts_with("the names"))
    stuck = halted + "; nothing is carried";
  share();
  {
    const std::lock_guard lock(mutex_);
    shown_.theirs = theirs_;
    shown_.theirs_digest = theirs_digest_;
    shown_.findings = std::move(findings);
    shown_.halted = mine_.halted;
    shown_.contact = contact_;
    shown_.met = met_;
  }
  if (met_ || !stuck.empty() || force_.config.paths.empty()) tell_daemon(stuck);
}

// Again and again until it was heard.
void AlwaysMirror::tell_daemon(const std::string& stuck) {
  if (told_ == stuck || (!told_ && stuck.empty())) return;
  const auto answer =
      ctl::Client(node_.options().run_dir)
          .post("/v1/command", json::serialize(json::object{{"kind", "always-stuck"}, {"text", stuck}}));
  if (answer && answer->status == 200) told_ = stuck;
}

// ---- what others ask ----

std::optional<std::string> AlwaysMirror::answer_peer(const json::value& question) {
  const std::string what = what_of(question);
  if (what == "always-look") return answer_look(question);
  if (what == "always-files") return answer_files(question);
  return std::nullopt;
}

std::optional<std::string> AlwaysMirror::answer_local(const json::value& question) {
  const std::string what = what_of(question);
  if (what == "always-show") return show();
  if (what == "always-keep") return keep(question);
  return std::nullopt;
}

std::string AlwaysMirror::answer_look(const json::value& question) {
  const Members members(question);
  const std::lock_guard lock(mutex_);
  if (members.text("mine") != shown_.theirs_digest) {
    poked_ = true;
    due_.notify_all();
  }
  if (shown_.mine_text.empty()) return answered_refusal(Refusal::for_now("it has only just started"));
  if (members.text("known") == shown_.mine_digest) return json::serialize(json::object{{"same", true}});
  return fmt::format(R"({{"digest":"{}","word":{}}})", shown_.mine_digest, shown_.mine_text);
}

std::string AlwaysMirror::answer_files(const json::value& question) {
  std::vector<always::Part> parts;
  size_t room = always::kMaxCarriedBytes;
  always::Owners owners;
  for (const always::Wanted& wanted : always::wanted_from(question)) {
    // The path is said again, with up to four bytes for each of its own.
    if (room <= 4 * wanted.path.size()) break;
    room -= 4 * wanted.path.size();
    // Only what this node has said to have there: nothing else is read for anybody.
    const bool said = [&] {
      const std::lock_guard lock(mutex_);
      const auto found = shown_.mine.entries.find(wanted.path);
      return found != shown_.mine.entries.end() && found->second.kind == Kind::kFile &&
             found->second.content == wanted.digest;
    }();
    always::Part part{wanted.path, "", true};
    if (said) {
      const always::Place place = always::place_of(wanted.path);
      const Fd folder(open_without_symlinks(place.folder, O_RDONLY | O_DIRECTORY));
      const always::Found found =
          folder.get() < 0 ? always::Found() : always::look_at(folder.get(), place.name, owners);
      if (found.entry.kind == Kind::kFile && found.entry.content == wanted.digest) {
        part.gone = false;
        part.data = found.content.substr(std::min<size_t>(wanted.at, found.content.size()), room);
        room -= part.data.size();
      }
    }
    parts.push_back(std::move(part));
  }
  return always::answered(parts);
}

std::string AlwaysMirror::show() {
  const std::lock_guard lock(mutex_);
  json::array paths, files;
  for (const std::string& listed : shown_.force.config.paths) {
    std::map<Verdict, uint64_t> counts;
    for (const Finding& finding : shown_.findings)
      if (always::is_under(finding.path, always::bare(listed)) &&
          (finding.mine.there() || finding.theirs.there()))
        ++counts[finding.verdict];
    json::object one{{"path", listed}};
    for (const Verdict verdict :
         {Verdict::kAgree, Verdict::kTake, Verdict::kWait, Verdict::kConflict, Verdict::kRefused})
      one[name(verdict)] = counts[verdict];
    paths.push_back(std::move(one));
  }
  // Those that wait for a human first: they are never left out.
  const auto add = [&](bool stuck) {
    for (const Finding& finding : shown_.findings) {
      const bool is_stuck = finding.verdict == Verdict::kConflict || finding.verdict == Verdict::kRefused;
      if (finding.verdict == Verdict::kAgree || is_stuck != stuck || files.size() >= kShownFiles) continue;
      files.push_back(json::object{{"path", mirror::escape(finding.path)},
                                   {"state", name(finding.verdict)},
                                   {"why", finding.why},
                                   {"here", shown(finding.mine)},
                                   {"there", shown(finding.theirs)}});
    }
  };
  add(true);
  add(false);
  std::string halted = shown_.halted;
  if (halted.empty() && shown_.met && shown_.theirs.hash != shown_.mine.hash)
    halted = shown_.force.names.peer + " has another configuration";
  if (halted.empty() && shown_.met && !shown_.theirs.halted.empty())
    halted = shown_.force.names.peer + ": " + shown_.theirs.halted;
  return json::serialize(json::object{{"node", shown_.force.names.self},
                                      {"peer", shown_.force.names.peer},
                                      {"halted", halted},
                                      {"met", shown_.met},
                                      {"no_contact", shown_.contact},
                                      {"paths", std::move(paths)},
                                      {"files", std::move(files)}});
}

std::string AlwaysMirror::keep(const json::value& question) {
  const Members members(question);
  const auto path = mirror::unescape(members.text("path"));
  const std::string from = members.text("from");
  const std::lock_guard lock(mutex_);
  const always::Names& names = shown_.force.names;
  if (!path) return answered_refusal("no path that clusterd-config knows");
  if (from != names.self && from != names.peer)
    return answered_refusal(
        fmt::format("there is no node \"{}\"; nodes: {}, {}", from, names.self, names.peer));
  if (!shown_.contact.empty() || !shown_.met)
    return answered_refusal(
        Refusal::for_now(fmt::format("{} cannot be asked: {}", names.peer, shown_.contact)));
  const auto all = kept(shown_.findings, shown_.mine, shown_.theirs, always::bare(*path), from == names.self);
  if (!all)
    return answered_refusal(
        fmt::format("there is no conflict at {}; `clusterctl always` lists them", mirror::escape(*path)));
  for (const auto& [at, agreement] : *all)
    if (agreement.decided && always::is_under(at, always::bare(*path)))
      orders_.insert_or_assign(at, agreement);
  poked_ = true;
  due_.notify_all();
  return answered_done();
}

}  // namespace clusterd::keep
