// Flight recorder files: whole ones, and blocks of items behind a checksum that is made here.
//
// The first byte chooses. What is read is written again, and read once more: the bytes must be the same then.
// A snapshot is offered to the core, which must take it over or refuse it, and answer when it is asked.
#include "core/node.hpp"
#include "record/file.hpp"
#include "sample_config.hpp"
#include "targets.hpp"

namespace clusterd::fuzz {

namespace {

using namespace clusterd::record;

void write(ItemWriter& out, const Item& item) {
  if (const auto* step = std::get_if<Step>(&item)) {
    out.event(step->now, step->event);
    if (step->outcome) out.outcome(*step->outcome);
  } else if (const auto* gap = std::get_if<Gap>(&item)) {
    out.gap(*gap);
  } else {
    out.snapshot(std::get<Snapshot>(item));
  }
}

Instant time_of(const Item& item) {
  return std::visit([](const auto& of_kind) { return of_kind.now; }, item);
}

std::vector<Item> read(std::span<const uint8_t> block) {
  std::vector<Item> out;
  ItemReader reader(block);
  while (true) {
    auto item = reader.next();
    if (!item || !*item) return out;
    require(out.empty() || time_of(out.back()) <= time_of(**item), "time goes forwards");
    out.push_back(std::move(**item));
  }
}

std::vector<uint8_t> written(const std::vector<Item>& items) {
  ItemWriter out;
  out.begin(items.empty() ? Instant{} : time_of(items.front()));
  for (const Item& item : items) write(out, item);
  return out.take();
}

void judge(const std::vector<Item>& items) {
  const auto bytes = written(items);
  const auto again = read(bytes);
  require(again.size() == items.size(), "all that was read is written, and read again");
  require(written(again) == bytes, "… and is the same");
  static const Config config = sample_config();
  for (const Item& item : items) {
    if (const auto* step = std::get_if<Step>(&item)) {
      require(!event_text(step->event).empty(), "an event can be shown");
      require(!step->outcome || step->outcome->told.size() <= kMaxTold, "what was told is bounded");
    }
    const auto* snapshot = std::get_if<Snapshot>(&item);
    if (snapshot == nullptr) continue;
    const auto node = Node::restored(config, snapshot->node);
    if (node) require(node->next_deadline() >= kLongAgo, "a node that was taken over answers");
  }
}

}  // namespace

void fuzz_recording(Bytes input) {
  Feed feed(input);
  const bool whole_file = feed.coin();
  const Bytes bytes = feed.rest();
  if (whole_file) {
    if (const auto recording = record::decode(bytes, 10'000)) judge(recording->items);
    return;
  }
  const auto items = read(bytes);
  judge(items);
  // The same in a file: its checksums hold, so the items are what the blocks say.
  FileWriter writer;
  Head head;
  head.core = core_hash();
  head.layout = event_layout();
  head.node = "serv1";
  std::vector<uint8_t> file = writer.begin(head);
  const auto block = writer.items(bytes);
  file.insert(file.end(), block.begin(), block.end());
  const auto recording = record::decode(file);
  require(recording.has_value(), "what was just written is a recording");
  require(written(recording->items) == written(items), "a file keeps its items");
}

}  // namespace clusterd::fuzz
