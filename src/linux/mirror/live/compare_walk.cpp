#include "linux/mirror/live/compare_walk.hpp"

#include <algorithm>

namespace clusterd::live {

namespace ml = mirror::live;
using mirror::Entry;

const std::string& LinkLeaders::leader(const Status& status, std::string_view path) {
  static const std::string kNone;
  if (status.type == 'd' || status.links < 2) return kNone;
  const auto [it, fresh] = first_.try_emplace(Key{status.device, status.inode}, path);
  return fresh ? kNone : it->second;
}

std::vector<std::string> distinct_scopes(std::vector<std::string> scopes) {
  std::sort(scopes.begin(), scopes.end(), mirror::path_before);
  std::vector<std::string> out;
  for (std::string& scope : scopes) {
    if (out.empty() || !ml::is_within(scope, out.back())) out.push_back(std::move(scope));
  }
  return out;
}

namespace {

// The entries of the agreement that lie in the scopes.
class Agreed {
 public:
  Agreed(mirror::EntryStream stream, const std::vector<std::string>& scopes)
      : stream_(std::move(stream)), scopes_(scopes) {}

  Result<void> advance() {
    while (true) {
      auto entry = stream_();
      if (!entry) return tl::unexpected(entry.error());
      next_ = std::move(*entry);
      if (!next_ || in_scope(next_->path)) return {};
    }
  }
  [[nodiscard]] const Entry* get() const { return next_ ? &*next_ : nullptr; }

 private:
  bool in_scope(const std::string& path) {
    while (at_ < scopes_.size() && !ml::is_within(path, scopes_[at_]) &&
           mirror::path_before(scopes_[at_], path))
      ++at_;
    return at_ < scopes_.size() && ml::is_within(path, scopes_[at_]);
  }
  mirror::EntryStream stream_;
  const std::vector<std::string>& scopes_;
  size_t at_ = 0;
  std::optional<Entry> next_;
};

class Comparing {
 public:
  Comparing(Agreed agreed, uint64_t seed, const CompareVisitor& visitor, bool doubt_links)
      : agreed_(std::move(agreed)), seed_(seed), visitor_(visitor), doubt_links_(doubt_links) {}

  Result<void> run(TreeWalk& walk) {
    if (auto ok = agreed_.advance(); !ok) return ok;
    levels_.emplace_back(seed_);
    while (true) {
      auto step = walk.next();
      if (!step) return tl::unexpected(step.error());
      if (step->kind == TreeWalk::Step::Kind::kEnd) break;
      auto ok = step->kind == TreeWalk::Step::Kind::kEntry ? entry(*step) : leave(step->path);
      if (!ok) return ok;
    }
    while (agreed_.get()) {
      if (auto ok = vanished(); !ok) return ok;
    }
    return leave("");
  }

 private:
  Result<void> vanished() {
    visitor_.vanished(*agreed_.get());
    return agreed_.advance();
  }

  Result<void> entry(const TreeWalk::Step& step) {
    while (agreed_.get() && mirror::path_before(agreed_.get()->path, step.path)) {
      if (auto ok = vanished(); !ok) return ok;
    }
    const Entry* known = agreed_.get() && agreed_.get()->path == step.path ? agreed_.get() : nullptr;
    const bool changed = !known || !ml::is_unchanged(*known, step.status);
    ml::DirectoryDigest& digest = levels_.back();
    const std::string& leader = leaders_.leader(step.status, step.path);
    if (changed || (doubt_links_ && step.status.type != 'd' && step.status.links > 1)) {
      digest.add_changed();
    } else {
      const std::string_view name =
          step.folder.empty() ? step.path : step.path.substr(step.folder.size() + 1);
      Status told = step.status;
      if (visitor_.as_told) visitor_.as_told(told);
      digest.add(name, told, leader);
    }
    visitor_.entry(step.path, step.folder, step.status, known, changed);
    if (step.status.type == 'd') levels_.emplace_back(seed_);
    return known ? agreed_.advance() : Result<void>();
  }

  Result<void> leave(std::string_view path) {
    const ml::Hash hash = levels_.back().finish();
    levels_.pop_back();
    return visitor_.folder(path, hash);
  }

  Agreed agreed_;
  uint64_t seed_;
  const CompareVisitor& visitor_;
  const bool doubt_links_;
  LinkLeaders leaders_;
  std::vector<ml::DirectoryDigest> levels_;
};

}  // namespace

Result<void> walk_for_compare(const Anchors& anchors, const std::vector<std::string>& scopes,
                              const std::vector<std::string>& exclude, AgreementStore& store, uint64_t seed,
                              const CompareVisitor& visitor, bool doubt_links) {
  // Of the whole tree, the whole manifest: whether something of it is missing shows at its end.
  const bool whole = std::ranges::all_of(scopes, [&](const auto& scope) { return anchors.is_root(scope); });
  auto opened = whole ? store.open() : store.open(scopes);
  if (!opened) return tl::unexpected(opened.error());
  TreeWalk walk(anchors, scopes, exclude);
  return Comparing(Agreed(std::move(opened->entries), scopes), seed, visitor, doubt_links).run(walk);
}

}  // namespace clusterd::live
