// The kernel's per-NIC settings under /proc/sys/net, of the calling thread's network namespace.
#pragma once

#include <string>

namespace clusterd {

// `family`: "ipv4" or "ipv6"; `nic`: a NIC's name, "all" or "default". False: not there, or not writable.
bool write_sysctl(const std::string& family, const std::string& nic, const std::string& key, int value);

// What a NIC needs beside an address of the same network on another NIC: answer ARP only for its own
// addresses (arp_ignore = 1), ask with an address of its own (arp_announce = 2), and no strict reverse path
// filter (rp_filter = 2 if it is or would be 1). Stays after the service has gone: it is what a host with two
// NICs in one network should have. Returns what could not be set, empty if all is well.
std::string prepare_arp(const std::string& nic);

// The service's own device: as above, and neither autoconfiguration nor duplicate detection; IPv6 altogether
// off unless the service has an IPv6 address.
std::string prepare_device(const std::string& device, bool ipv6);

}  // namespace clusterd
