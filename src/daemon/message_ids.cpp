#include "daemon/message_ids.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace clusterd {

namespace {

constexpr std::array kIds{
    std::pair<std::string_view, std::string_view>{"address-in-use", "ee564202ac1144099eea9a91a94ffd23"},
    std::pair<std::string_view, std::string_view>{"always-stuck", "7636aa52b277494993922f49b7991313"},
    std::pair<std::string_view, std::string_view>{"config-differs", "833dade40a2d478b870e93b9a690cced"},
    std::pair<std::string_view, std::string_view>{"disk-failed", "872b5840ea2d4881932ab00494b84575"},
    std::pair<std::string_view, std::string_view>{"diverged", "c3fe7b9199844c18bdc2f7bdcb1691d7"},
    std::pair<std::string_view, std::string_view>{"fence-failed", "fc6bf5c2236749b4abda98657bfed813"},
    std::pair<std::string_view, std::string_view>{"fence-lied", "7ab4af8aa10d4b6b9238583e3a52a714"},
    std::pair<std::string_view, std::string_view>{"fenced", "b1bed23d424d4013988a3ec8dc1da774"},
    std::pair<std::string_view, std::string_view>{"fencing", "f20d7fd5517141628a5914561d8ecbc9"},
    std::pair<std::string_view, std::string_view>{"guard-failed", "170d00a73ea14f07a152525d4e5e347e"},
    std::pair<std::string_view, std::string_view>{"handover-failed", "365ca7eca2ef453689b02ca5432b7751"},
    std::pair<std::string_view, std::string_view>{"lease-lost", "55d6b77f99754843ad6b474ada8155a0"},
    std::pair<std::string_view, std::string_view>{"link-back", "c9cd0378959e419199dadef6b6c2b557"},
    std::pair<std::string_view, std::string_view>{"link-lost", "f3969a363d694d33a5d47693c711e214"},
    std::pair<std::string_view, std::string_view>{"mirror-differed", "3f9574813b944670ac056fb70f08dc9a"},
    std::pair<std::string_view, std::string_view>{"mirror-failed", "558d6420bf5b48488eec4fe19b733f8c"},
    std::pair<std::string_view, std::string_view>{"mirror-halted", "49465404df364fca9b0ada9e3ab8e1fc"},
    std::pair<std::string_view, std::string_view>{"mirror-proved", "35fd0a7c83c54dea9c86c9477050d96e"},
    std::pair<std::string_view, std::string_view>{"moved", "2c45422cb9d64d1089189c13a8d8a9f2"},
    std::pair<std::string_view, std::string_view>{"moves-stopped", "52f1198152d4460fa17929cb1a5fbd05"},
    std::pair<std::string_view, std::string_view>{"node-locked", "3a1dbd31cdc94557ac102660bcc5c97c"},
    std::pair<std::string_view, std::string_view>{"node-online", "9c1a95322d8249d396fb5542d3661108"},
    std::pair<std::string_view, std::string_view>{"not-flushed", "a0f72d42cc594728a2f4ed34c2c414fe"},
    std::pair<std::string_view, std::string_view>{"peer-lost", "aa99de479f15461a81afe94de86cace1"},
    std::pair<std::string_view, std::string_view>{"resync-done", "d2e67ef69b3d413cbcf640713fb15093"},
    std::pair<std::string_view, std::string_view>{"service-failed", "a31b2f94c82948088cebdb94fe5ed29d"},
    std::pair<std::string_view, std::string_view>{"standby-alike", "3986ad2b220d4fec9fafe03ea4a362a5"},
    std::pair<std::string_view, std::string_view>{"standby-differs", "6f834802648a44c2bf23ea9ff8fbcda5"},
    std::pair<std::string_view, std::string_view>{"standby-not-ready", "55a9d8c6dca547d6ab6ad3547ac1fc59"},
    std::pair<std::string_view, std::string_view>{"standby-ready", "d504ea36d252476aad1fb9c7ced14be4"},
    std::pair<std::string_view, std::string_view>{"stop-failed", "bed3cce005e841b4a840b12e92eda08c"},
    std::pair<std::string_view, std::string_view>{"takeover", "ad8f98da53b24c3ebca2e676b8708792"},
    std::pair<std::string_view, std::string_view>{"watchdog-failed", "2b6bf440e46740c78669b978b392456d"},
    std::pair<std::string_view, std::string_view>{"watchdog-starved", "e0b60edb472b47e98f59ebab915ecec4"},
};

}  // namespace

std::string_view message_id(std::string_view kind) {
  const auto found =
      std::find_if(kIds.begin(), kIds.end(), [&](const auto& entry) { return entry.first == kind; });
  return found == kIds.end() ? std::string_view() : found->second;
}

}  // namespace clusterd
