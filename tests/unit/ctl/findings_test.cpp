// What two nodes have found, put together for `clusterctl check`.
#include "ctl/findings.hpp"

#include <gtest/gtest.h>

namespace clusterd::ctl {
namespace {

TEST(Findings, WhatComparesBothNodesIsSaidOnce) {
  const Finding differs{Level::kWarning, "likeness", "web: /usr/sbin/nginx differs", "", ""};
  const Finding full{Level::kWarning, "disk", "/srv has only 12 MiB left", "", ""};
  std::vector<Finding> all = {differs, full};
  const auto from_peer = [](Finding finding) {
    finding.node = "serv2";
    return finding;
  };
  const Finding other{Level::kWarning, "likeness", "mail: not compared with serv1 yet", "", ""};
  add_findings_of_peer(all, {from_peer(differs), from_peer(full), from_peer(other)});
  ASSERT_EQ(all.size(), 4U);
  // A full disk is a matter of one node, whatever the other one says of its own.
  EXPECT_EQ(all[2].text, full.text);
  EXPECT_EQ(all[2].node, "serv2");
  EXPECT_EQ(all[3].text, other.text);
}

}  // namespace
}  // namespace clusterd::ctl
