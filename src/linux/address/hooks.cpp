#include "linux/address/hooks.hpp"

#include <cstdio>
#include <utility>

namespace clusterd {

Hooks::Hooks(EventLoop& loop, const Config& config) : loop_(loop), config_(config) {}

void Hooks::run(bool up, ServiceId service, const std::string& device) {
  if (config_.hooks.up.empty() && config_.hooks.down.empty()) return;
  Slot& slot = slots_[service];
  if (slot.child) {
    slot.next = Order{up, device};
    return;
  }
  start(service, Order{up, device});
}

void Hooks::start(ServiceId id, const Order& order) {
  const std::string& command = order.up ? config_.hooks.up : config_.hooks.down;
  if (command.empty()) return;
  const ServiceConfig& service = config_.service(id);
  std::string addresses;
  for (const Prefix& prefix : service.addresses) addresses += (addresses.empty() ? "" : " ") + prefix.text();
  const char* action = order.up ? "up" : "down";
  ChildSpec spec = ChildSpec::shell(command);
  spec.environment = {{"CLUSTERD_ACTION", action},
                      {"CLUSTERD_SERVICE", service.name},
                      {"CLUSTERD_NIC", order.device},
                      {"CLUSTERD_ADDRESSES", addresses},
                      {"CLUSTERD_MAC", service.mac == MacMode::kNone ? "" : service.mac_address.text()}};
  spec.timeout = config_.hooks.timeout;
  slots_[id].child = run_child(loop_, std::move(spec), [this, id, action](const ChildResult& result) {
    if (!result.ok()) {
      std::fprintf(stderr, "<4>hooks.%s of %s: %s\n", action, config_.service(id).name.c_str(),
                   result.text().c_str());
    }
    Slot& slot = slots_[id];
    slot.child.reset();
    if (const auto next = std::exchange(slot.next, std::nullopt)) start(id, *next);
  });
}

}  // namespace clusterd
