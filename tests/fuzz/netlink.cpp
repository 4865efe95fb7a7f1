// Bodies of the kernel's netlink messages. The first byte chooses the reader.
#include "linux/address/kernel_tables.hpp"
#include "targets.hpp"

namespace clusterd::fuzz {

void fuzz_netlink(Bytes input) {
  Feed feed(input);
  switch (feed.byte() % 4) {
    case 0:
      if (const auto link = parse_link(feed.rest()))
        require(link->name.size() < 4096 && link->alias.size() <= input.size(), "texts end with the message");
      break;
    case 1:
      if (const auto address = parse_address(feed.rest()))
        require(address->length <= (address->address.is_v4() ? 32 : 128),
                "a length that such an address can have");
      break;
    case 2:
      (void)parse_own_rule(feed.rest());
      break;
    default:
      (void)parse_route(feed.rest());
  }
}

}  // namespace clusterd::fuzz
