// clusterd-check: asks one question for the daemon and ends. Exit code 0: good; 1: not good; 2: wrong call.
// What was found stands on one line of stdout.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>

#include "linux/check/dns.hpp"
#include "linux/check/http.hpp"
#include "linux/check/local.hpp"

namespace {

using namespace clusterd;

Duration milliseconds(unsigned number) { return std::chrono::milliseconds(number); }

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Asks one question for clusterd's checks and ends"};
  app.require_subcommand(1);
  unsigned timeout = 5000;
  std::function<Verdict()> ask;

  HttpQuestion http;
  bool insecure = false;
  CLI::App* verb = app.add_subcommand("http", "A web server");
  verb->add_option("url", http.url, "What to ask for")->required();
  verb->add_option("--connect", http.connect, "Where: ADDRESS:PORT")->required();
  verb->add_option("--least", http.status_least, "Least status that is good");
  verb->add_option("--most", http.status_most, "Greatest one");
  verb->add_option("--body", http.body, "What the answer contains");
  verb->add_flag("--insecure", insecure, "Any certificate is good");
  verb->add_option("--timeout", timeout, "Milliseconds");
  verb->callback([&] {
    ask = [&] {
      http.verify = !insecure;
      http.timeout = milliseconds(timeout);
      return ask_http(http);
    };
  });

  DnsQuestion dns;
  std::string server;
  verb = app.add_subcommand("dns", "A name server");
  verb->add_option("name", dns.name, "What to ask for")->required();
  verb->add_option("--server", server, "Its address")->required();
  verb->add_option("--port", dns.port, "Its port");
  verb->add_option("--type", dns.type, "Type of the record");
  verb->add_option("--answer", dns.answer, "One of the answers");
  verb->add_option("--timeout", timeout, "Milliseconds");
  verb->callback([&] {
    ask = [&]() -> Verdict {
      const auto address = IpAddress::parse(server);
      if (!address) return {false, "no address: " + server};
      dns.server = *address;
      dns.timeout = milliseconds(timeout);
      return ask_dns(dns);
    };
  });

  std::string wanted;
  verb = app.add_subcommand("process", "Whether a process lives");
  verb->add_option("name", wanted, "Its name, or the path of its pid file")->required();
  verb->callback([&] { ask = [&] { return find_process(wanted); }; });
  verb = app.add_subcommand("unit", "Whether a systemd unit is active");
  verb->add_option("name", wanted, "The unit")->required();
  verb->callback([&] { ask = [&] { return ask_unit(wanted); }; });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const Verdict verdict = ask();
  std::printf("%s\n", verdict.text.c_str());
  return verdict.good ? 0 : 1;
}
