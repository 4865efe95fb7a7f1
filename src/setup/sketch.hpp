// A configuration in the making: what `clusterctl init` proposes, `service add` is told and the importers
// translate. Nothing here has been judged; that is the loader's part (config/load.hpp), which gets the texts
// that `written` makes of it. An empty text means "not known", and leaves its key out.
#pragma once

#include <string>
#include <vector>

#include "base/address.hpp"
#include "config/load.hpp"

namespace clusterd::setup {

using Lines = std::vector<std::string>;

struct EndSketch {  // one node's end of a link
  std::string link, nic;
  std::string address;  // "192.168.1.11/24"
};

struct NodeSketch {
  std::string name;
  std::vector<EndSketch> ends;
  std::string redundant_nic;
  Lines comments;

  [[nodiscard]] EndSketch* end(const std::string& link);
};

struct UnitSketch {
  std::string name;  // alone: a systemd unit
  std::string run = {}, start = {}, stop = {}, status = {}, pid_file = {};
  std::string start_timeout = {}, stop_timeout = {};
  std::string ocf = {};  // "ocf:heartbeat:Dummy"
  std::vector<std::pair<std::string, std::string>> parameters =
      {};  // of the agent; names of letters, digits, "_"

  [[nodiscard]] bool systemd() const { return run.empty() && start.empty() && ocf.empty(); }
};

struct CheckSketch {
  std::string tcp, command, http, dns, process, unit;  // one of them
  std::string every, timeout;
  int failures = 0;  // 0 = the default
};

struct MirrorSketch {
  std::string name;
  Lines paths, exclude;
  std::string mode, every;
  Lines comments;
};

struct ServiceSketch {
  std::string name;
  std::string prefer, link, mac, mac_address, failback, failback_after;
  Lines addresses;  // with or without the length of their network, see settle()
  std::vector<UnitSketch> units;
  std::vector<CheckSketch> checks;
  bool hot = false;
  Lines apart_from, after;  // names of services
  Lines alike;              // paths
  std::vector<MirrorSketch> mirrors;
  Lines comments;
};

struct Sketch {
  std::string cluster;
  Lines reference_hosts;
  std::string profile;
  int port = 0;  // 0 = the default
  std::string notify_command, notify_mail;
  std::string hook_up, hook_down;
  std::string ssh_identity, ssh_known_hosts;
  std::vector<NodeSketch> nodes;
  std::vector<ServiceSketch> services;
  Lines comments;  // at the top of cluster.toml

  [[nodiscard]] NodeSketch* node(const std::string& name);
};

// The files: "cluster.toml", "services/NAME.toml", each with comments that say what to look at.
[[nodiscard]] ConfigTexts written(const Sketch& sketch);
[[nodiscard]] std::string written(const ServiceSketch& service);
[[nodiscard]] std::string written(const NodeSketch& node);

// Any bytes as one TOML string: what TOML or the loader does not allow becomes "?".
[[nodiscard]] std::string toml_text(std::string_view text);
// Any bytes as one line of a comment, without "# ".
[[nodiscard]] std::string comment_text(std::string_view text);

// A text made into a name that a service, node or cluster may have; `otherwise` if nothing is left of it.
[[nodiscard]] std::string name_from(std::string_view text, std::string_view also, size_t most,
                                    const std::string& otherwise);

// Fits addresses to the links: a service's address without the length of its network (or with that of a
// single host) gets the length of the link that holds it, and the service that link.
void settle(Sketch& sketch);

// What a person has to add before the sketch can be a configuration, each as "what it is: the option to
// give".
[[nodiscard]] Lines missing(const Sketch& sketch);

}  // namespace clusterd::setup
