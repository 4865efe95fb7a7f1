#include "sim/files.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "mirror/command.hpp"

namespace clusterd::sim {

using mirror::Entry;
using mirror::ManifestHeader;

namespace {

Entry entry_of(uint32_t file, uint64_t write) {
  Entry out;
  out.path = fmt::format("/srv/file{:03}", file);
  out.size = out.inode = write;
  out.mtime_ns = out.ctime_ns = static_cast<int64_t>(write);
  return out;
}

uint32_t file_of(const mirror::Candidate& candidate) {
  return static_cast<uint32_t>(std::stoul(candidate.path().substr(std::string("/srv/file").size())));
}

}  // namespace

Files::Files(const Config& config, Accuse accuse)
    : config_(config), accuse_(std::move(accuse)), services_(config.services.size()) {}

// ---- clients and disasters ----

bool Files::is_last(const Side& here, uint32_t file, size_t mirrors) {
  return std::none_of(here.tree.begin(), here.tree.end(), [&](const auto& other) {
    return other.first != file && other.first % mirrors == file % mirrors && other.second.exists;
  });
}

bool Files::write(ServiceId service, NodeId node, uint32_t file, bool remove) {
  Side& here = side(service, node);
  if (here.fault != RootFault::kNone && here.fault != RootFault::kRefilled) return false;
  // Who deletes the last file halts the mirror until somebody confirms it: a matter for the disasters.
  if (remove && is_last(here, file, config_.service(service).mirrors.size())) remove = false;
  Version& version = here.tree[file];
  writes_.at(version.write).seen = true;
  version = {writes_.size(), !remove};
  writes_.push_back({file, !remove, false});
  return true;
}

void Files::set_root(ServiceId service, NodeId node, RootFault fault) {
  side(service, node).fault = fault;
  side(service, node).refilled_from = writes_.size();
  side(service, node).halts_forgotten = false;
  if (fault != RootFault::kRefilled) side(service, node).let_go.clear();
}

void Files::confirmed(const MirrorOrder& order, NodeId source) {
  side(order.service, source).let_go.insert(order.mirror.at());
}

void Files::forget_manifests(NodeId node) {
  for (size_t s = 0; s < services_.size(); ++s) side(ServiceId(s), node).manifests.clear();
}

void Files::forget_halts(NodeId node) {
  for (size_t s = 0; s < services_.size(); ++s) {
    Side& here = side(ServiceId(s), node);
    here.halts_forgotten = here.fault == RootFault::kRefilled;
  }
}

// ---- a run ----

bool Files::belongs(uint32_t file, const Transfer& run) const {
  const size_t mirrors = config_.service(run.order.service).mirrors.size();
  return file % mirrors == run.order.mirror.at();
}

mirror::RootsNow Files::look(ServiceId service, NodeId node, MirrorId mirror) const {
  const Side& here = side(service, node);
  mirror::RootNow root;
  root.path = "/srv";
  root.wants_directory = true;
  root.exists = true;
  root.record.path = root.path;
  root.record.type = 'd';
  const bool mounted = here.fault != RootFault::kNotMounted;
  root.record.mount_point = mounted ? "/srv" : "/";
  root.record.filesystem = "ext4";
  root.record.device = mounted ? 2 : 1;
  const size_t mirrors = config_.service(service).mirrors.size();
  for (const auto& [file, version] : here.tree) {
    if (version.exists && file % mirrors == mirror.at() && !hidden(here, version)) ++root.record.files;
  }
  mirror::RootsNow out;
  out.roots.push_back(root);
  out.boot = fmt::format("{}.{}", node.at(), boots_.at(node.at()));
  return out;
}

ManifestHeader Files::header(ServiceId service, NodeId node, const Transfer& run,
                             ManifestHeader::Role role) const {
  const auto now = look(service, node, run.order.mirror);
  ManifestHeader out;
  out.role = role;
  out.epoch = run.order.epoch.value;
  out.boot = now.boot;
  out.roots.push_back(now.roots.front().record);
  return out;
}

std::optional<std::string> Files::source_halt(const Transfer& run) const {
  if (run.order.confirmed) return std::nullopt;
  const Side& source = side(run.order.service, run.source);
  const auto known = source.manifests.find(run.order.mirror.at());
  return mirror::halt_reason(look(run.order.service, run.source, run.order.mirror),
                             known == source.manifests.end() ? nullptr : &known->second.header);
}

std::optional<std::string> Files::open(Transfer& run) {
  const Side& source = side(run.order.service, run.source);
  Side& target = side(run.order.service, run.target);
  const auto known = target.manifests.find(run.order.mirror.at());
  const bool have = known != target.manifests.end();
  if (target.fault == RootFault::kEmptied || target.fault == RootFault::kRefilled)
    target.fault = RootFault::kNone;  // an administrator restored it first
  run.resync = run.order.kind == MirrorReport::Kind::kResync ||
               (have && known->second.header.role == ManifestHeader::Role::kSource);
  if (!have && target.fault == RootFault::kNotMounted)
    return "its root is not there";  // an administrator would see it
  // The target's own roots: an empty or missing one is filled, one that is not mounted is not (S10).
  if (have && !run.order.confirmed) {
    ManifestHeader header = known->second.header;
    for (auto& root : header.roots) root.files = 0;
    if (auto why = mirror::halt_reason(look(run.order.service, run.target, run.order.mirror), &header))
      return why;
  }
  Service& service = services_.at(run.order.service.at());
  service.diverged = service.diverged || !std::includes(source.history.begin(), source.history.end(),
                                                        target.history.begin(), target.history.end());
  if (run.resync) {
    mirror::RsyncPlan plan;
    plan.roots = {"/srv/"};
    plan.backup_dir = "/backups";
    const auto command = mirror::rsync_command(
        config_.service(run.order.service).mirrors.at(run.order.mirror.at()), config_.ssh, plan);
    run.backs_up = std::find(command.begin(), command.end(), "--backup-dir=/backups") != command.end();
    find_candidates(run);
  }
  doubt_what_is_gone(run);
  const auto all = files_of(run);
  run.todo.assign(all.begin(), all.end());
  run.listed = look(run.order.service, run.source, run.order.mirror).roots.front().record.files;
  return std::nullopt;
}

// The list of what is about to be sent lies beside the source's manifest, whatever becomes of the run.
void Files::doubt_what_is_gone(const Transfer& run) {
  Side& source = side(run.order.service, run.source);
  const auto known = source.manifests.find(run.order.mirror.at());
  if (known == source.manifests.end()) return;
  for (const auto& [file, write] : known->second.files) {
    const auto at = source.tree.find(file);
    const bool sent = at != source.tree.end() && at->second.exists && !hidden(source, at->second);
    const Entry agreed = entry_of(file, write);
    if (mirror::is_unproven(mirror::agreed_after_broken_run(&agreed, sent ? &agreed : nullptr, nullptr)))
      known->second.in_doubt.insert(file);
  }
}

void Files::broke_off(const Transfer& run) {
  auto& manifests = side(run.order.service, run.source).manifests;
  const auto known = manifests.find(run.order.mirror.at());
  if (known == manifests.end() || known->second.header.roots.empty()) return;
  uint64_t& files = known->second.header.roots.front().files;
  files = std::max(files, run.listed);
}

std::set<uint32_t> Files::files_of(const Transfer& run) const {
  std::set<uint32_t> out;
  for (const NodeId node : {run.source, run.target}) {
    for (const auto& [file, version] : side(run.order.service, node).tree) {
      if (belongs(file, run)) out.insert(file);
    }
  }
  return out;
}

void Files::find_candidates(Transfer& run) {
  Side& target = side(run.order.service, run.target);
  const Manifest& known = target.manifests[run.order.mirror.at()];
  const auto& mirrored = known.files;
  std::set<uint32_t> all;
  for (const auto& [file, write] : mirrored) all.insert(file);
  for (const auto& [file, version] : target.tree) all.insert(file);
  for (const uint32_t file : all) {
    if (!belongs(file, run)) continue;
    const auto was = mirrored.find(file);
    const auto is = target.tree.find(file);
    const bool here = is != target.tree.end() && is->second.exists;
    if (was == mirrored.end() && !here) continue;
    Entry before = was == mirrored.end() ? Entry{} : entry_of(file, was->second);
    if (known.in_doubt.contains(file)) before = mirror::unproven(before);
    const Entry now = here ? entry_of(file, is->second.write) : Entry{};
    auto found = mirror::candidate(was == mirrored.end() ? nullptr : &before, here ? &now : nullptr);
    if (found) run.candidates.push_back(std::move(*found));
  }
}

Version Files::held(const Side& here, uint32_t file) {
  const auto at = here.tree.find(file);
  return at == here.tree.end() ? Version{0, false} : at->second;
}

bool Files::carry(Transfer& run, size_t count) {
  for (; count > 0 && !run.todo.empty(); --count) {
    replace(run, run.todo.back());
    run.todo.pop_back();
  }
  return run.todo.empty();
}

size_t Files::follow(Transfer& run, size_t count) {
  Side& source = side(run.order.service, run.source);
  Side& target = side(run.order.service, run.target);
  run.resync = false;
  size_t carried = 0;
  for (const uint32_t file : files_of(run)) {
    const auto here = source.tree.find(file);
    // What the root's fault hides was gone before the stream began: nothing has happened to it since.
    if (here == source.tree.end() || hidden(source, here->second)) continue;
    if (held(target, file) == here->second || carried == count) continue;
    replace(run, file);
    ++carried;
    if (held(target, file) != here->second) continue;
    for (Side* one : {&source, &target}) {
      one->manifests[run.order.mirror.at()].in_doubt.erase(file);
      auto& agreed = one->manifests[run.order.mirror.at()].files;
      if (here->second.exists) {
        agreed[file] = here->second.write;
      } else {
        agreed.erase(file);
      }
    }
  }
  if (carried == 0) return 0;
  // How many files the roots hold: what is emptied later has to be missed (S10).
  source.manifests[run.order.mirror.at()].header =
      header(run.order.service, run.source, run, ManifestHeader::Role::kSource);
  target.manifests[run.order.mirror.at()].header =
      header(run.order.service, run.target, run, ManifestHeader::Role::kTarget);
  return carried;
}

void Files::replace(Transfer& run, uint32_t file) {
  const Side& source = side(run.order.service, run.source);
  Side& target = side(run.order.service, run.target);
  Version there;
  there.exists = false;
  const auto original = source.tree.find(file);
  const bool gone =
      source.fault != RootFault::kNone && (original == source.tree.end() || hidden(source, original->second));
  if (original != source.tree.end() && !gone) there = original->second;
  const bool confirmed = run.order.confirmed || (source.fault == RootFault::kRefilled &&
                                                 source.let_go.contains(run.order.mirror.at()));
  const Version here = held(target, file);
  if (there == here) return;
  if (target.fault != RootFault::kNone) return;  // it is written into the empty mount point
  if (!there.exists && !here.exists) {           // deleted on both sides
    writes_.at(here.write).seen = true;
    target.tree[file] = there;
    return;
  }
  if (!there.exists && here.exists) {
    if (!config_.service(run.order.service).mirrors.at(run.order.mirror.at()).remove) return;
    ++run.report.removed;
    // Without a manifest it is the first run, which cannot know that there was more.
    const auto known = source.manifests.find(run.order.mirror.at());
    if (gone && !confirmed && !source.halts_forgotten && known != source.manifests.end() &&
        !known->second.files.empty())
      accuse_(fmt::format("S10: file {} is deleted because the source is empty", file));
  }
  // The deletion of a file that the peer never had takes nothing away when the file comes back.
  const bool mattered = here.exists || target.manifests[run.order.mirror.at()].files.contains(file);
  Write& old = writes_.at(here.write);
  if (!mattered) old.seen = true;
  if (here.write != 0 && !old.seen) {
    // A file that both nodes had, and whose absence at the source an administrator has confirmed, is no loss.
    const auto& mirrored = target.manifests[run.order.mirror.at()].files;
    const auto agreed = mirrored.find(file);
    const bool let_go = gone && confirmed && agreed != mirrored.end() && agreed->second == here.write;
    if (!let_go) run.overwritten.insert(here.write);
    if (run.resync && run.backs_up && here.exists) {
      run.kept.insert(here.write);
      target.backups.insert(here.write);
    } else if (here.exists && !(gone && confirmed)) {
      accuse_(fmt::format("S9: write {} of file {} is overwritten without a backup set", here.write, file));
    }
  }
  ++run.report.files;
  target.tree[file] = there;
}

void Files::finish(Transfer& run) {
  if (run.resync) report_losses(run);
  record(run);
}

void Files::report_losses(Transfer& run) {
  Side& target = side(run.order.service, run.target);
  for (const auto& candidate : run.candidates) {
    const uint32_t file = file_of(candidate);
    const auto at = target.tree.find(file);
    const bool exists = at != target.tree.end() && at->second.exists;
    const Entry after = exists ? entry_of(file, at->second.write) : Entry{};
    const uint64_t was = candidate.here ? candidate.here->inode : 0;
    if (!mirror::is_lost(candidate, exists ? &after : nullptr, run.kept.contains(was))) continue;
    ++run.report.lost;
    // A deletion is named by its file: every deletion of it that this run has undone.
    for (const uint64_t write : run.overwritten) {
      if (writes_.at(write).file == file) target.named.insert(write);
    }
  }
  run.report.backed_up = run.kept.size();
  for (const uint64_t write : run.overwritten) {
    if (target.named.contains(write)) continue;
    accuse_(fmt::format("S9: write {} of file {} was overwritten and is not in the loss report", write,
                        writes_.at(write).file));
  }
}

void Files::record(Transfer& run) {
  Side& source = side(run.order.service, run.source);
  Side& target = side(run.order.service, run.target);
  Manifest& sent = source.manifests[run.order.mirror.at()];
  Manifest& received = target.manifests[run.order.mirror.at()];
  source.history.insert(run.order.epoch.value);
  target.history = source.history;
  target.received[run.order.mirror.at()] = run.order.epoch;
  sent = {header(run.order.service, run.source, run, ManifestHeader::Role::kSource), {}, {}};
  received = {header(run.order.service, run.target, run, ManifestHeader::Role::kTarget), {}, {}};
  for (const auto& [file, version] : target.tree) {
    if (!version.exists || !belongs(file, run)) continue;
    received.files[file] = version.write;
    // What was written at the source while the run went on is not agreed upon.
    const auto at = source.tree.find(file);
    if (at != source.tree.end() && at->second == version) sent.files[file] = version.write;
  }
}

// ---- judging ----

bool Files::complete(ServiceId service, NodeId node, Epoch epoch) const {
  const Side& here = side(service, node);
  const auto& mirrors = config_.service(service).mirrors;
  for (size_t i = 0; i < mirrors.size(); ++i) {
    if (mirrors.at(i).to) continue;
    const auto at = here.received.find(i);
    if (at == here.received.end() || at->second < epoch) return false;
  }
  return true;
}

bool Files::equal(ServiceId service) const { return difference(service).empty(); }

std::string Files::difference(ServiceId service) const {
  const auto live = [](const Tree& tree) {
    std::map<uint32_t, uint64_t> out;
    for (const auto& [file, version] : tree) {
      if (version.exists) out[file] = version.write;
    }
    return out;
  };
  const auto a = live(side(service, NodeId(0)).tree);
  const auto b = live(side(service, NodeId(1)).tree);
  if (a == b) return "";
  size_t differing = 0;
  for (const auto& [file, write] : a) differing += b.contains(file) && b.at(file) == write ? 0U : 1U;
  return fmt::format("{} and {} files, {} of the first differ", a.size(), b.size(), differing);
}

void Files::judge_losses(ServiceId service) const {
  std::set<uint64_t> found;
  for (size_t i = 0; i < kNodes; ++i) {
    const Side& here = side(service, NodeId(i));
    for (const auto& [file, version] : here.tree) found.insert(version.write);
    found.insert(here.backups.begin(), here.backups.end());
    found.insert(here.named.begin(), here.named.end());
  }
  // With several services the writes of the others are not looked for here.
  for (size_t id = 1; id < writes_.size(); ++id) {
    // A deletion that a run has undone before it broke off is named by no report; it takes nothing away.
    if (!writes_.at(id).exists || writes_.at(id).seen || found.contains(id) || services_.size() > 1) continue;
    accuse_(fmt::format("S9: write {} of file {} is nowhere any more, and no report names it", id,
                        writes_.at(id).file));
  }
}

}  // namespace clusterd::sim
