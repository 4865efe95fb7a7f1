// A node as bytes, and back: what lets a flight recorder begin anywhere in a daemon's life.
//
// The first number tells the layout of the plain types apart; whoever keeps snapshots also keeps which
// program made them (record/program.hpp). That no field is forgotten is shown by tests/unit/record: nodes
// that are replaced by their snapshots at random instants decide the same as those that are not.
#include "base/archive.hpp"
#include "core/node_impl.hpp"

namespace clusterd {

namespace {
constexpr uint64_t kLayout = shape_of<PersistedState>() ^ shape_of<Event>() ^ shape_of<Actions>();
}

Node::Node(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

std::vector<uint8_t> Node::snapshot() const {
  std::vector<uint8_t> out;
  ByteWriter writer(out);
  writer.fixed64(kLayout);
  writer.signed_number(impl_->now().time_since_epoch().count());
  Saver saver(writer, impl_->now());
  saver(impl_->state());
  impl_->fields(saver);
  return out;
}

std::optional<Node> Node::restored(const Config& config, std::span<const uint8_t> snapshot) {
  ByteReader reader(snapshot);
  if (reader.fixed64() != kLayout) return std::nullopt;
  const Instant now{Duration(reader.signed_number())};
  Loader loader(reader, now);
  PersistedState state;
  loader(state);
  if (reader.bad() || state.services.size() != config.services.size() ||
      state.hosts.size() != config.hosts.size()) {
    return std::nullopt;
  }
  auto impl = std::make_unique<Impl>(config, state);
  impl->fields(loader);
  if (!reader.complete()) return std::nullopt;
  return Node(std::move(impl));
}

}  // namespace clusterd
