// Relations between services, as the configuration states them: who runs with whom, apart from whom, after
// whom. Pure functions over the list of services; what a node makes of them is in core/service_relations.cpp.
#pragma once

#include <algorithm>
#include <vector>

#include "core/config.hpp"

namespace clusterd {

// What is written in one file concerns others: makes `with` hold whole groups (symmetric, transitive, without
// the service itself), `apart_from` hold every service that anyone of the group is to be apart from
// (symmetric), and gives a group without a `prefer` of its own that of its member. Lists come out sorted,
// without doubles.
void complete_relations(std::vector<ServiceConfig>& services);

// The services of a cycle of `after`, in order, the first one repeated at the end; empty: there is none.
[[nodiscard]] std::vector<ServiceId> cycle_of_after(const std::vector<ServiceConfig>& services);

[[nodiscard]] inline bool contains(const std::vector<ServiceId>& list, ServiceId id) {
  return std::find(list.begin(), list.end(), id) != list.end();
}

[[nodiscard]] bool any_relation(const std::vector<ServiceConfig>& services);

}  // namespace clusterd
