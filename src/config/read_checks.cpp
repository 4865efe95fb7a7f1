// The checks of whether a service works: one key says what is asked, the others how and how often.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "config/draft.hpp"
#include "config/scalar.hpp"
#include "config/unit_kinds.hpp"

namespace clusterd::config {

namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;

constexpr uint16_t kHttpPort = 80, kHttpsPort = 443, kDnsPort = 53;
constexpr std::array<std::string_view, 7> kKinds{"tcp", "command", "http", "dns", "process", "unit", "ocf"};
constexpr std::array<std::string_view, 9> kDnsTypes{"A",   "AAAA", "CNAME", "MX", "NS",
                                                    "PTR", "SOA",  "SRV",   "TXT"};
constexpr const char* kExamples =
    "write { tcp = \"445\" } or { command = \"/usr/local/bin/works\" } or { http = "
    "\"https://www.example.org/\" } "
    "or { dns = \"www.example.org\" } or { process = \"smbd\" } or { unit = \"smbd.service\" } or { ocf = "
    "\"…\" }";

// "445", "1.2.3.4:445", "[fd00::1]:445"; with `port_optional` also "1.2.3.4" and "fd00::1".
bool parse_endpoint(std::string_view text, bool port_optional, CheckConfig& check) {
  if (port_optional) {
    if (const auto alone = IpAddress::parse(text)) {
      check.address = alone;
      return !unusable(*alone);
    }
  }
  std::string_view port = text;
  if (const size_t colon = text.rfind(':'); colon != std::string_view::npos) {
    port = text.substr(colon + 1);
    std::string_view address = text.substr(0, colon);
    if (address.size() > 2 && address.front() == '[' && address.back() == ']') {
      check.address = IpAddress::parse(address.substr(1, address.size() - 2));
      if (check.address && check.address->is_v4()) return false;
    } else {
      check.address = IpAddress::parse(address);
      if (check.address && !check.address->is_v4()) return false;
    }
    if (!check.address || unusable(*check.address)) return false;
  }
  const auto number = parse_port(port);
  check.port = number.value_or(0);
  return number.has_value();
}

void read_address(Section& section, CheckConfig& check, Problems& problems) {
  const auto text = section.text("address");
  if (!text) return;
  const uint16_t before = check.port;
  if (!parse_endpoint(text->value, true, check))
    problems.error(
        text->place, fmt::format("address = \"{:.60}\" in a check is no address", text->value),
        "write address = \"192.168.1.20\", \"192.168.1.20:8080\" or \"[fd00::20]:8080\"; without it, "
        "the service's own first address is asked");
  if (check.port == 0) check.port = before;
}

bool is_host_name(std::string_view name) {
  return is_name(name, ".-_", 253) && name.find("..") == std::string_view::npos;
}

// "https://www.example.org:8443/health": where to connect, as far as it says so.
const char* wrong_with_url(std::string_view url, CheckConfig& check) {
  const bool https = url.starts_with("https://");
  if (!https && !url.starts_with("http://")) return "begins with neither http:// nor https://";
  if (std::any_of(url.begin(), url.end(), [](char c) { return c == ' ' || static_cast<uint8_t>(c) > 126; }))
    return "holds a space or a letter that a URL cannot hold";
  url.remove_prefix(https ? 8 : 7);
  std::string_view host = url.substr(0, url.find_first_of("/?#"));
  if (host.find('@') != std::string_view::npos) return "holds a user's name";
  check.port = https ? kHttpsPort : kHttpPort;
  const size_t bracket = host.find(']');
  const size_t colon = host.find(':', bracket == std::string_view::npos ? 0 : bracket);
  if (colon != std::string_view::npos) {
    const auto port = parse_port(host.substr(colon + 1));
    if (!port) return "has a port that is none";
    check.port = *port;
    host = host.substr(0, colon);
  }
  const bool v6 = host.size() > 2 && host.front() == '[' && host.back() == ']';
  const auto address = IpAddress::parse(v6 ? host.substr(1, host.size() - 2) : host);
  if (address) {
    if (v6 == address->is_v4()) return "has an IPv6 address without [ ] around it";
    check.address = address;
    return unusable(*address) ? "has an address that no server can have" : nullptr;
  }
  return is_host_name(host) ? nullptr : "names no host";
}

void read_status(Section& section, CheckConfig& check, Problems& problems) {
  const Value* value = section.find("status");
  if (value == nullptr) return;
  const auto number = [](std::string_view text) -> unsigned {
    if (text.size() != 3) return 0;
    unsigned sum = 0;
    for (const char c : text) sum = c >= '0' && c <= '9' ? sum * 10 + static_cast<unsigned>(c - '0') : 1000;
    return sum >= 100 && sum <= 599 ? sum : 0;
  };
  const std::string text =
      value->kind == Value::Kind::kInteger ? std::to_string(value->integer) : value->text;
  const size_t dash = text.find('-');
  check.status_least = number(text.substr(0, dash));
  check.status_most = dash == std::string::npos ? check.status_least : number(text.substr(dash + 1));
  if (check.status_least == 0 || check.status_most < check.status_least)
    problems.error(value->place, "status in a check is neither a status of HTTP nor a range of them",
                   "write status = 200, or status = \"200-299\"");
}

void read_http(Section& section, CheckConfig& check, Problems& problems) {
  check.kind = CheckConfig::Kind::kHttp;
  const auto url = section.text("http");
  if (!url) return;
  check.target = url->value;
  check.text = "http " + url->value;
  if (const char* why = wrong_with_url(url->value, check); why != nullptr)
    problems.error(
        url->place, fmt::format("the URL \"{:.80}\" {}", url->value, why),
        "write http = \"https://www.example.org/health\": the service's own first address is asked, "
        "whatever the name, or that of the key address");
  read_address(section, check, problems);
  read_status(section, check, problems);
  if (const auto body = section.text("body")) check.body = body->value;
  section.flag("verify", check.verify);
}

void read_dns(Section& section, CheckConfig& check, Problems& problems) {
  check.kind = CheckConfig::Kind::kDns;
  check.port = kDnsPort;
  const auto asked = section.text("dns");
  if (!asked) return;
  check.target = asked->value;
  if (!is_host_name(asked->value))
    problems.error(asked->place, fmt::format("dns = \"{:.80}\" is no name", asked->value),
                   "write dns = \"www.example.org\", a name that the server knows");
  if (const auto type = section.text("type")) {
    check.record = type->value;
    if (std::find(kDnsTypes.begin(), kDnsTypes.end(), type->value) == kDnsTypes.end())
      problems.error(type->place, fmt::format("type = \"{:.40}\" is no type of record", type->value),
                     "write type = \"A\", or AAAA, CNAME, MX, NS, PTR, SOA, SRV or TXT");
  }
  if (const auto answer = section.text("answer")) {
    check.answer = answer->value;
    const auto address = IpAddress::parse(answer->value);
    const bool fits = check.record == "A"      ? address && address->is_v4()
                      : check.record == "AAAA" ? address && !address->is_v4()
                      : check.record == "CNAME" || check.record == "NS" || check.record == "PTR"
                          ? is_host_name(answer->value)
                          : false;
    if (!fits)
      problems.error(
          answer->place,
          fmt::format("answer = \"{:.60}\" is no answer to a question for {}", answer->value, check.record),
          "write an address for A and AAAA, a name for CNAME, NS and PTR; other types have no answer "
          "to compare");
  }
  check.text = fmt::format("dns {} {}", check.record, asked->value);
  read_address(section, check, problems);
}

// One word: a program's name, a path, a unit.
void read_word(Section& section, std::string_view key, CheckConfig::Kind kind, CheckConfig& check,
               Problems& problems) {
  check.kind = kind;
  const auto word = section.text(key);
  if (!word) return;
  check.target = word->value;
  check.text = fmt::format("{} {}", key, word->value);
  if (kind == CheckConfig::Kind::kProcess && !is_name(word->value, "._-+:@", 255) &&
      !(is_plain_path(word->value) && word->value.back() != '/'))
    problems.error(word->place,
                   fmt::format("process = \"{:.80}\" is neither a program's name nor a path", word->value),
                   "write process = \"smbd\", or process = \"/run/samba/smbd.pid\"");
  if (kind == CheckConfig::Kind::kUnit) (void)check_unit_name(*word, problems);
}

void read_ocf_check(Section& section, const ServiceDraft& draft, CheckConfig& check, Problems& problems) {
  read_word(section, "ocf", CheckConfig::Kind::kOcf, check, problems);
  section.number("depth", check.depth, 0, 100);
  if (check.target.empty()) return;
  check.text += fmt::format(" depth {}", check.depth);
  std::vector<std::string> agents;
  for (const UnitConfig& unit : draft.config.units) {
    if (unit.kind != UnitConfig::Kind::kOcf) continue;
    if (unit.name == check.target) return;
    agents.push_back(unit.name);
  }
  problems.error(
      section.place("ocf"),
      fmt::format("the check asks the agent of \"{:.64}\", which is no unit with an agent", check.target),
      agents.empty() ? "add a unit { name = \"…\", ocf = \"ocf:…\" }, or check by other means"
                     : fmt::format("its units with agents: {}", listed(agents)));
}

std::optional<CheckConfig> read_check(const Value& table, const ServiceDraft& draft, Problems& problems) {
  Section section(table, "a check", problems);
  CheckConfig check;
  const size_t before = problems.count();
  std::vector<std::string> given;
  for (const std::string_view kind : kKinds) {
    if (section.has(kind)) given.emplace_back(kind);
  }
  if (given.size() != 1) {
    for (const std::string_view kind : kKinds) (void)section.find(kind);
    problems.error(table.place,
                   given.empty()
                       ? "a check says nothing of what is asked"
                       : fmt::format("a check has {}{}", given.size() == 2 ? "both " : "", listed(given)),
                   kExamples);
  } else if (given[0] == "tcp") {
    if (const auto tcp = section.text("tcp")) {
      check.text = "tcp " + tcp->value;
      if (!parse_endpoint(tcp->value, false, check))
        problems.error(tcp->place,
                       fmt::format("tcp = \"{:.60}\" is no port and no address with a port", tcp->value),
                       "write tcp = \"445\" for the service's own first address, or \"192.168.1.20:445\", or "
                       "\"[fd00::20]:445\"");
    }
  } else if (given[0] == "command") {
    check.kind = CheckConfig::Kind::kCommand;
    if (const auto command = section.text("command")) {
      check.command = command->value;
      check.text = "command " + command->value;
    }
  } else if (given[0] == "http") {
    read_http(section, check, problems);
  } else if (given[0] == "dns") {
    read_dns(section, check, problems);
  } else if (given[0] == "process") {
    read_word(section, "process", CheckConfig::Kind::kProcess, check, problems);
  } else if (given[0] == "unit") {
    read_word(section, "unit", CheckConfig::Kind::kUnit, check, problems);
  } else {
    read_ocf_check(section, draft, check, problems);
  }
  section.duration("every", check.every, milliseconds(100), hours(1));
  section.duration("timeout", check.timeout, milliseconds(50), minutes(10));
  section.duration("grace", check.grace, milliseconds(0), hours(1));
  section.number("failures", check.failures, 1, 1000);
  section.finish();
  if (problems.count() != before) return std::nullopt;
  return check;
}

}  // namespace

void read_checks(const Value& checks, ServiceDraft& draft, Problems& problems) {
  for (const Value& item : checks.items) {
    if (item.kind != Value::Kind::kTable) {
      problems.error(item.place, fmt::format("a check must be a table, but is {}", name(item.kind)),
                     kExamples);
      continue;
    }
    if (auto check = read_check(item, draft, problems)) draft.config.checks.push_back(std::move(*check));
  }
}

}  // namespace clusterd::config
