// One message of a live mirror's connection: many frames. The first byte says from which end.
#include "mirror/live/frames.hpp"
#include "targets.hpp"

namespace clusterd::fuzz {

namespace {

using namespace mirror::live;

struct Read {
  std::vector<uint8_t> written;  // the frames once more
  size_t frames = 0;
  bool whole = true;
};

void judge(const SourceFrame& frame, size_t bytes) {
  if (const auto* whole = std::get_if<WholeFile>(&frame)) {
    require(whole->content.size() <= kMaxContent && whole->content.size() <= bytes, "contents within bounds");
    require(traits_size(whole->traits) <= kMaxTraits, "traits within bounds");
  }
  if (const auto* data = std::get_if<FileData>(&frame))
    require(data->content.size() <= kMaxContent && data->content.size() <= bytes, "contents within bounds");
  if (const auto* make = std::get_if<Make>(&frame))
    require(!make->path.empty() && make->path.front() == '/', "an absolute path");
  if (const auto* gone = std::get_if<Remove>(&frame))
    require(!gone->path.empty() && gone->path.front() == '/', "an absolute path");
  if (const auto* names = std::get_if<Names>(&frame)) {
    for (const auto* ids : {&names->table.users, &names->table.groups}) {
      require(ids->size() <= kMaxNames && ids->size() <= bytes, "as many names as fit");
      for (const NamedId& id : *ids)
        require(is_id_name(id.name) && id.number != kNobodys, "a name and a number");
    }
  }
  if (const auto* want = std::get_if<WantHash>(&frame))
    require(want->length <= kMaxHashed, "no endless hash");
}

void judge(const TargetFrame& frame, size_t bytes) {
  if (const auto* listing = std::get_if<Listing>(&frame)) {
    require(listing->entries.size() <= kMaxListing && listing->entries.size() <= bytes,
            "as many entries as fit");
    for (const auto& entry : listing->entries)
      require(listing->path.empty() || entry.name.find('/') == std::string::npos, "a name is no path");
  }
  if (const auto* signature = std::get_if<Signature>(&frame))
    require(signature->blocks.size() <= kMaxBlocks, "as many blocks as fit");
}

template <typename Next>
Read read_all(Bytes message, Next next) {
  Read read;
  ByteReader in(message);
  while (true) {
    const auto frame = next(in);
    if (!frame) {
      read.whole = false;
      return read;
    }
    if (!*frame) return read;
    judge(**frame, message.size());
    write_frame(read.written, **frame);
    ++read.frames;
  }
}

// What was read and written again reads the same, as often as one likes.
template <typename Next>
void round_trip(Bytes message, Next next) {
  const Read once = read_all(message, next);
  const Read again = read_all(once.written, next);
  require(again.whole && again.frames == once.frames, "our own words are understood");
  require(again.written == once.written, "frames are read back as they were");
}

}  // namespace

void fuzz_live(Bytes input) {
  Feed feed(input);
  const bool source = feed.coin();
  if (source) return round_trip(feed.rest(), [](ByteReader& in) { return read_source_frame(in); });
  round_trip(feed.rest(), [](ByteReader& in) { return read_target_frame(in); });
}

}  // namespace clusterd::fuzz
