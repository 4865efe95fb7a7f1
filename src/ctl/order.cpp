#include "ctl/order.hpp"

#include <cstdio>

#include "ctl/exit_codes.hpp"
#include "ctl/json_view.hpp"
#include "ctl/table.hpp"

namespace clusterd::ctl {

std::string order_json(const Order& order) {
  boost::json::object object{{"kind", order.kind}};
  if (!order.service.empty()) object["service"] = order.service;
  if (!order.node.empty()) object["node"] = order.node;
  if (!order.text.empty()) object["text"] = order.text;
  return boost::json::serialize(object);
}

std::string answer_text(const std::string& body) {
  const auto value = parse_or_null(body);
  return printable(View(&value)["text"].text(body));
}

int give_order(const Client& client, const Order& order) {
  const auto answer = client.post("/v1/command", order_json(order));
  if (!answer) {
    std::fprintf(stderr, "clusterctl: %s\n", answer.error().c_str());
    return kExitUnreachable;
  }
  const std::string text = answer_text(answer->body);
  if (answer->status == 200) {
    std::printf("%s\n", text.c_str());
    return kExitOk;
  }
  std::fprintf(stderr, "clusterctl: %s\n", text.c_str());
  return answer->status == kForbidden ? kExitNotAllowed : kExitFailed;
}

}  // namespace clusterd::ctl
