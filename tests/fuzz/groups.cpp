// /etc/group, as the control socket reads it at start.
#include "daemon/peer_credentials.hpp"
#include "targets.hpp"

namespace clusterd::fuzz {

void fuzz_groups(Bytes input) {
  const std::string_view text = text_of(input);
  const AccessGroups groups = parse_groups(text);
  for (const auto group : {groups.readers, groups.admins}) {
    if (!group) continue;
    require(*group != static_cast<gid_t>(-1), "a group's number is one");
    require(text.find(std::to_string(*group)) != std::string_view::npos ||
                text.find('0') != std::string_view::npos,
            "it stands in the file");
  }
  require(access_of({1, 1000, {}}, groups) == Access::kNone, "who is in no group gets nothing");
  require(!refusal(Access::kRead, groups, 1000).empty(), "and is told so");
}

}  // namespace clusterd::fuzz
