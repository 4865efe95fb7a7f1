// A small but full configuration for targets that need names and tables to refer to.
#pragma once

#include "core/config.hpp"
#include "core/timing.hpp"

namespace clusterd::fuzz {

inline Config sample_config() {
  Config config;
  config.cluster = "office";
  config.self = NodeId(1);
  config.nodes = {NodeConfig{"serv1", {}}, NodeConfig{"serv2", {}}};
  config.links = {{"service",
                   {LinkEnd{"eth0", *Prefix::parse("192.168.1.11/24")},
                    LinkEnd{"eth0", *Prefix::parse("192.168.1.12/24")}}},
                  {"heartbeat",
                   {LinkEnd{"eth1", *Prefix::parse("192.168.111.1/24")},
                    LinkEnd{"eth1", *Prefix::parse("192.168.111.2/24")}}}};
  for (const char* text : {"192.168.1.1", "192.168.1.2"}) {
    HostConfig host;
    host.text = text;
    host.address = *IpAddress::parse(text);
    host.link = LinkId(0);
    config.hosts.push_back(host);
  }
  for (const char* name : {"web", "mail"}) {
    ServiceConfig service;
    service.name = name;
    service.link = LinkId(0);
    service.addresses = {*Prefix::parse(name[0] == 'w' ? "192.168.1.20/24" : "fd00::20/64")};
    service.units.resize(1);
    service.units.front().name = std::string(name) + ".service";
    service.checks.resize(1);
    service.checks.front().text = "tcp 80";
    service.mirrors.resize(name[0] == 'w' ? 2 : 1);
    for (size_t i = 0; i < service.mirrors.size(); ++i) {
      service.mirrors[i].name = i == 0 ? "data" : "2";
      service.mirrors[i].paths = {"/srv/" + std::string(name) + "/"};
    }
    config.services.push_back(std::move(service));
  }
  config.timing = timing_profile("steady").value();
  config.hash = 7;
  return config;
}

}  // namespace clusterd::fuzz
