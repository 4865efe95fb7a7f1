#include "daemon/perform.hpp"

namespace clusterd {

namespace {

void shut_and_stop(const Actions& actions, const Ports& ports) {
  for (const ServiceId service : actions.shut_gates) ports.gate->shut(service);
  for (const ServiceId service : actions.stop_receivers) ports.mirror->stop_receivers(service);
  for (const ServiceId service : actions.lift_guards) ports.mirror->lift_guard(service);
  for (const ServiceId service : actions.cancel_mirrors) ports.mirror->cancel(service);
  for (const ServiceId service : actions.stop_checks) ports.checks->stop(service);
  for (const StopUnit& order : actions.stop_units) ports.units->stop(order);
  for (const ServiceId service : actions.remove_addresses) ports.addresses->remove(service);
}

void send(const Actions& actions, const Ports& ports) {
  for (const SendHeartbeat& order : actions.heartbeats) ports.transport->send(order);
  for (const SendProbe& order : actions.probes) ports.prober->probe(order);
  for (const ProbeAddress& order : actions.address_probes) ports.addresses->probe(order);
}

void open_and_start(const Actions& actions, const Ports& ports) {
  for (const SetGate& order : actions.set_gates) ports.gate->set(order.service, order.deadline);
  if (actions.watchdog && ports.watchdog != nullptr) ports.watchdog->tend(*actions.watchdog);
  if (actions.fence && ports.fence != nullptr) ports.fence->run(*actions.fence);
  for (const ServiceId service : actions.add_addresses) ports.addresses->add(service);
  for (const ServiceId service : actions.announce) ports.addresses->announce(service);
  for (const StartUnit& order : actions.start_units) ports.units->start(order);
  for (const ServiceId service : actions.start_checks) ports.checks->start(service);
  for (const MirrorOrder& order : actions.mirror_orders) ports.mirror->order(order);
  for (const ServiceId service : actions.set_guards) ports.mirror->set_guard(service);
}

void tell(const Actions& actions, const Ports& ports, const Teller& teller) {
  for (const LogLine& line : actions.log) teller.log(line);
  for (const Decision& decision : actions.decisions) teller.decision(decision);
  for (const Notice& notice : actions.notices) ports.notifier->notify(notice);
  for (const Reply& reply : actions.replies) teller.reply(reply);
}

}  // namespace

void perform(const Actions& actions, const Ports& ports, const Teller& teller) {
  if (actions.persist) ports.state->persist(actions.persist_version, *actions.persist);
  shut_and_stop(actions, ports);
  send(actions, ports);
  open_and_start(actions, ports);
  tell(actions, ports, teller);
}

}  // namespace clusterd
