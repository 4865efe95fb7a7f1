// What `pcs config` and `crm configure show` both describe, and its translation. Internal to src/import.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "import/reading.hpp"

namespace clusterd::imports {

struct Primitive {
  std::string id;
  std::string agent;  // "ocf:heartbeat:IPaddr2", "systemd:nginx"
  std::map<std::string, std::string> parameters;
  int line = 0;
};

struct Pacemaker {
  std::string file, cluster;
  setup::Lines nodes;
  std::vector<Primitive> primitives;
  std::vector<std::pair<std::string, setup::Lines>> groups;   // id, members
  std::vector<std::pair<std::string, std::string>> together;  // colocations of any strength that bind
  struct Relation {
    std::string one, two;
    int line = 0;
  };
  std::vector<Relation> apart;   // colocations that keep apart
  std::vector<Relation> orders;  // `two` starts after `one`, and stops before it
  struct Place {
    std::string resource, node;
    long score = 0;  // 1'000'000 = INFINITY
  };
  std::vector<Place> places;
  std::vector<std::string> clones;  // ids of what is cloned
  long stickiness = 0;
};

inline constexpr size_t kMaxResources = 500;
inline constexpr long kInfinity = 1'000'000;

// "INFINITY", "-INFINITY", "+100": nullopt for what is no score.
[[nodiscard]] std::optional<long> score_of(std::string_view text);

// Adds services and nodes to `out`, and tells what Pacemaker did that clusterd does otherwise.
void translate(const Pacemaker& source, Imported& out, Finder& finder);

}  // namespace clusterd::imports
