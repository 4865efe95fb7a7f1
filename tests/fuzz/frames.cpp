// Frames and packets of strangers on the LAN: ARP and neighbour advertisements, ICMP echo replies. The first
// byte chooses the reader.
#include "linux/address/frames.hpp"

#include <algorithm>

#include "linux/net/packets.hpp"
#include "targets.hpp"

namespace clusterd::fuzz {

namespace {

bool lies_within(Bytes part, Bytes whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

void claims(Bytes frame) {
  const auto claim = parse_claim(frame);
  if (!claim) return;
  require(claim->address != IpAddress{}, "an IPv4 claim names an address");
  // What it claims can be said in our own words, and is understood again.
  const Frame own = claim->address.is_v4() ? gratuitous_arp(claim->mac, claim->address, true)
                                           : unsolicited_advertisement(claim->mac, claim->address);
  const auto again = parse_claim(own);
  require(again && again->address == claim->address && again->mac == claim->mac, "a claim can be repeated");
}

void packets(IpAddress::Family family, Bytes packet) {
  if (const auto echo = net::parse_echo_reply(family, packet))
    require(lies_within(echo->payload, packet), "the payload is part of the packet");
  const auto whole = net::parse_echo_packet(family, packet);
  if (!whole) return;
  require(lies_within(whole->echo.payload, packet), "the payload is part of the packet");
  require(whole->source.family == family && whole->target.family == family, "one family");
}

// What we send, and the other end's host turns into a reply, is read back as it was.
void round_trip(IpAddress::Family family, Feed& feed) {
  net::Echo echo{static_cast<uint16_t>(feed.number(2)), static_cast<uint16_t>(feed.number(2)), {}};
  IpAddress source{family, {}}, target{family, {}};
  for (size_t i = 0; i < source.size(); ++i) source.bytes.at(i) = feed.byte();
  for (size_t i = 0; i < target.size(); ++i) target.bytes.at(i) = feed.byte();
  echo.payload = feed.rest();
  if (echo.payload.size() > 1400) return;
  auto bytes = net::echo_request_from(source, target, echo);
  require(!net::parse_echo_packet(family, bytes), "a request is no reply");
  const size_t type_at = family == IpAddress::Family::kV4 ? 20 : 40;
  bytes.at(type_at) = family == IpAddress::Family::kV4 ? 0 : 129;
  const auto back = net::parse_echo_packet(family, bytes);
  require(back && back->source == source && back->target == target && back->echo.id == echo.id &&
              back->echo.sequence == echo.sequence &&
              std::equal(echo.payload.begin(), echo.payload.end(), back->echo.payload.begin(),
                         back->echo.payload.end()),
          "a reply is read back as the request was");
}

}  // namespace

void fuzz_frames(Bytes input) {
  Feed feed(input);
  const uint8_t choice = feed.byte();
  const auto family = (choice & 1U) != 0 ? IpAddress::Family::kV6 : IpAddress::Family::kV4;
  if (choice % 6 < 2) return claims(feed.rest());
  if (choice % 6 < 4) return packets(family, feed.rest());
  round_trip(family, feed);
}

}  // namespace clusterd::fuzz
