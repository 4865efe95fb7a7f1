#include "linux/mirror/run.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <set>
#include <thread>

#include "linux/mirror/backup_json.hpp"
#include "linux/mirror/backup_store.hpp"
#include "linux/mirror/broken_run.hpp"
#include "linux/mirror/files.hpp"
#include "linux/mirror/report_copies.hpp"
#include "linux/mirror/target.hpp"
#include "mirror/command.hpp"
#include "mirror/escape.hpp"
#include "mirror/halt.hpp"
#include "mirror/itemize.hpp"

namespace clusterd {
namespace {

using mirror::Entry;
using Outcome = MirrorReport::Outcome;
using Kind = MirrorReport::Kind;

constexpr size_t kMaxErrorLines = 200;
constexpr int kSshFailed = 255;
constexpr int kVanished = 24;   // rsync: files of its list were gone when their turn came
constexpr int kMaxPasses = 10;  // of a resync
constexpr size_t kMaxVanished = 100'000;

// "clusterd-mirror[77]: reason" of the target; 0 if there is no such line.
struct TargetWord {
  int code = 0;
  std::string reason;
};
TargetWord target_word(const std::vector<std::string>& lines) {
  constexpr std::string_view kStart = "clusterd-mirror[";
  for (const std::string& line : lines) {
    const size_t end = line.find("]: ");
    if (line.compare(0, kStart.size(), kStart) != 0 || end == std::string::npos) continue;
    return {std::atoi(line.c_str() + kStart.size()), line.substr(end + 3)};
  }
  return {};
}

// rsync does not always pass ssh's exit code on; but it says that it never heard anything.
bool never_connected(const std::vector<std::string>& lines) {
  return std::any_of(lines.begin(), lines.end(), [](const std::string& line) {
    return line.find("connection unexpectedly closed (0 bytes received so far)") != std::string::npos;
  });
}

struct CallResult {
  int exit_code = 0;
  std::vector<std::string> output;  // remote calls only
  std::vector<std::string> errors;
  std::set<std::string> vanished;  // rsync's lines about them
  TargetWord target;
};

bool is_vanished_line(std::string_view line) {
  return line.substr(0, 19) == "file has vanished: " || line.substr(0, 24) == "directory has vanished: ";
}

class Run {
 public:
  Run(const Config& config, const MirrorPaths& paths, const MirrorOrder& order, RunControl& control,
      const std::function<void(const MirrorReport&)>& progress)
      : config_(config),
        paths_(paths),
        order_(order),
        service_(config.service(order.service)),
        mirror_(service_.mirrors.at(order.mirror.at())),
        control_(control),
        progress_(progress),
        target_(mirror_.to ? mirror_.to->substr(0, mirror_.to->rfind(":/"))
                           : config.node(config.peer()).name),
        manifest_path_(manifest_path(paths.state_dir, service_.name, mirror_.name)),
        sending_path_(sending_path(manifest_path_)) {
    report_.service = order.service;
    report_.mirror = order.mirror;
    report_.epoch = order.epoch;
    report_.kind = order.kind;
  }

  MirrorReport go() {
    if (auto done = check_names(); !done) return failed(done.error().message);
    if (auto ok = take_in_broken_run(manifest_path_, mirror_); !ok) return failed(ok.error().message);
    auto manifest = open_manifest(manifest_path_);
    if (!manifest) return failed(manifest.error().message);
    roots_ = look_at_roots(mirror_.paths);
    if (auto ok = write_sending(manifest->get()); !ok) return failed(ok.error().message);
    const mirror::ManifestHeader* last = *manifest ? &(*manifest)->header() : nullptr;
    if (auto reason = mirror::halt_reason(roots_, last)) {
      const bool problem = std::any_of(roots_.roots.begin(), roots_.roots.end(),
                                       [](const mirror::RootNow& r) { return !r.problem.empty(); });
      if (problem || !order_.confirmed) return halted(*reason);
    }
    // What is written from here on has another change time than what the manifest says, whatever the
    // kernel's tick (10 ms at most): a change during the run cannot hide.
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    auto done = transfer();
    if (done) done = record();
    // Where rsync has begun, the list stays for the next run, or for the resync that comes after this node's
    // end.
    if (done || !began_) ::unlink(sending_path_.c_str());
    if (!done) {
      return done.error().code == Code::kConfig ? halted(done.error().message) : failed(done.error().message);
    }
    report_.outcome = Outcome::kDone;
    return report_;
  }

 private:
  MirrorReport failed(const std::string& why) {
    report_.outcome = Outcome::kFailed;
    report_.detail = control_.cancelled() ? "cancelled" : why;
    return report_;
  }
  MirrorReport halted(const std::string& why) {
    report_.outcome = Outcome::kHalted;
    report_.detail = why;
    return report_;
  }

  Result<void> check_names() const {
    if (!mirror::is_safe_name(service_.name) || !mirror::is_safe_name(mirror_.name)) {
      return fail(Code::kRefused,
                  "the names of service and mirror may hold letters, digits and - _ . @ only");
    }
    if (mirror_.to && order_.kind == Kind::kResync) {
      return fail(Code::kRefused, "an off-site copy is never resynchronised with a backup set");
    }
    for (const auto& path : mirror_.paths) {
      const std::string root = root_path(path);
      if (root == paths_.state_dir ||
          root.compare(0, paths_.state_dir.size() + 1, paths_.state_dir + "/") == 0) {
        return fail(Code::kRefused, fmt::format("{} is clusterd's own state and cannot be mirrored", root));
      }
    }
    return make_directories(paths_.state_dir + "/mirror", 0700);
  }

  // The manifest of what is about to be sent; counts the roots' files and what waits.
  Result<void> write_sending(ManifestFile* last) {
    DurableFile file(sending_path_);
    if (auto ok = file.open(); !ok) return ok;
    if (auto ok = file.append(mirror::write_header({})); !ok) return ok;
    uint64_t entries = 0;
    auto visit = [&](const Entry* was, const Entry* now) -> Result<void> {
      if (!now) return {};
      count_entry(roots_, *now);
      if (now->type != 'd' && (!was || !mirror::same_state(*was, *now))) ++waiting_;
      ++entries;
      return file.append(mirror::write_entry(*now));
    };
    auto done = mirror::compare_streams(entries_of(last), walk_trees(mirror_.paths, mirror_.exclude), visit);
    if (!done) return done;
    if (auto ok = file.append(mirror::write_end(entries)); !ok) return ok;
    return file.commit();
  }

  // Addresses to try: the peer's on the other links first, on the service's own last.
  std::vector<IpAddress> addresses() const {
    if (link_) return {*link_};
    std::vector<IpAddress> out;
    for (const bool service_link : {false, true}) {
      for (size_t i = 0; i < config_.links.size(); ++i) {
        if ((LinkId(i) == service_.link) != service_link) continue;
        out.push_back(config_.links[i].ends.at(config_.peer().at()).address.address);
      }
    }
    return out;
  }

  CallResult call(const std::vector<std::string>& command, bool is_rsync) {
    CallResult out;
    auto last_progress = std::chrono::steady_clock::now();
    mirror::Tally tally;
    auto on_item = [&](const mirror::Item& item) {
      tally.add(item);
      const auto now = std::chrono::steady_clock::now();
      if (now - last_progress < std::chrono::seconds(1)) return;
      last_progress = now;
      MirrorReport so_far = report_;
      so_far.outcome = Outcome::kProgress;
      so_far.files = tally.files;
      so_far.bytes = tally.bytes;
      so_far.removed = tally.removed;
      progress_(so_far);
    };
    auto on_output = [&](std::string_view line) {
      if (!is_rsync && out.output.size() < kMaxErrorLines) out.output.emplace_back(line);
      if (!is_rsync) return;
      if (auto item = mirror::parse_item(line)) on_item(*item);
    };
    auto on_error = [&](std::string_view line) {  // rsync writes everything here (--stderr=all)
      if (auto item = is_rsync ? mirror::parse_item(line) : std::nullopt) return on_item(*item);
      if (is_rsync && is_vanished_line(line) && out.vanished.size() < kMaxVanished)
        out.vanished.emplace(line);
      if (out.errors.size() < kMaxErrorLines) out.errors.emplace_back(line);
    };
    auto code = run_child(command, control_, on_output, on_error);
    out.exit_code = code ? *code : kExitFailed;
    if (!code) out.errors.push_back(code.error().message);
    out.target = target_word(out.errors);
    if (is_rsync && out.target.code == 0 && never_connected(out.errors)) out.exit_code = kSshFailed;
    if (is_rsync) {
      report_.files = tally.files;
      report_.bytes = tally.bytes;
      report_.removed = tally.removed;
    }
    return out;
  }

  // Over one link after the other, until ssh gets through. `make`: the command line for a peer's address.
  CallResult call_peer(const std::function<std::vector<std::string>(const IpAddress&)>& make, bool is_rsync) {
    CallResult out;
    out.exit_code = kSshFailed;
    for (const IpAddress& address : addresses()) {
      out = call(make(address), is_rsync);
      if (out.exit_code != kSshFailed || out.target.code != 0 || control_.cancelled()) {
        link_ = address;
        return out;
      }
    }
    link_.reset();
    return out;
  }

  CallResult call_mirror(const std::string& command) {
    return call_peer(
        [&](const IpAddress& address) {
          auto line = mirror::ssh_command(config_.ssh);
          line.insert(line.end(), {"-l", config_.ssh.user, "--", address.text(), command});
          return line;
        },
        false);
  }

  std::string remote(std::string_view verb, const std::string& set) const {
    return fmt::format("clusterd-mirror {} --service {} --mirror {} --epoch {} --backup-set {}", verb,
                       service_.name, mirror_.name, order_.epoch.value, set);
  }

  Result<void> judge(const CallResult& out) const {
    if (control_.cancelled()) return fail(Code::kRetry, "cancelled");
    if (out.target.code == kExitHalt)
      return fail(Code::kConfig, fmt::format("at {}: {}", target_, out.target.reason));
    if (out.target.code == kExitRefused) {
      return fail(Code::kRefused, fmt::format("{} refuses: {}", target_, out.target.reason));
    }
    // rsync's own words come first: they name the file.
    if (out.exit_code != 0 && out.target.code != 0 && out.errors.size() <= 3) {
      return fail(Code::kRetry, fmt::format("{}: {}", target_, out.target.reason));
    }
    if (out.exit_code == 0) return {};
    return fail(Code::kRetry, mirror::explain_failure(out.exit_code, out.errors, target_, waiting_));
  }

  mirror::RsyncPlan plan() const {
    mirror::RsyncPlan plan;
    for (size_t i = 0; i < mirror_.paths.size(); ++i) {
      // Only after a confirmation can one be missing: then it is left out, and the target keeps its copy.
      if (roots_.roots[i].exists) plan.roots.push_back(mirror_.paths[i]);
    }
    for (const std::string& own : {paths_.state_dir, paths_.run_dir}) plan.more_excludes.push_back(own + "/");
    return plan;
  }

  CallResult rsync_to_peer(const std::string& set, const std::string& backup_dir) {
    mirror::RsyncPlan p = plan();
    mirror::ReceiveOptions options{service_.name, mirror_.name, order_.epoch.value, set, order_.confirmed};
    p.receive = mirror::receive_command(options);
    p.backup_dir = backup_dir;
    CallResult out = call_peer(
        [&](const IpAddress& address) {
          p.destination = mirror::rsync_destination(config_.ssh.user, address);
          return mirror::rsync_command(mirror_, config_.ssh, p);
        },
        true);
    const int code = out.target.code;
    const bool refused =
        code == kExitRefused || code == kExitResync || code == kExitBusy || code == kExitHalt;
    began_ = began_ || !(refused || never_connected(out.errors));
    return out;
  }

  Result<void> transfer() {
    if (plan().roots.empty()) return fail(Code::kRetry, "none of the mirror's paths exists");
    if (mirror_.to) return offsite();
    if (order_.kind == Kind::kResync) return resync();
    CallResult out = rsync_to_peer("", "");
    if (out.target.code == kExitResync) return resync();
    return finished(out);
  }

  Result<void> offsite() {
    auto destination = mirror::offsite_destination(*mirror_.to);
    if (!destination) return tl::unexpected(destination.error());
    mirror::RsyncPlan p = plan();
    p.destination = *destination;
    p.make_path = true;
    return finished(call(mirror::rsync_command(mirror_, config_.ssh, p), true));
  }

  Result<void> finished(CallResult out) {
    if (out.exit_code == kVanished) {  // files vanished while they were copied: the next run sees to them
      report_.detail = "some files vanished during the run";
      out.exit_code = 0;
    }
    // rsync has ended the connection before the target could say why: ask for it.
    if (out.exit_code != 0 && out.exit_code != kSshFailed && out.target.code == 0 && !mirror_.to &&
        !control_.cancelled()) {
      CallResult more = call_mirror(
          fmt::format("clusterd-mirror explain --service {} --mirror {}", service_.name, mirror_.name));
      if (more.exit_code == 0) out.errors.insert(out.errors.begin(), more.output.begin(), more.output.end());
    }
    return judge(out);
  }

  // A file that vanishes between rsync's list and its own turn leaves the target's version where it is, and
  // the next plain run would delete that without a copy. Therefore a resync ends only when no file has
  // vanished in every one of its passes: then each was either copied, or deleted there with a copy in a
  // backup set.
  Result<void> resync() {
    std::set<std::string> missed;  // by all passes so far
    for (int pass = 1; pass <= kMaxPasses; ++pass) {
      std::string set = new_set_name(::time(nullptr), order_.epoch.value, mirror_.name);
      if (pass > 1)
        set += fmt::format(".{}", pass);  // what is kept in a set is never overwritten by a later pass
      auto out = resync_pass(set);
      if (!out) return tl::unexpected(out.error());
      if (pass == 1) missed = out->vanished;
      std::erase_if(missed, [&](const std::string& line) { return !out->vanished.contains(line); });
      const bool unknown = out->exit_code == kVanished && out->vanished.empty();
      if (missed.empty() && !unknown) return finish_resync(set);
      if (control_.cancelled()) return fail(Code::kRetry, "cancelled");
    }
    return fail(Code::kRetry, "files vanish again and again while they are copied");
  }

  Result<CallResult> resync_pass(const std::string& set) {
    const std::string& self = config_.node(config_.self).name;
    const CallResult opened = call_mirror(remote("losses", set) + " --from " + self);
    if (auto ok = judge(opened); !ok) return tl::unexpected(ok.error());
    if (opened.output.size() < 2 || opened.output[1].empty() || opened.output[1][0] != '/') {
      return fail(Code::kRetry, fmt::format("{} did not say where its backup set is", target_));
    }
    for (size_t i = 2; i < opened.output.size(); ++i) {
      if (auto ok = take_report(opened.output[i]); !ok) return tl::unexpected(ok.error());
    }
    CallResult out = rsync_to_peer(set, opened.output[1]);
    if (auto ok = finished(out); !ok) return tl::unexpected(ok.error());
    return out;
  }

  Result<void> finish_resync(const std::string& set) {
    const CallResult closed = call_mirror(remote("finish", set));
    if (auto ok = judge(closed); !ok) return ok;
    for (const auto& line : closed.errors) {
      if (line.compare(0, 17, "clusterd-mirror: ") == 0)
        report_.detail += (report_.detail.empty() ? "" : "; ") + line.substr(17);
    }
    return take_report(closed.output.empty() ? "" : closed.output[0]);
  }

  // The loss report of one set, as the target prints it.
  Result<void> take_report(const std::string& line) {
    auto report = parse_report_json(line);
    if (!report) return fail(Code::kRetry, fmt::format("the loss report of {} cannot be read", target_));
    report_.backed_up += report->set.files;
    report_.lost += report->set.lost;
    if (!mirror::is_safe_name(report->set.name)) return {};
    report_.backup_set = report->set.name;
    return keep_report_copy(paths_.state_dir, service_.name, mirror_, *report, ::time(nullptr));
  }

  // After a good run: what is still as it was sent is agreed on.
  Result<void> record() {
    auto agreed = ManifestFile::open(manifest_path_);
    if (!agreed) return tl::unexpected(agreed.error());
    auto sent = ManifestFile::open(sending_path_);
    if (!sent) return tl::unexpected(sent.error());
    DurableFile file(manifest_path_);
    if (auto ok = file.open(); !ok) return ok;
    const auto header = header_for(roots_, mirror::ManifestHeader::Role::kSource, order_.epoch.value);
    if (auto ok = file.append(mirror::write_header(header)); !ok) return ok;
    const auto old_stream = entries_of(agreed->get());
    auto old = old_stream();
    uint64_t entries = 0;
    auto visit = [&](const Entry* before, const Entry* now) -> Result<void> {
      const std::string& path = before ? before->path : now->path;
      while (old && *old && mirror::path_before((*old)->path, path)) old = old_stream();
      if (!old) return tl::unexpected(old.error());
      const bool known = *old && (*old)->path == path;
      const auto entry = mirror::agreed_after_run(known ? &**old : nullptr, before, now);
      if (!entry) return {};
      ++entries;
      return file.append(mirror::write_entry(*entry));
    };
    auto done =
        mirror::compare_streams(entries_of(sent->get()), walk_trees(mirror_.paths, mirror_.exclude), visit);
    if (!done) return done;
    if (auto ok = file.append(mirror::write_end(entries)); !ok) return ok;
    return file.commit();
  }

  const Config& config_;
  const MirrorPaths& paths_;
  const MirrorOrder& order_;
  const ServiceConfig& service_;
  const MirrorConfig& mirror_;
  RunControl& control_;
  const std::function<void(const MirrorReport&)>& progress_;
  const std::string target_, manifest_path_, sending_path_;
  mirror::RootsNow roots_;
  MirrorReport report_;
  uint64_t waiting_ = 0;
  bool began_ = false;             // the target may have got something of this run
  std::optional<IpAddress> link_;  // that ssh got through on
};

}  // namespace

MirrorReport run_mirror(const Config& config, const MirrorPaths& paths, const MirrorOrder& order,
                        RunControl& control, const std::function<void(const MirrorReport&)>& progress) {
  return Run(config, paths, order, control, progress).go();
}

}  // namespace clusterd
