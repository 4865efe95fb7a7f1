#include "linux/gate/bpf_gate.hpp"

#include <fmt/format.h>
#include <net/if.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <set>
#include <vector>

#include "base/check.hpp"
#include "linux/address/device_name.hpp"
#include "linux/gate/gate_program.hpp"

namespace clusterd {

namespace {

// The slot's name must fit 63 bytes and stay unique.
std::string slot_name(const std::string& service) {
  constexpr size_t kLongest = 63;
  if (service.size() <= kLongest) return service;
  return fmt::format("{}#{:08x}{:08x}", service.substr(0, 40), stable_hash(service),
                     stable_hash(service.substr(40)));
}

// Gives each service of the configuration its slot: the one that bears its name, or a free one, shut.
Result<std::vector<uint32_t>> settle_slots(const Config& config, GateProgram& program) {
  std::vector<std::string> owners;
  for (uint32_t slot = 0; slot < GateProgram::kSlots; ++slot) owners.push_back(program.name(slot));
  std::set<std::string> wanted;
  for (const ServiceConfig& service : config.services) wanted.insert(slot_name(service.name));
  for (uint32_t slot = 0; slot < GateProgram::kSlots; ++slot) {
    std::string& owner = owners.at(slot);
    if (owner.empty() || wanted.contains(owner)) continue;
    program.set_deadline(slot, 0);
    for (const auto& entry : program.addresses())
      if (entry.slot == slot) program.erase_address(entry.address);
    if (auto done = program.set_name(slot, ""); !done) return tl::unexpected(done.error());
    owner.clear();
  }
  std::vector<uint32_t> slots;
  for (const ServiceConfig& service : config.services) {
    const std::string name = slot_name(service.name);
    auto found = std::ranges::find(owners, name);
    if (found == owners.end()) {
      found = std::ranges::find(owners, std::string());
      if (found == owners.end()) return fail(Code::kConfig, "more services than the gate has slots");
      const auto slot = static_cast<uint32_t>(found - owners.begin());
      program.set_deadline(slot, 0);
      if (auto done = program.set_name(slot, name); !done) return tl::unexpected(done.error());
      *found = name;
    }
    slots.push_back(static_cast<uint32_t>(found - owners.begin()));
  }
  return slots;
}

// New addresses are noted before old ones are forgotten, so none is without a gate in between.
Result<void> settle_addresses(const Config& config, GateProgram& program,
                              const std::vector<uint32_t>& slots) {
  std::set<IpAddress> wanted;
  for (size_t i = 0; i < config.services.size(); ++i) {
    for (const Prefix& prefix : config.services.at(i).addresses) {
      wanted.insert(prefix.address);
      if (auto done = program.put_address(prefix.address, slots.at(i)); !done) return done;
    }
  }
  for (const auto& entry : program.addresses())
    if (!wanted.contains(entry.address)) program.erase_address(entry.address);
  return {};
}

}  // namespace

class BpfGate::Impl {
 public:
  Impl(const Config& c, std::unique_ptr<GateProgram> p, std::vector<uint32_t> s)
      : config(c), program(std::move(p)), slots(std::move(s)) {}

  // The NICs on which the service must be gated before it may have an address.
  [[nodiscard]] std::vector<std::string> required_nics(const ServiceConfig& service) const {
    std::vector<std::string> nics = {config.link(service.link).ends.at(config.self.at()).nic};
    const auto& redundant = config.node(config.self).redundant_nic;
    if (service.mac == MacMode::kRedundant && redundant) nics.push_back(*redundant);
    return nics;
  }
  [[nodiscard]] std::set<std::string> other_nics() const {
    std::set<std::string> nics;
    for (const LinkConfig& link : config.links) nics.insert(link.ends.at(config.self.at()).nic);
    if (const auto& redundant = config.node(config.self).redundant_nic) nics.insert(*redundant);
    return nics;
  }
  Result<void> attach_once(const std::string& nic) {
    if (program->attached(nic)) return {};
    return program->attach(nic);
  }

  const Config config;
  std::unique_ptr<GateProgram> program;
  std::vector<uint32_t> slots;  // by ServiceId
};

BpfGate::BpfGate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
BpfGate::~BpfGate() = default;

Result<std::unique_ptr<BpfGate>> BpfGate::open(const Config& config, const std::string& pin_dir) {
  if (auto ready = prepare_pin_dir(pin_dir); !ready) return tl::unexpected(ready.error());
  auto program = GateProgram::load(pin_dir);
  if (!program) return tl::unexpected(program.error());
  auto slots = settle_slots(config, **program);
  if (!slots) return tl::unexpected(slots.error());
  if (auto done = settle_addresses(config, **program, *slots); !done) return tl::unexpected(done.error());
  auto impl = std::make_unique<Impl>(config, std::move(*program), std::move(*slots));
  return std::unique_ptr<BpfGate>(new BpfGate(std::move(impl)));
}

Result<void> BpfGate::attach(ServiceId id) {
  const ServiceConfig& service = impl_->config.service(id);
  for (const std::string& nic : impl_->required_nics(service))
    if (auto done = impl_->attach_once(nic); !done) return done;
  const std::string device = service_device_name(service.name);
  if (::if_nametoindex(device.c_str()) != 0)
    if (auto done = impl_->attach_once(device); !done) return done;
  // The others must not keep the service from running: one of them may be missing for good.
  for (const std::string& nic : impl_->other_nics()) (void)impl_->attach_once(nic);
  return {};
}

void BpfGate::set(ServiceId service, Instant deadline) {
  const int64_t ns = deadline.time_since_epoch().count();
  impl_->program->set_deadline(impl_->slots.at(service.at()),
                               static_cast<uint64_t>(std::max<int64_t>(ns, 0)));
}

void BpfGate::shut(ServiceId service) { impl_->program->set_deadline(impl_->slots.at(service.at()), 0); }

Instant BpfGate::deadline(ServiceId service) const {
  const uint64_t ns = impl_->program->deadline(impl_->slots.at(service.at()));
  return ns > static_cast<uint64_t>(INT64_MAX) ? kNever : Instant{Duration{static_cast<int64_t>(ns)}};
}

BpfGate::Counts BpfGate::counts(ServiceId service) const {
  const auto counts = impl_->program->counts(impl_->slots.at(service.at()));
  return {counts.passed, counts.dropped};
}

Result<void> BpfGate::remove_all(const std::string& pin_dir) {
  struct if_nameindex* nics = ::if_nameindex();
  if (nics == nullptr) return fail(Code::kRetry, "the NICs cannot be listed");
  for (const struct if_nameindex* nic = nics; nic->if_index != 0; ++nic) GateProgram::detach(nic->if_name);
  ::if_freenameindex(nics);
  for (const char* map : {"addresses", "deadlines", "names", "counters"})
    ::unlink((pin_dir + "/" + map).c_str());
  ::rmdir(pin_dir.c_str());
  return {};
}

}  // namespace clusterd
