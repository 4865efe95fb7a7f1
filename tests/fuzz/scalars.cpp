// Small texts with a meaning: addresses, durations, sizes, ports, the mark on a spare NIC.
#include "base/address.hpp"
#include "config/scalar.hpp"
#include "linux/address/address_work.hpp"
#include "targets.hpp"

namespace clusterd::fuzz {

void fuzz_scalars(Bytes input) {
  const std::string text(text_of(input));
  if (const auto address = IpAddress::parse(text))
    require(IpAddress::parse(address->text()) == address, "an address is read back as it was");
  if (const auto prefix = Prefix::parse(text)) {
    require(prefix->length <= prefix->address.size() * 8, "a network is no longer than its address");
    require(Prefix::parse(prefix->text()) == prefix, "a prefix is read back as it was");
    require(prefix->contains(prefix->address), "a network holds its own address");
  }
  if (const auto mac = MacAddress::parse(text))
    require(MacAddress::parse(mac->text()) == mac, "a MAC is read back as it was");
  if (const auto duration = config::parse_duration(text)) {
    require(*duration >= Duration::zero(), "no time runs backwards");
    const bool whole =
        duration->count() % 1000 == 0;  // what is less than a microsecond has no unit of its own
    require(!whole || config::parse_duration(config::duration_text(*duration)) == duration,
            "a duration is read back as it was");
  }
  (void)config::parse_size(text);
  (void)config::parse_bandwidth(text);
  (void)config::parse_port(text);
  if (const auto mark = SpareMark::parse(text)) {
    const auto again = SpareMark::parse(mark->text());
    require(again && again->service == mark->service && again->own_mac == mark->own_mac &&
                again->former_alias == mark->former_alias,
            "a mark is read back as it was");
  }
}

}  // namespace clusterd::fuzz
