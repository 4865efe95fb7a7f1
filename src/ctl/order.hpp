// The bodies of POST /v1/command, and what their answers mean.
#pragma once

#include <string>

#include "ctl/client.hpp"

namespace clusterd::ctl {

struct Order {
  std::string kind;
  std::string service;
  std::string node;
  std::string text;
};

[[nodiscard]] std::string order_json(const Order& order);

// Gives the order to the daemon and prints its answer; returns the exit code.
int give_order(const Client& client, const Order& order);

// The "text" of an answer of the daemon, or the body if it has none.
[[nodiscard]] std::string answer_text(const std::string& body);

}  // namespace clusterd::ctl
