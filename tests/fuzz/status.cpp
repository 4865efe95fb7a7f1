// What clusterctl makes of the daemon's answers: a whole HTTP answer if it begins as one, or else a body.
#include "ctl/client.hpp"
#include "ctl/findings.hpp"
#include "ctl/order.hpp"
#include "ctl/render.hpp"
#include "targets.hpp"

namespace clusterd::fuzz {

namespace {

// Nothing of what the daemon, the peer or a file has said may reach the terminal as a control character.
void harmless(std::string_view text) {
  uint8_t before = 0;
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    require((byte >= 0x20 && byte != 0x7f) || c == '\n', "the terminal gets no control characters");
    require(before != 0xc2 || byte >= 0xa0, "not even those that are two bytes long");
    before = byte;
  }
}

}  // namespace

void fuzz_status(Bytes input) {
  std::string body(text_of(input));
  if (body.starts_with("HTTP")) {
    const auto answer = ctl::parse_answer(body);
    if (!answer) return;
    require(answer->body.size() < body.size(), "a body is what follows the header");
    body = answer->body;
  }
  const ctl::Look look;
  harmless(ctl::render_status(body, look));
  for (const std::string& alarm : ctl::alarms(body)) harmless(alarm);
  harmless(ctl::render_mirrors(body, look));
  harmless(ctl::render_decisions(body, look));
  unsigned long long last = 0;
  harmless(ctl::render_events(body, look, last));
  harmless(ctl::answer_text(body));
  const auto findings = ctl::findings_from_json(body, "serv2");
  harmless(ctl::render_findings(findings, look));
  const auto again = ctl::findings_from_json(ctl::findings_to_json(findings), "serv2");
  require(again.size() == findings.size(), "findings survive the way through JSON");
}

}  // namespace clusterd::fuzz
