// The configuration while it is being read: the values with the places they came from. Internal to
// src/config.
//
// Order of work: read_cluster, then read_service for each file, then check_across for what only all files
// together can show, then fingerprint. Each reports all it finds and goes on with what it could understand.
#pragma once

#include <string>
#include <vector>

#include "config/problems.hpp"
#include "config/record.hpp"
#include "config/section.hpp"
#include "config/value.hpp"
#include "core/config.hpp"

namespace clusterd::config {

struct ClusterDraft {
  Config config;
  std::vector<Place> host_places;                      // per HostId
  std::vector<std::array<Place, kNodes>> link_places;  // per LinkId: of each end
  // False where nodes and links, or their addresses, could not be understood: what refers to them is then not
  // checked, so that one mistake gives one message.
  bool nodes_known = false;
  bool networks_known = false;
  bool services_known = true;                       // every file of a service could be parsed
  Place watchdog;                                   // of its timeout, or its table
  std::array<std::optional<Place>, kNodes> fences;  // per node: of its table
  std::vector<Place> always;                        // per path of the always mirror
  std::array<bool, kNodes> delay_given{};           // per node: its fence has a delay of its own
};

struct ServiceDraft {
  ServiceConfig config;
  Place place;                                // of the file
  std::vector<Place> addresses;               // per address
  Place effects;                              // of effects, or the file
  Place prefer;                               // of prefer, or the file
  std::vector<Text> with, apart_from, after;  // names of services
  Place mac;                                  // of mac_address, or mac, or the file
  std::vector<Place> units;                   // per unit
  std::vector<std::vector<Place>> paths;      // per mirror, per path
};

// Where clusterd keeps its state unless told otherwise; no mirror may touch it.
inline constexpr std::string_view kStateDir = "/var/lib/clusterd";

inline constexpr size_t kMaxAddressesPerService = 16;
inline constexpr size_t kMaxUnitsPerService = 32;
inline constexpr size_t kMaxChecksPerService = 16;
inline constexpr size_t kMaxPathsPerMirror = 64;
inline constexpr size_t kMaxExcludesPerMirror = 256;

void read_cluster(const Value& root, const std::string& dir, ClusterDraft& draft, Problems& problems);
// The parts of read_cluster.
void read_nodes(const Value& nodes, ClusterDraft& draft, Problems& problems);
void read_reference_hosts(const std::vector<Text>& texts, ClusterDraft& draft, Problems& problems);
void read_timing(const Value* timing, const std::optional<Text>& profile, ClusterDraft& draft,
                 Problems& problems);

void read_watchdog(const Value& table, ClusterDraft& draft, Problems& problems);
void read_fences(const Value& table, ClusterDraft& draft, Problems& problems);
// What only the whole configuration can show of watchdog, fences and effects.
void check_fencing(ClusterDraft& cluster, const std::vector<ServiceDraft>& services, Problems& problems);

void read_always(const Value& table, const std::string& dir, ClusterDraft& draft, Problems& problems);
// What only the whole configuration can show of the always mirror.
void check_always(const ClusterDraft& cluster, const std::vector<ServiceDraft>& services, Problems& problems);

[[nodiscard]] RecordConfig read_record(const Value& value, Problems& problems);

void read_service(const Value& root, const std::string& name, const ClusterDraft& cluster,
                  ServiceDraft& draft, Problems& problems);
// The parts of read_service.
void read_units(const Value& units, ServiceDraft& draft, Problems& problems);
void read_checks(const Value& checks, ServiceDraft& draft, Problems& problems);
// The paths of `alike` (config/alike.hpp), without those that are reported as errors.
std::vector<std::string> read_alike(Section& section, const ServiceDraft& draft, Problems& problems);
// The keys of a unit that has `ocf`.
void read_ocf(Section& section, UnitConfig& unit, Problems& problems);
// The value of one parameter of an agent as text, or nullopt with the problem reported.
[[nodiscard]] std::optional<std::string> agent_parameter(const Entry& entry, const std::string& section,
                                                         Problems& problems);
void read_mirrors(const Value& mirrors, ServiceDraft& draft, Problems& problems);

// Sets config.services from the drafts, and checks what concerns more than one file.
void check_across(ClusterDraft& cluster, const std::vector<ServiceDraft>& services, Problems& problems);
void check_mirror_paths(const std::vector<ServiceDraft>& services, Problems& problems);

// Sets the relations of the services, which are those of the drafts, and checks them.
void check_relations(std::vector<ServiceConfig>& services, const std::vector<ServiceDraft>& drafts,
                     Problems& problems);

// Fills in hash and hashed_lines.
void fingerprint(Config& config);

// A letter or digit, then letters, digits and the characters of `also`; at most `most` bytes.
[[nodiscard]] bool is_name(std::string_view text, std::string_view also, size_t most);
// An absolute path without control characters, "//", "." and "..".
[[nodiscard]] bool is_plain_path(std::string_view path);

// What makes an address unusable for a host ("is a multicast address"), or nullopt where nothing does.
[[nodiscard]] std::optional<std::string> unusable(const IpAddress& address);
// The same for a host's address within its network: the network's own and the broadcast address.
[[nodiscard]] std::optional<std::string> unusable(const Prefix& prefix);
[[nodiscard]] bool is_loopback(const IpAddress& address);

}  // namespace clusterd::config
