// The cluster of a seed: what it has, drawn before anything happens.
#pragma once

#include "core/config.hpp"
#include "sim/campaign.hpp"
#include "sim/random.hpp"

namespace clusterd::sim {

// `random` gives what every seed has; what an option adds is drawn by generators of its own, made of `seed`,
// so that a seed without the option is what it was.
[[nodiscard]] Config draw_cluster(Random& random, uint64_t seed, const CampaignOptions& options);

}  // namespace clusterd::sim
