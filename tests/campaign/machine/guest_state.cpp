// The state store under power cuts: every field of the state follows from one number, the version, so that a
// state that was read back is either exactly one that was written, or wrong.
#include <fmt/format.h>

#include <functional>

#include "guest.hpp"
#include "linux/state/file_state_store.hpp"

namespace clusterd::machine {
namespace {

constexpr size_t kServices = 3;

Config make_config() {
  Config config;
  config.self = NodeId(0);
  for (size_t i = 0; i < kServices; ++i) config.services.emplace_back().name = fmt::format("service{}", i);
  config.hosts.emplace_back().text = "192.0.2.1";
  return config;
}

// The length changes with every version, over several sectors and blocks.
PersistedState state_of(uint64_t version) {
  PersistedState state;
  for (uint64_t i = 0; i < kServices; ++i) {
    PersistedService service;
    service.epoch.value = version * 2 + i;
    service.data_epoch.value = version;
    service.claimed.value = version % 3 == i ? version : 0;
    service.active = (version + i) % 2 == 0;
    for (uint64_t k = 0; k < version % kMaxLineage; ++k) service.lineage.push_back({version - k});
    for (uint64_t k = 0; k < version % 5; ++k)
      service.halted_mirrors.emplace_back(version % 700, static_cast<char>('a' + k));
    state.services.push_back(std::move(service));
  }
  state.hosts.push_back({version % 2 == 0, true});
  state.locked = version % 7 == 0;
  state.lock_reason = std::string(version % 3000, static_cast<char>('a' + version % 26));
  state.notice_sequence = version;
  return state;
}

void tell_loaded(const Result<FileStateStore::Loaded>& loaded, uint64_t& version) {
  if (!loaded) return tell("damaged " + loaded.error().message);
  version = loaded->state.notice_sequence;
  if (version == 0 && loaded->warning.find("there is no state file") == std::string::npos)
    return tell("damaged " + loaded->warning);
  if (version != 0 && loaded->state != state_of(version))
    return tell(fmt::format("wrong it says version {}, and is not that", version));
  tell(fmt::format("loaded {} {}", version, loaded->host_rebooted ? 1 : 0));
}

}  // namespace

void run_state() {
  const Config config = make_config();
  const uint64_t depth = number("DEPTH");  // calls that overlap
  EventLoop loop;
  uint64_t last = 0, durable = 0;
  std::function<void()> more;
  FileStateStore store(loop, config, "/disk/clusterd", [&](const Event& event) {
    const auto& persisted = std::get<Persisted>(event);
    if (!persisted.ok) give_up("a write has failed: " + persisted.detail);
    durable = persisted.version;
    tell(fmt::format("durable {}", durable));
    more();
  });
  tell_loaded(store.load(), last);
  durable = last;
  more = [&] {
    while (last - durable < depth) {
      ++last;
      store.persist(last, state_of(last));
    }
  };
  more();
  loop.run();
  give_up("the loop has ended");
}

}  // namespace clusterd::machine
