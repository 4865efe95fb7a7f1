#include "core/relations.hpp"

#include <algorithm>
#include <functional>

namespace clusterd {

namespace {

void tidy(std::vector<ServiceId>& list, ServiceId self) {
  std::sort(list.begin(), list.end());
  list.erase(std::unique(list.begin(), list.end()), list.end());
  std::erase(list, self);
}

// Per service the smallest member of its group.
std::vector<size_t> groups_of(const std::vector<ServiceConfig>& services) {
  std::vector<size_t> group(services.size());
  for (size_t i = 0; i < group.size(); ++i) group[i] = i;
  bool changed = true;
  while (changed) {
    changed = false;
    for (size_t i = 0; i < services.size(); ++i) {
      for (const ServiceId other : services[i].with) {
        const size_t least = std::min(group[i], group[other.at()]);
        changed = changed || group[i] != least || group[other.at()] != least;
        group[i] = group[other.at()] = least;
      }
    }
  }
  return group;
}

}  // namespace

void complete_relations(std::vector<ServiceConfig>& services) {
  const std::vector<size_t> group = groups_of(services);
  const auto apart = [&](size_t i, size_t j) {
    for (size_t member = 0; member < services.size(); ++member) {
      for (const ServiceId other : services[member].apart_from) {
        const size_t a = group[member], b = group[other.at()];
        if ((a == group[i] && b == group[j]) || (a == group[j] && b == group[i])) return true;
      }
    }
    return false;
  };
  std::vector<std::vector<ServiceId>> with(services.size()), apart_from(services.size());
  for (size_t i = 0; i < services.size(); ++i) {
    for (size_t j = 0; j < services.size(); ++j) {
      if (i == j) continue;
      if (group[i] == group[j]) with[i].emplace_back(j);
      if (apart(i, j)) apart_from[i].emplace_back(j);
    }
  }
  for (size_t i = 0; i < services.size(); ++i) {
    services[i].with = std::move(with[i]);
    services[i].apart_from = std::move(apart_from[i]);
    tidy(services[i].after, ServiceId(i));
  }
  for (ServiceConfig& service : services) {
    for (const ServiceId other : service.with) {
      if (!service.prefer) service.prefer = services[other.at()].prefer;
    }
  }
}

std::vector<ServiceId> cycle_of_after(const std::vector<ServiceConfig>& services) {
  std::vector<ServiceId> way;  // from where the search began to where it is
  std::vector<bool> done(services.size(), false);
  const std::function<bool(ServiceId)> search = [&](ServiceId id) {
    const auto seen = std::find(way.begin(), way.end(), id);
    if (seen != way.end()) {
      way.erase(way.begin(), seen);
      way.push_back(id);
      return true;
    }
    if (done[id.at()]) return false;
    way.push_back(id);
    for (const ServiceId before : services[id.at()].after) {
      if (search(before)) return true;
    }
    way.pop_back();
    done[id.at()] = true;
    return false;
  };
  for (size_t i = 0; i < services.size(); ++i) {
    if (search(ServiceId(i))) return way;
  }
  return {};
}

bool any_relation(const std::vector<ServiceConfig>& services) {
  return std::any_of(services.begin(), services.end(), [](const ServiceConfig& service) {
    return !service.with.empty() || !service.apart_from.empty() || !service.after.empty();
  });
}

}  // namespace clusterd
