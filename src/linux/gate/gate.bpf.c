/* The lease gate: drops a service's packets unless now < its deadline. bpf_gate.hpp is the manual.
 *
 *   egress  dropped while shut                       | ingress dropped while shut
 *   IPv4, IPv6 with source = service address         | IPv4, IPv6 with destination = service address
 *   ARP (any) with sender address = service address  | ARP request for the service address
 *   NA whose target is the service address           | NS whose target is the service address
 *
 * Passing always, because a standby needs them: an ARP probe or NS from the unspecified address for the service
 * address (is somebody there?) and the answers to it; gratuitous ARP and unsolicited NA of the other node; traffic
 * of this node as a client of the service elsewhere.
 *
 * "Pass" is TC_ACT_UNSPEC: the next filter decides. Headers are read at fixed places from the frame and not from
 * skb->protocol, which a raw socket may set to anything. What is too short to be parsed is no packet of the
 * service that any receiver would accept. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define SLOTS 64
#define NAME_BYTES 64

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_ARP 0x0806
#define ETHERTYPE_IPV6 0x86dd
#define NEXT_HEADER_ICMPV6 58
#define NEIGHBOUR_SOLICITATION 135
#define NEIGHBOUR_ADVERTISEMENT 136
#define ETHERNET_HEADER 14

struct address_key {
  __u32 family; /* 4 or 6 */
  __u8 bytes[16];
};

struct slot_counts {
  __u64 passed;
  __u64 dropped;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 2048);
  __type(key, struct address_key);
  __type(value, __u32);
} addresses SEC(".maps");

/* CLOCK_BOOTTIME in nanoseconds; 0 = shut. Mapped into the daemon: a renewal is one store. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, SLOTS);
  __type(key, __u32);
  __type(value, __u64);
} deadlines SEC(".maps");

/* Which service a slot belongs to. The programs do not read it. */
struct slot_name {
  char text[NAME_BYTES];
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, SLOTS);
  __type(key, __u32);
  __type(value, struct slot_name);
} names SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, SLOTS);
  __type(key, __u32);
  __type(value, struct slot_counts);
} counters SEC(".maps");

static __always_inline int judge(const struct address_key *key) {
  __u32 *slot = bpf_map_lookup_elem(&addresses, key);
  if (!slot) return TC_ACT_UNSPEC;
  __u32 index = *slot;
  __u64 *deadline = bpf_map_lookup_elem(&deadlines, &index);
  struct slot_counts *counts = bpf_map_lookup_elem(&counters, &index);
  if (!deadline || !counts) return TC_ACT_SHOT;
  if (bpf_ktime_get_boot_ns() < *(volatile __u64 *)deadline) {
    counts->passed++;
    return TC_ACT_UNSPEC;
  }
  counts->dropped++;
  return TC_ACT_SHOT;
}

static __always_inline int judge_at(struct __sk_buff *skb, __u32 family, __u32 offset) {
  struct address_key key = {};
  key.family = family;
  if (family == 4) {
    if (bpf_skb_load_bytes(skb, offset, key.bytes, 4)) return TC_ACT_UNSPEC;
  } else {
    if (bpf_skb_load_bytes(skb, offset, key.bytes, 16)) return TC_ACT_UNSPEC;
  }
  return judge(&key);
}

struct arp_for_ipv4 {
  __be16 hardware, protocol;
  __u8 hardware_bytes, protocol_bytes;
  __be16 operation;
  __u8 sender_mac[6], sender[4], target_mac[6], target[4];
};

static __always_inline int judge_arp(struct __sk_buff *skb, int egress) {
  struct arp_for_ipv4 arp;
  if (bpf_skb_load_bytes(skb, ETHERNET_HEADER, &arp, sizeof(arp))) return TC_ACT_UNSPEC;
  if (arp.protocol != bpf_htons(ETHERTYPE_IPV4) || arp.hardware_bytes != 6 || arp.protocol_bytes != 4)
    return TC_ACT_UNSPEC;
  struct address_key key = {};
  key.family = 4;
  if (egress) {
    __builtin_memcpy(key.bytes, arp.sender, 4);
    return judge(&key);
  }
  if (arp.operation != bpf_htons(1)) return TC_ACT_UNSPEC; /* an answer to our own question */
  /* A gratuitous request of the node that is active: nobody is asked. */
  if (__builtin_memcmp(arp.sender, arp.target, 4) == 0) return TC_ACT_UNSPEC;
  __builtin_memcpy(key.bytes, arp.target, 4);
  return judge(&key);
}

static __always_inline int judge_ipv6(struct __sk_buff *skb, int egress) {
  const __u32 source = ETHERNET_HEADER + 8, destination = ETHERNET_HEADER + 24, payload = ETHERNET_HEADER + 40;
  int verdict = judge_at(skb, 6, egress ? source : destination);
  if (verdict != TC_ACT_UNSPEC) return verdict;
  __u8 next_header = 0, type = 0;
  if (bpf_skb_load_bytes(skb, ETHERNET_HEADER + 6, &next_header, 1) || next_header != NEXT_HEADER_ICMPV6)
    return TC_ACT_UNSPEC;
  if (bpf_skb_load_bytes(skb, payload, &type, 1)) return TC_ACT_UNSPEC;
  if (type != (egress ? NEIGHBOUR_ADVERTISEMENT : NEIGHBOUR_SOLICITATION)) return TC_ACT_UNSPEC;
  return judge_at(skb, 6, payload + 8);
}

static __always_inline int gate(struct __sk_buff *skb, int egress) {
  if (skb->vlan_present && (skb->vlan_tci & 0x0fff)) return TC_ACT_UNSPEC; /* another network */
  __be16 type = 0;
  if (bpf_skb_load_bytes(skb, 12, &type, 2)) return TC_ACT_UNSPEC;
  if (type == bpf_htons(ETHERTYPE_IPV4))
    return judge_at(skb, 4, egress ? ETHERNET_HEADER + 12 : ETHERNET_HEADER + 16);
  if (type == bpf_htons(ETHERTYPE_IPV6)) return judge_ipv6(skb, egress);
  if (type == bpf_htons(ETHERTYPE_ARP)) return judge_arp(skb, egress);
  return TC_ACT_UNSPEC;
}

SEC("tc")
int clusterd_egress(struct __sk_buff *skb) { return gate(skb, 1); }

SEC("tc")
int clusterd_ingress(struct __sk_buff *skb) { return gate(skb, 0); }

/* Only helpers that any licence may call are used. */
char LICENSE[] SEC("license") = "GPL-3.0-or-later";
