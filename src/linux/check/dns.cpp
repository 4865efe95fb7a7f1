#include "linux/check/dns.hpp"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <fmt/format.h>
#include <poll.h>
#include <resolv.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>
#include <vector>

#include "linux/fd.hpp"
#include "linux/socket_address.hpp"

namespace clusterd {

namespace {

using Clock = std::chrono::steady_clock;

const std::map<std::string, ns_type>& types() {
  static const std::map<std::string, ns_type> all{
      {"A", ns_t_a},     {"AAAA", ns_t_aaaa}, {"CNAME", ns_t_cname}, {"MX", ns_t_mx},  {"NS", ns_t_ns},
      {"PTR", ns_t_ptr}, {"SOA", ns_t_soa},   {"SRV", ns_t_srv},     {"TXT", ns_t_txt}};
  return all;
}

std::string plain_name(std::string name) {
  while (!name.empty() && name.back() == '.') name.pop_back();
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name;
}

const char* code_text(int code) {
  constexpr std::array kTexts{"no error",
                              "the server does not understand the question (FORMERR)",
                              "the server cannot answer now (SERVFAIL)",
                              "there is no such name (NXDOMAIN)",
                              "the server does not know this kind of question (NOTIMP)",
                              "the server refuses to answer (REFUSED)"};
  return code >= 0 && static_cast<size_t>(code) < kTexts.size() ? kTexts.at(static_cast<size_t>(code))
                                                                : "an unusual error";
}

// A record's content, where it can be compared.
std::string content(const ns_msg& message, const ns_rr& record) {
  const u_char* data = ns_rr_rdata(record);
  std::array<char, NS_MAXDNAME> text{};
  switch (ns_rr_type(record)) {
    case ns_t_a:
      if (ns_rr_rdlen(record) != 4 || inet_ntop(AF_INET, data, text.data(), text.size()) == nullptr)
        return {};
      return text.data();
    case ns_t_aaaa:
      if (ns_rr_rdlen(record) != 16 || inet_ntop(AF_INET6, data, text.data(), text.size()) == nullptr)
        return {};
      return text.data();
    case ns_t_cname:
    case ns_t_ns:
    case ns_t_ptr:
      if (dn_expand(ns_msg_base(message), ns_msg_end(message), data, text.data(),
                    static_cast<int>(text.size())) < 0)
        return {};
      return plain_name(text.data());
    default:
      return {};
  }
}

// Nothing while it is no answer to this question.
std::optional<Verdict> judge(const DnsQuestion& question, const std::vector<u_char>& sent,
                             const u_char* answer, size_t size) {
  ns_msg message{};
  if (size < 12 || answer[0] != sent[0] || answer[1] != sent[1]) return std::nullopt;
  if (ns_initparse(answer, static_cast<int>(size), &message) != 0 || ns_msg_getflag(message, ns_f_qr) == 0)
    return std::nullopt;
  ns_rr asked{};
  if (ns_msg_count(message, ns_s_qd) != 1 || ns_parserr(&message, ns_s_qd, 0, &asked) != 0 ||
      plain_name(ns_rr_name(asked)) != plain_name(question.name))
    return std::nullopt;
  if (const int code = ns_msg_getflag(message, ns_f_rcode); code != 0) return Verdict{false, code_text(code)};
  if (ns_msg_getflag(message, ns_f_tc) != 0 && question.answer.empty())
    return Verdict{true, "answers, at length"};
  const ns_type type = types().at(question.type);
  const auto address = IpAddress::parse(question.answer);
  const std::string wanted = address ? address->text() : plain_name(question.answer);
  size_t seen = 0;
  std::string first;
  for (int i = 0; i < ns_msg_count(message, ns_s_an); ++i) {
    ns_rr record{};
    if (ns_parserr(&message, ns_s_an, i, &record) != 0) break;
    if (ns_rr_type(record) != type) continue;
    const std::string has = content(message, record);
    if (seen++ == 0) first = has;
    if (!wanted.empty() && has == wanted) return Verdict{true, wanted};
  }
  if (seen == 0)
    return Verdict{false, fmt::format("the server has no {} of {}", question.type, question.name)};
  if (!wanted.empty())
    return Verdict{false, fmt::format("{} of {} is {}, not {}", question.type, question.name, first, wanted)};
  return Verdict{true, fmt::format("{} answers", seen)};
}

}  // namespace

bool is_dns_type(const std::string& type) { return types().contains(type); }

Verdict ask_dns(const DnsQuestion& question) {
  if (!is_dns_type(question.type)) return {false, "no type that can be asked for: " + question.type};
  std::vector<u_char> query(NS_PACKETSZ);
  const int length = res_mkquery(ns_o_query, question.name.c_str(), ns_c_in, types().at(question.type),
                                 nullptr, 0, nullptr, query.data(), static_cast<int>(query.size()));
  if (length < 12) return {false, "no name that can be asked for: " + question.name};
  query.resize(static_cast<size_t>(length));
  if (getrandom(query.data(), 2, 0) != 2) return {false, "no random numbers"};

  const net::SocketAddress to = net::socket_address(question.server, question.port, 0);
  const Fd socket_fd(socket(to.get()->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const std::string where = question.server.text() + " port " + std::to_string(question.port) + ": ";
  // Connected: what others send does not arrive, and a closed port says so.
  if (socket_fd.get() < 0 || connect(socket_fd.get(), to.get(), to.length) != 0)
    return {false, where + std::strerror(errno)};
  const auto end = Clock::now() + question.timeout;
  if (send(socket_fd.get(), query.data(), query.size(), 0) < 0) return {false, where + std::strerror(errno)};
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
    pollfd waits{socket_fd.get(), POLLIN, 0};
    const int ready = left > 0 ? poll(&waits, 1, static_cast<int>(left)) : 0;
    if (ready == 0) return {false, where + "no answer in time"};
    std::array<u_char, 65536> answer;
    const ssize_t n = recv(socket_fd.get(), answer.data(), answer.size(), 0);
    if (n < 0 && errno != EINTR) return {false, where + std::strerror(errno)};
    if (n <= 0) continue;
    if (const auto verdict = judge(question, query, answer.data(), static_cast<size_t>(n))) return *verdict;
  }
}

}  // namespace clusterd
