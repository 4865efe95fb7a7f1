#include "record/items.hpp"

#include <utility>

#include "base/archive.hpp"
#include "base/check.hpp"

namespace clusterd::record {

namespace {

// Of the tag: five bits of kind, then what follows the event.
constexpr uint8_t kKindBits = 0x1f;
constexpr uint8_t kHasActions = 0x20;
constexpr uint8_t kHasTold = 0x40;
constexpr uint8_t kHalf = 0x80;  // the event is there, its outcome is not
constexpr uint8_t kGap = 29;
constexpr uint8_t kSnapshot = 30;
static_assert(std::variant_size_v<Event> < kGap, "the kinds of events fit before the other items");

enum class Form : uint8_t { kSame, kNext, kWhole };  // of a heartbeat, seen from the one before

// No node's clock shows more than some decades; sums and differences of such times fit.
constexpr int64_t kFarthest = int64_t{1} << 61U;

int64_t difference(uint64_t a, uint64_t b) { return static_cast<int64_t>(a - b); }

// What the next heartbeat would be if nothing had changed but the numbers.
Heartbeat guess(const Context& context, Instant now) {
  Heartbeat out = context.last;
  ++out.sequence;
  ++out.ack.sequence;
  // As unsigned numbers: a heartbeat may claim any civil time.
  out.wall =
      WallTime(Duration(static_cast<int64_t>(static_cast<uint64_t>(out.wall.time_since_epoch().count()) +
                                             static_cast<uint64_t>((now - context.heard).count()))));
  return out;
}

void remember(Context& context, const Heartbeat& heartbeat, Instant now) {
  context.any = true;
  context.heard = now;
  context.lineages[heartbeat.lineage_of] = heartbeat.lineage;
  context.last = heartbeat;
}

}  // namespace

// ---- writing ----

void ItemWriter::begin(Instant now) {
  bytes_.clear();
  context_ = {};
  context_.now = now;
  items_ = 0;
  steps_ = 0;
  ByteWriter(bytes_).signed_number(now.time_since_epoch().count());
}

std::vector<uint8_t> ItemWriter::take() {
  items_ = 0;
  return std::exchange(bytes_, {});
}

void ItemWriter::tag(uint8_t kind, Instant now) {
  CLUSTERD_CHECK(now >= context_.now, "time goes forwards");
  tag_at_ = bytes_.size();
  ByteWriter w(bytes_);
  w.u8(kind);
  w.number(static_cast<uint64_t>((now - context_.now).count()));
  context_.now = now;
  ++items_;
}

void ItemWriter::event(Instant now, const Event& event) {
  tag(static_cast<uint8_t>(event.index() | kHalf), now);
  ByteWriter w(bytes_);
  if (const auto* received = std::get_if<HeartbeatReceived>(&event)) {
    heartbeat(w, *received, now);
  } else {
    Saver saver(w, now);
    std::visit([&saver](const auto& e) { saver(e); }, event);
  }
  ++steps_;
}

void ItemWriter::heartbeat(ByteWriter& w, const HeartbeatReceived& event, Instant now) {
  Saver saver(w, now);
  saver(event.link, event.relay);
  const Heartbeat& told = event.heartbeat;
  if (context_.any && told == context_.last) {
    saver(Form::kSame);
    return;
  }
  if (context_.any) {
    Heartbeat expected = guess(context_, now);
    const Heartbeat numbers = expected;
    expected.sequence = told.sequence;
    expected.ack.sequence = told.ack.sequence;
    expected.wall = told.wall;
    expected.lineage_of = told.lineage_of;
    expected.lineage = context_.lineages[told.lineage_of];
    if (expected == told) {
      saver(Form::kNext);
      w.signed_number(difference(told.sequence, numbers.sequence));
      w.signed_number(difference(told.ack.sequence, numbers.ack.sequence));
      saver(Duration(difference(static_cast<uint64_t>(told.wall.time_since_epoch().count()),
                                static_cast<uint64_t>(numbers.wall.time_since_epoch().count()))),
            told.lineage_of);
      remember(context_, told, now);
      return;
    }
  }
  saver(Form::kWhole, told);
  context_.lineages.clear();
  remember(context_, told, now);
}

void ItemWriter::outcome(const Outcome& outcome) {
  uint8_t tag = static_cast<uint8_t>(bytes_.at(tag_at_) & kKindBits);
  ByteWriter w(bytes_);
  if (outcome.kinds != 0) {
    tag |= kHasActions;
    w.number(outcome.kinds);
    w.fixed32(outcome.digest);
  }
  if (!outcome.told.empty()) {
    tag |= kHasTold;
    Saver(w, context_.now)(outcome.told);
  }
  bytes_.at(tag_at_) = tag;
}

void ItemWriter::gap(const Gap& gap) {
  tag(kGap, gap.now);
  ByteWriter(bytes_).number(gap.steps);
}

void ItemWriter::snapshot(const Snapshot& snapshot) {
  tag(kSnapshot, snapshot.now);
  ByteWriter w(bytes_);
  w.number(snapshot.node.size());
  w.bytes(snapshot.node);
}

// ---- reading ----

ItemReader::ItemReader(std::span<const uint8_t> block) : in_(block) {
  const int64_t begin = in_.signed_number();
  in_.fail_if(begin < -kFarthest || begin > kFarthest);
  if (!in_.bad()) context_.now = Instant(Duration(begin));
}

Result<std::optional<Item>> ItemReader::next() {
  if (!in_.bad() && in_.empty()) return std::optional<Item>();
  const uint8_t tag = in_.u8();
  const uint64_t passed = in_.limited(in_.number(), uint64_t{1} << 61U);
  const Instant now = context_.now + Duration(static_cast<int64_t>(passed));
  in_.fail_if(now.time_since_epoch().count() > kFarthest);
  context_.now = now;
  std::optional<Item> item;
  if (tag == kGap) {
    item = Gap{now, in_.number()};
  } else if (tag == kSnapshot) {
    const auto node = in_.bytes(in_.count(kMaxBlock));
    item = Snapshot{now, {node.begin(), node.end()}};
  } else {
    item = step(tag, now);
  }
  if (in_.bad()) return fail(Code::kCorrupt, "an item makes no sense");
  return item;
}

Item ItemReader::step(uint8_t tag, Instant now) {
  Step step;
  step.now = now;
  Loader loader(in_, now);
  const uint8_t kind = tag & kKindBits;
  in_.fail_if(kind >= std::variant_size_v<Event>);
  if (!in_.bad()) {
    [&]<size_t... I>(std::index_sequence<I...> /*unused*/) {
      ((I == kind ? static_cast<void>(step.event.emplace<I>()) : void()), ...);
    }
    (std::make_index_sequence<std::variant_size_v<Event>>());
  }
  if (auto* received = std::get_if<HeartbeatReceived>(&step.event)) {
    heartbeat(*received, now);
  } else {
    std::visit([&loader](auto& event) { loader(event); }, step.event);
  }
  if ((tag & kHalf) != 0) {
    in_.fail_if((tag & (kHasActions | kHasTold)) != 0);
    return step;
  }
  Outcome outcome;
  if ((tag & kHasActions) != 0) {
    outcome.kinds = static_cast<uint32_t>(in_.limited(in_.number(), UINT32_MAX));
    in_.fail_if(outcome.kinds == 0);
    outcome.digest = in_.fixed32();
  }
  if ((tag & kHasTold) != 0) {
    loader(outcome.told);
    in_.fail_if(outcome.told.empty() || outcome.told.size() > kMaxTold);
  }
  step.outcome = std::move(outcome);
  return step;
}

void ItemReader::heartbeat(HeartbeatReceived& event, Instant now) {
  Loader loader(in_, now);
  Form form = Form::kSame;
  loader(event.link, event.relay, form);
  in_.fail_if(form != Form::kWhole && !context_.any);
  if (in_.bad()) return;
  Heartbeat& told = event.heartbeat;
  switch (form) {
    case Form::kSame:
      told = context_.last;
      return;
    case Form::kNext: {
      told = guess(context_, now);
      told.sequence += static_cast<uint64_t>(in_.signed_number());
      told.ack.sequence += static_cast<uint64_t>(in_.signed_number());
      Duration off{};
      loader(off, told.lineage_of);
      const auto wall =
          static_cast<uint64_t>(told.wall.time_since_epoch().count()) + static_cast<uint64_t>(off.count());
      told.wall = WallTime(Duration(static_cast<int64_t>(wall)));
      told.lineage = context_.lineages[told.lineage_of];
      break;
    }
    case Form::kWhole:
      loader(told);
      // As its own codec bounds it (core/heartbeat.cpp); what comes after it relies on that.
      in_.fail_if(told.hosts.size() > kMaxHosts || told.services.size() > kMaxServices ||
                  told.lineage.size() > kMaxLineage);
      context_.lineages.clear();
      break;
  }
  if (!in_.bad()) remember(context_, told, now);
}

}  // namespace clusterd::record
