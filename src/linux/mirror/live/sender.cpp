#include "linux/mirror/live/sender.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "linux/mirror/live/contents.hpp"
#include "linux/mirror/live/object.hpp"
#include "mirror/live/digest.hpp"

namespace clusterd::live {

namespace ml = mirror::live;

namespace {

constexpr int kTries = 3;  // to find a file at rest
constexpr std::chrono::milliseconds kLongestWait{30'000};
constexpr size_t kMaxLately = 100'000;
constexpr size_t kMaxFlights = 20'000;  // a tree that is sent for the first time has any number of files
constexpr size_t kMaxResting = 10'000;

}  // namespace

Sender::Sender(const Anchors& anchors, AgreementStore& store, Links& links, Outbox<ml::SourceFrame>& out,
               uint64_t seed, Hooks hooks)
    : anchors_(anchors), store_(store), links_(links), out_(out), seed_(seed), hooks_(std::move(hooks)) {}

Result<void> Sender::put(ml::SourceFrame frame, Flight flight) {
  if (flights_.size() >= kMaxFlights) {
    auto ok = hooks_.wait([this] { return flights_.size() < kMaxFlights / 2; });
    if (!ok) return ok;
  }
  if (flight.kind != Flight::Kind::kRemove && flight.status.type != 'd') {
    if (auto ok = store_.will_hold(flight.kind == Flight::Kind::kRename ? flight.to : flight.path); !ok)
      return ok;
  }
  std::visit(
      [&](auto& f) {
        if constexpr (requires { f.number; }) f.number = ++number_;
      },
      frame);
  flight.number = number_;
  flight.since = since;
  bytes_in_flight_ += flight.bytes;
  tally.bytes += flight.bytes;
  {
    const std::lock_guard lock(paths_mutex_);
    ++paths_[flight.path];
  }
  flights_.push_back(std::move(flight));
  return out_.put(frame);
}

void Sender::sent(const std::string& path, std::string object) {
  const auto now = Clock::now();
  lately_[path] = {now, std::move(object), since};
  lately_order_.emplace_back(now, path);
  if (lately_order_.size() > kMaxLately) forget_sent(lately_order_.front().first);
}

void Sender::forget_sent(Clock::time_point until) {
  while (!lately_order_.empty() && lately_order_.front().first <= until) {
    const auto it = lately_.find(lately_order_.front().second);
    if (it != lately_.end() && it->second.at <= until) lately_.erase(it);
    lately_order_.pop_front();
  }
}

Sender::Lately Sender::sent_lately(std::string_view folder) const {
  Lately out;
  for (auto it = lately_.lower_bound(folder); it != lately_.end() && ml::is_within(it->first, folder); ++it)
    out.push_back({it->first, it->second.object, it->second.since});
  return out;
}

void Sender::unreadable(const std::string& path, const Failure& why) {
  if (is_absent(why.error)) return hooks_.again({path, kAll, std::chrono::milliseconds(5), "", since});
  const unsigned strikes = strikes_[path]++;
  troubles[path] = why.text;
  hooks_.again({path, kAll,
                std::min(kLongestWait, std::chrono::milliseconds(500) * (1U << std::min(strikes, 6U))),
                why.text});
}

Result<Sender::Found> Sender::send(const std::string& path, uint8_t marks) {
  Seen seen(anchors_, path);
  return send(seen, marks);
}

Result<Sender::Found> Sender::send(Seen& seen, uint8_t marks) {
  const std::string& path = seen.path();
  const auto& status = seen.status();
  if (!status) {
    if (is_absent(status.error().error)) return Found::kGone;
    unreadable(path, status.error());
    return Found::kSent;
  }
  if (status->type == 'f' && (marks & ml::kContents) != 0) return contents(seen, path);
  if (status->type != 'd' && (marks & ml::kName) != 0) {
    const std::string other = links_.other(anchors_, *status, path);
    if (!other.empty()) {
      if (auto ok = link(other, path); !ok) return tl::unexpected(ok.error());
    }
  }
  const std::string& object = seen.object();
  if (status->type != 'd' && status->type != 'f') {
    if (const auto whole = whole_by_another_name(path, object); !whole.empty()) return join(whole, path);
  }
  sent(path, object);
  auto traits = seen.traits();
  if (!traits) {
    unreadable(path, traits.error());
    return Found::kSent;
  }
  Flight flight{.path = path, .status = *status};
  if (status->type != 'd') {
    ++tally.files;
    flight.object = object;
  }
  if (status->type == 'f') links_.note(*status, path, true);
  ml::SourceFrame frame = ml::Make{0, path, *status, std::move(*traits)};
  if (status->type == 'f') {
    const auto& make = std::get<ml::Make>(frame);
    // Just named: whether the target's version is this one shows in its time.
    const bool knows = (marks & ml::kName) == 0;
    flight.proof = Flight::Proof::kHints;
    frame = ml::Check{0, path, *status, make.traits, std::nullopt, knows};
  }
  if (auto ok = put(std::move(frame), std::move(flight)); !ok) return tl::unexpected(ok.error());
  // It may have been made anew there, and then has no other names yet.
  if (status->type != 'f' && status->type != 'd') {
    if (auto ok = link_others(path, *status); !ok) return tl::unexpected(ok.error());
    if (status->links > 1) whole_[object] = path;
  }
  return status->type == 'd' ? Found::kDirectory : Found::kSent;
}

Result<Sender::Found> Sender::contents(const std::string& path, const std::string& as) {
  Seen seen(anchors_, path);
  return contents(seen, as);
}

Result<Sender::Found> Sender::contents(Seen& seen, const std::string& as) {
  const std::string& path = seen.path();
  auto file = seen.open_to_read();
  auto status = file ? look(file->get(), "") : tl::unexpected(file.error());
  if (file && status && status->type == 'f') {
    const Reading reading{path, as, object_at(file->get(), ""), std::move(*file)};
    const std::string whole = as == path ? whole_by_another_name(path, reading.object) : "";
    if (!whole.empty()) return join(whole, path);
    sent(as, reading.object);
    return send_file(reading, *status);
  }
  // No file (any more): what it is now is looked at without opening it.
  auto now = look(anchors_, path);
  if (!now && is_absent(now.error().error)) return Found::kGone;
  if (now && now->type != 'f') return as == path ? send(path, ml::kAttributes) : Found::kGone;
  unreadable(as, file ? status.error() : file.error());
  return Found::kSent;
}

void Sender::again(const Reading& reading, std::chrono::milliseconds after, std::optional<Instant> of) {
  hooks_.again({reading.as, kAll, after, "", of, reading.object});
}

Result<Sender::Found> Sender::send_file(const Reading& reading, Status status) {
  const int file = reading.file.get();
  const auto begun = Clock::now();
  ++tally.files;
  const off_t hole = status.size == 0 ? 0 : ::lseek(file, 0, SEEK_HOLE);
  const bool sparse = hole >= 0 && static_cast<uint64_t>(hole) < status.size;
  if (status.size > ml::kMaxContent || sparse) {
    if (sending_large_) {  // one at a time
      again(reading, std::chrono::milliseconds(20), since);
      return Found::kSent;
    }
    sending_large_ = true;
    auto done = send_large(reading, status);
    sending_large_ = false;
    if (!done) return tl::unexpected(done.error());
  } else {
    for (int tries = 1;; ++tries) {
      auto sent = send_small(reading, status, tries == kTries);
      if (!sent) return tl::unexpected(sent.error());
      if (*sent) break;
      auto now = look(file, "");
      if (!now || now->size > ml::kMaxContent) {
        again(reading, std::chrono::milliseconds(5), since);
        return Found::kSent;
      }
      status = *now;
    }
  }
  rest(reading.path, Clock::now() - begun);
  if (auto ok = link_others(reading.as, status); !ok) return tl::unexpected(ok.error());
  if (status.links > 1 && reading.as == reading.path) whole_[reading.object] = reading.path;
  return Found::kSent;
}

// A file that is written all the time takes a fortieth of either end's time at most.
void Sender::rest(const std::string& path, Clock::duration cost) {
  if (cost <= std::chrono::milliseconds(2)) return;
  if (resting_.size() > kMaxResting) resting_.clear();
  resting_[path] = Clock::now() + std::min<Clock::duration>(40 * cost, std::chrono::seconds(20));
}

Result<Sender::Found> Sender::join(const std::string& whole, const std::string& path) {
  auto linked = link(whole, path);
  return linked ? Result<Found>(Found::kSent) : tl::unexpected(linked.error());
}

std::string Sender::whole_by_another_name(const std::string& path, const std::string& object) const {
  const auto it = whole_.find(object);
  if (object.empty() || it == whole_.end() || it->second == path || object_at(anchors_, it->second) != object)
    return "";
  return it->second;
}

// False: it changed while it was read.
Result<bool> Sender::send_small(const Reading& reading, const Status& status, bool last_try) {
  const int file = reading.file.get();
  std::vector<uint8_t> content(static_cast<size_t>(status.size));
  const bool read = read_fully(file, 0, content);
  auto traits = read_traits(file, "", status);
  auto after = look(file, "");
  const bool at_rest = read && after && same_version(status, *after);
  if (!at_rest && (!last_try || !read)) {
    if (!last_try) return false;
    again(reading, std::chrono::milliseconds(20), since);
    return true;
  }
  if (!traits) {
    unreadable(reading.as, traits.error());
    return true;
  }
  if (!at_rest) again(reading, std::chrono::milliseconds(50), std::nullopt);
  Flight flight{.path = reading.as, .status = status, .object = reading.object, .bytes = content.size()};
  if (!at_rest) flight.proof = Flight::Proof::kNone;
  auto ok = put(ml::WholeFile{0, reading.as, status, std::move(*traits), content}, std::move(flight));
  if (!ok) return tl::unexpected(ok.error());
  return true;
}

Result<void> Sender::link_others(const std::string& path, const Status& status) {
  links_.note(status, path, true);
  const auto others = links_.others(anchors_, status, path);
  for (const std::string& other : others.here) {
    if (auto ok = link(path, other); !ok) return ok;
  }
  // What they are called now is heard of in a moment, and takes these marks along.
  for (const std::string& other : others.moved)
    hooks_.again({other, ml::kName | ml::kAttributes, std::chrono::milliseconds(0), "", since});
  return {};
}

Result<void> Sender::check_hash(const std::string& path) {
  const Seen seen(anchors_, path);
  auto file = seen.open_to_read();
  auto status = file ? look(file->get(), "") : tl::unexpected(file.error());
  if (!status || status->type != 'f') return contents(path) ? Result<void>() : fail(Code::kRetry, "broken");
  const std::string object = object_at(file->get(), "");
  sent(path, object);
  const auto hash = hash_contents(file->get(), status->size, seed_);
  auto traits = read_traits(file->get(), "", *status);
  auto after = look(file->get(), "");
  if (!hash || !traits || !after || !same_version(*status, *after)) {
    auto sent = contents(path);
    return sent ? Result<void>() : tl::unexpected(sent.error());
  }
  links_.note(*status, path, true);
  Flight flight{.path = path, .status = *status, .object = object};
  return put(ml::Check{0, path, *status, std::move(*traits), hash, false}, std::move(flight));
}

Result<void> Sender::check_time(const std::string& path) {
  auto sent = send(path, ml::kAttributes | ml::kName);
  return sent ? Result<void>() : tl::unexpected(sent.error());
}

Result<void> Sender::link(const std::string& leader, const std::string& path) {
  auto status = look(anchors_, path);
  if (!status) return {};
  links_.note(*status, path, true);
  const std::string object = object_at(anchors_, path);
  sent(path, object);
  Flight flight{.kind = Flight::Kind::kLink,
                .path = path,
                .to = leader,
                .status = *status,
                .object = object,
                .proof = Flight::Proof::kHints};
  return put(ml::Link{0, leader, path}, std::move(flight));
}

Result<void> Sender::rename(const std::string& from, const std::string& to, const std::string& object) {
  links_.moved(from, to);
  move_sums(from, to);
  for (const SentLately& each : sent_lately(to)) lately_.erase(each.path);
  for (const SentLately& each : sent_lately(from)) {
    auto node = lately_.extract(each.path);
    node.key() = *ml::moved(each.path, from, to);
    lately_order_.emplace_back(node.mapped().at, node.key());
    lately_.insert(std::move(node));
  }
  sent(from, "");
  sent(to, object);
  return put(ml::Rename{0, from, to}, {.kind = Flight::Kind::kRename, .path = from, .to = to});
}

Result<void> Sender::remove(const std::string& path) {
  store_.leaving(path);
  return put_removal(path);
}

Result<void> Sender::remove(const std::vector<std::string>& paths) {
  if (auto ok = store_.leaving(paths); !ok) return ok;
  for (const std::string& path : paths) {
    if (auto ok = put_removal(path); !ok) return ok;
  }
  return {};
}

Result<void> Sender::put_removal(const std::string& path) {
  ++tally.removed;
  (void)take_sums(path);
  links_.removed(path);
  sent(path, "");
  return put(ml::Remove{0, path}, {.kind = Flight::Kind::kRemove, .path = path});
}

}  // namespace clusterd::live
