// From a machine, or two, to a configuration. Pure.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "setup/machine.hpp"
#include "setup/sketch.hpp"

namespace clusterd::setup {

struct Wishes {  // what a person said instead of leaving it to the proposal
  std::string cluster;
  Lines reference_hosts;
  std::vector<EndSketch> links;  // with a NIC; without an address, the NIC's first one
};

struct Trouble {
  std::string text, remedy;
};

// One node's part of a configuration; the other one is added by `joined`. Wrong: no NIC has an address, or a
// wish names what is not there.
[[nodiscard]] tl::expected<Sketch, Trouble> propose(const Machine& machine, const Wishes& wishes);

struct Joined {
  std::string cluster_toml;
  Lines notes;  // what a person should know: a link that only one node has, …
};

// The first node's cluster.toml completed by a second machine: links by common networks, everything else kept
// byte for byte. A link of the file that the second machine has no network for is commented out, but for
// "service". If both nodes stand in the file already and the second one is `machine`, the text is returned as
// it is.
[[nodiscard]] tl::expected<Joined, Trouble> joined(const std::string& cluster_toml, const std::string& self,
                                                   const Machine& machine);

}  // namespace clusterd::setup
