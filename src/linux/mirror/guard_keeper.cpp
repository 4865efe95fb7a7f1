#include "linux/mirror/guard_keeper.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "linux/mirror/mounts.hpp"
#include "mirror/escape.hpp"

namespace clusterd {
namespace {

constexpr size_t kLongestRecord = 1 << 20;
constexpr Duration kSeekAfter = std::chrono::milliseconds(200);  // who was there before the guard

std::string record_path(const std::string& run_dir) { return run_dir + "/guarded"; }

// Paths of the configuration hold no line breaks.
std::vector<std::string> recorded(const std::string& run_dir) {
  std::vector<std::string> out;
  const auto text = read_whole_file(record_path(run_dir), kLongestRecord);
  if (!text) return out;
  for (size_t at = 0; at < text->size();) {
    const size_t end = std::min(text->find('\n', at), text->size());
    if (text->at(at) == '/') out.push_back(text->substr(at, end - at));
    at = end + 1;
  }
  return out;
}

// All that lie on top of each other there. Empty: done.
std::string lift_at(const std::string& folder) {
  while (const auto guard = find_guard(folder)) {
    if (const auto done = lift_guard(*guard); !done) return done.error().message;
  }
  return "";
}

std::vector<std::string> mounted_below(const std::string& folder) {
  std::vector<std::string> out;
  for (const MountPoint& mount : read_mounts()) {
    if (mount.point != folder && is_inside(mount.point, folder)) out.push_back(mount.point);
  }
  std::ranges::sort(out);
  const auto twice = std::ranges::unique(out);
  out.erase(twice.begin(), twice.end());
  return out;
}

}  // namespace

// What was found out about a folder, off the reactor's thread.
struct GuardKeeper::Seen {
  Result<GuardPlan> plan = GuardPlan{};
  bool there = false;   // a guard
  std::string writers;  // beneath it
  std::vector<std::string> mounts;
};

GuardKeeper::GuardKeeper(EventLoop& loop, const Config& config, std::string run_dir, EventSink sink,
                         std::function<void(ServiceId)> mounts_changed)
    : loop_(loop),
      run_dir_(std::move(run_dir)),
      sink_(std::move(sink)),
      mounts_changed_(std::move(mounts_changed)),
      alive_(std::make_shared<bool>(true)),
      helper_(std::make_unique<HelperThread>()) {
  for (size_t s = 0; s < config.services.size(); ++s) {
    const auto& mirrors = config.services[s].mirrors;
    for (size_t m = 0; m < mirrors.size(); ++m) {
      if (!mirrors[m].guard) continue;
      for (const std::string& path : mirrors[m].paths) {
        Folder folder;
        folder.service = ServiceId(s);
        folder.mirror = MirrorId(m);
        folder.path = root_path(path);
        if (auto guard = find_guard(folder.path)) folder.mount = std::move(*guard);
        folders_.push_back(std::move(folder));
      }
    }
  }
  for (const std::string& path : recorded(run_dir_)) {
    if (std::ranges::any_of(folders_, [&](const Folder& folder) { return folder.path == path; })) continue;
    const std::string trouble = lift_at(path);
    if (trouble.empty()) continue;
    std::fprintf(stderr, "<4>guard: %s\n", trouble.c_str());
    stuck_.push_back(path);
  }
  write_down();
}

GuardKeeper::~GuardKeeper() { *alive_ = false; }

void GuardKeeper::set(ServiceId service) {
  const uint64_t order = ordered_[service] = ++orders_;
  for (size_t i = 0; i < folders_.size(); ++i)
    if (folders_[i].service == service) ask(i, order);
  timer_ = loop_.at(EventLoop::now() + kLookEvery, [this] { look(); });
}

void GuardKeeper::lift(ServiceId service) {
  ordered_.erase(service);
  std::erase_if(told_, [&](const auto& item) { return item.first.first == service; });
  for (Folder& folder : folders_) {
    if (folder.service != service) continue;
    const Fd mount = std::exchange(folder.mount, Fd());
    folder.outcome.reset();
    folder.mounts.reset();
    folder.writers_sought = false;
    std::string trouble;
    if (mount.valid()) {
      if (const auto done = lift_guard(mount); !done) trouble = done.error().message;
    }
    // Another one may lie beneath it, or have been set by somebody else.
    if (trouble.empty()) trouble = lift_at(folder.path);
    if (!trouble.empty()) std::fprintf(stderr, "<4>guard: %s\n", trouble.c_str());
  }
}

void GuardKeeper::look() {
  timer_.reset();
  if (ordered_.empty()) return;
  for (size_t i = 0; i < folders_.size() && asked_ == 0; ++i) {
    // A disk that does not answer is not asked again and again.
    const auto order = ordered_.find(folders_[i].service);
    if (order != ordered_.end()) ask(i, order->second);
  }
  timer_ = loop_.at(EventLoop::now() + kLookEvery, [this] { look(); });
}

void GuardKeeper::ask(size_t index, uint64_t order) {
  const Folder& folder = folders_[index];
  // Once nobody is left from before, nobody can come.
  const bool seek = !folder.writers_sought || !folder.detail.empty();
  ++asked_;
  helper_->run([this, alive = alive_, &loop = loop_, index, order, seek, path = folder.path] {
    auto seen = std::make_shared<Seen>();
    seen->plan = prepare_guard(path);
    seen->there = seen->plan && !seen->plan->absent && !seen->plan->copy.valid();
    if (seen->there && seek) seen->writers = writers_from_before(path);
    seen->mounts = mounted_below(path);
    loop.post([this, alive, index, order, seen] {
      if (*alive) take(index, order, std::move(*seen));
    });
  });
}

// An order that has been taken back meanwhile, and given again, has asked anew.
void GuardKeeper::take(size_t index, uint64_t order, Seen seen) {
  using Outcome = GuardReport::Outcome;
  --asked_;
  Folder& folder = folders_.at(index);
  const auto stands = ordered_.find(folder.service);
  if (stands == ordered_.end() || stands->second != order) return;
  if (!seen.plan) {
    folder.outcome = Outcome::kFailed;
    folder.detail = seen.plan.error().message;
  } else if (seen.plan->absent) {
    folder.outcome = Outcome::kAbsent;
    folder.detail = fmt::format("{} is no directory yet", mirror::escape(folder.path));
  } else {
    const bool changed = folder.mounts && *folder.mounts != seen.mounts;
    folder.mounts = std::move(seen.mounts);
    folder.writers_sought = seen.there;
    folder.outcome = seen.plan->half_guarded.empty() ? Outcome::kSet : Outcome::kFailed;
    folder.detail = seen.plan->half_guarded.empty() ? std::move(seen.writers) : seen.plan->half_guarded;
    put_in_place(folder, std::move(*seen.plan));
    if (changed) mounts_changed_(folder.service);
  }
  tell(folder.service, folder.mirror);
}

void GuardKeeper::put_in_place(Folder& folder, GuardPlan plan) {
  const bool anew = plan.copy.valid();
  auto mount = set_guard(std::move(plan));
  if (!mount) {
    folder.outcome = GuardReport::Outcome::kFailed;
    folder.detail = fmt::format("{}: {}", mirror::escape(folder.path), mount.error().message);
    return;
  }
  // Something was mounted over the former one.
  if (anew && folder.mount.valid()) (void)lift_guard(folder.mount);
  folder.mount = std::move(*mount);
  if (anew) timer_ = loop_.at(EventLoop::now() + kSeekAfter, [this] { look(); });
}

// A mirror is as good as the worst of its folders. What has been told is not told again.
void GuardKeeper::tell(ServiceId service, MirrorId mirror) {
  GuardReport report;
  report.service = service;
  report.mirror = mirror;
  for (const Folder& folder : folders_) {
    if (folder.service != service || folder.mirror != mirror) continue;
    if (!folder.outcome) return;
    if (*folder.outcome > report.outcome) {
      report.outcome = *folder.outcome;
      report.detail.clear();
    }
    if (*folder.outcome == report.outcome && !folder.detail.empty())
      report.detail += (report.detail.empty() ? "" : "; ") + folder.detail;
  }
  const auto [told, is_new] = told_.try_emplace({service, mirror}, report);
  if (!is_new && told->second == report) return;
  told->second = report;
  loop_.post([sink = sink_, report] { sink(report); });
}

// Before any of them is guarded, and all of them at once: a name too many costs nothing.
void GuardKeeper::write_down() const {
  std::string text;
  for (const Folder& folder : folders_) text += folder.path + "\n";
  for (const std::string& path : stuck_) text += path + "\n";
  const std::string path = record_path(run_dir_), temporary = path + ".new";
  if (text.empty()) {
    ::unlink(path.c_str());
    return;
  }
  Fd file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
  const bool written =
      file.valid() && ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (!written || ::rename(temporary.c_str(), path.c_str()) != 0)
    std::fprintf(stderr, "<4>guard: %s\n", errno_text("cannot write", path).c_str());
}

std::vector<std::string> lift_all_guards(const std::string& run_dir) {
  std::vector<std::string> troubles;
  for (const std::string& path : recorded(run_dir)) {
    if (std::string trouble = lift_at(path); !trouble.empty()) troubles.push_back(std::move(trouble));
  }
  if (troubles.empty()) ::unlink(record_path(run_dir).c_str());
  return troubles;
}

}  // namespace clusterd
