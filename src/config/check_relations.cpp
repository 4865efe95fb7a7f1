// Relations between services: names become services, and what cannot be is refused.
#include <fmt/format.h>

#include <algorithm>

#include "config/draft.hpp"
#include "core/relations.hpp"

namespace clusterd::config {

namespace {

using Drafts = std::vector<ServiceDraft>;

std::string chain(const std::vector<ServiceConfig>& services, const std::vector<ServiceId>& ids,
                  const char* between) {
  std::string out;
  for (const ServiceId id : ids) out += (out.empty() ? "" : between) + services.at(id.at()).name;
  return out;
}

void find_named(const std::vector<Text>& names, const char* key, ServiceId self, const Drafts& drafts,
                std::vector<ServiceId>& out, Problems& problems) {
  std::vector<std::string> known;
  for (size_t i = 0; i < drafts.size(); ++i) {
    if (self != ServiceId(i)) known.push_back(drafts[i].config.name);
  }
  for (const Text& name : names) {
    const auto found = std::ranges::find_if(
        drafts, [&](const ServiceDraft& draft) { return draft.config.name == name.value; });
    const ServiceId id(static_cast<size_t>(found - drafts.begin()));
    if (found != drafts.end() && id != self) {
      out.push_back(id);
      continue;
    }
    const auto near = nearest(name.value, known);
    const std::string remedy = near            ? fmt::format("did you mean {}?", *near)
                               : known.empty() ? "there is no other service: remove the name"
                                               : fmt::format("the other services: {}", listed(known));
    problems.error(name.place,
                   id == self ? fmt::format("{} names the service itself", key)
                              : fmt::format("{} names \"{:.63}\", which is no service", key, name.value),
                   remedy);
  }
}

// A group is on one node, so it has one preferred node, and nobody to be apart from in it.
void check_group(const Drafts& drafts, const std::vector<ServiceConfig>& services, size_t self,
                 Problems& problems) {
  const ServiceDraft& draft = drafts[self];
  const ServiceConfig& service = services[self];
  for (const ServiceId id : service.with) {
    const ServiceDraft& other = drafts[id.at()];
    const bool differ =
        draft.config.prefer && other.config.prefer && draft.config.prefer != other.config.prefer;
    if (id.at() < self && differ)
      problems.error(draft.prefer,
                     fmt::format("{} runs with {}, which prefers another node ({})", service.name,
                                 other.config.name, other.prefer.brief()),
                     "let both prefer the same node, or remove prefer from one of them");
  }
  for (const Text& name : draft.apart_from) {
    const auto found = std::ranges::find_if(
        service.with, [&](ServiceId id) { return services[id.at()].name == name.value; });
    if (found == service.with.end()) continue;
    std::vector<ServiceId> group = service.with;
    group.insert(std::lower_bound(group.begin(), group.end(), ServiceId(self)), ServiceId(self));
    problems.error(name.place,
                   fmt::format("{} is to run apart from {}, and on the same node with it (with: {})",
                               service.name, name.value, chain(services, group, ", ")),
                   "remove one of the two relations");
  }
}

void check_apart(const Drafts& drafts, const std::vector<ServiceConfig>& services, size_t self,
                 Problems& problems) {
  const ServiceConfig& service = services[self];
  for (const Text& name : drafts[self].apart_from) {
    const auto other =
        std::ranges::find_if(services, [&](const ServiceConfig& s) { return s.name == name.value; });
    if (other == services.end() || !service.prefer || service.prefer != other->prefer) continue;
    if (contains(service.with, ServiceId(static_cast<size_t>(other - services.begin())))) continue;
    problems.warning(
        name.place,
        fmt::format("{} and {} are to run apart, and both prefer the same node", service.name, other->name),
        "let them prefer different nodes: then both are where they belong from the beginning");
  }
}

}  // namespace

void check_relations(std::vector<ServiceConfig>& services, const Drafts& drafts, Problems& problems) {
  const size_t before = problems.count();
  for (size_t i = 0; i < drafts.size(); ++i) {
    const ServiceDraft& draft = drafts[i];
    find_named(draft.with, "with", ServiceId(i), drafts, services[i].with, problems);
    find_named(draft.apart_from, "apart_from", ServiceId(i), drafts, services[i].apart_from, problems);
    find_named(draft.after, "after", ServiceId(i), drafts, services[i].after, problems);
    if (draft.config.hot && !draft.after.empty())
      problems.error(draft.after.front().place,
                     "with hot = true the units run on the standby, too, whatever they are to run after",
                     "remove one of the two");
  }
  if (problems.count() > before) return;
  const auto cycle = cycle_of_after(services);
  if (!cycle.empty()) {
    const ServiceDraft& draft = drafts[cycle.front().at()];
    problems.error(draft.after.front().place,
                   fmt::format("after leads in a circle: {}", chain(services, cycle, " after ")),
                   "remove one of them: none of these services could ever start");
  }
  complete_relations(services);
  for (size_t i = 0; i < drafts.size(); ++i) {
    check_group(drafts, services, i, problems);
    check_apart(drafts, services, i, problems);
  }
}

}  // namespace clusterd::config
