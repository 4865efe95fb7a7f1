// clusterctl init, pair, join: from two bare nodes to a cluster.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "config/draft.hpp"
#include "ctl/exit_codes.hpp"
#include "ctl/folder.hpp"
#include "ctl/keygen.hpp"
#include "ctl/pairing.hpp"
#include "ctl/shell.hpp"
#include "ctl/ssh_keys.hpp"
#include "ctl/verbs.hpp"
#include "linux/host/look.hpp"
#include "pair/code.hpp"
#include "setup/propose.hpp"

namespace clusterd::ctl {

namespace {

struct InitFlags {
  setup::Wishes wishes;
  std::vector<std::string> links;  // "service=eth0", "service=eth0,192.168.1.11/24"
  bool write = false, pairing = true, force = false, ssh = true;
};

// nullopt after a complaint.
bool read_links(InitFlags& flags) {
  for (const std::string& text : flags.links) {
    const size_t equals = text.find('=');
    const size_t comma = text.find(',');
    const std::string link = text.substr(0, equals);
    if (equals == std::string::npos || !config::is_name(link, "_-", 32) || link == "redundant") {
      complain(fmt::format("--link {}: write it as --link service=eth0", setup::comment_text(text)),
               kExitUsage);
      return false;
    }
    const std::string rest = text.substr(equals + 1);
    flags.wishes.links.push_back({link,
                                  rest.substr(0, comma == std::string::npos ? comma : comma - equals - 1),
                                  comma == std::string::npos ? "" : text.substr(comma + 1)});
  }
  return true;
}

int write_all(const Globals& globals, const InitFlags& flags, const setup::Sketch& sketch) {
  const auto staged_text = setup::written(sketch);
  {
    auto staged = Staged::stage(globals.config_dir, staged_text);
    if (!staged) return complain(staged.error(), kExitFailed);
    if (auto kept = staged->keep(); !kept) return complain(kept.error(), kExitFailed);
  }
  const std::string secret = globals.config_dir + "/secret.key";
  std::error_code error;
  if (!std::filesystem::exists(secret, error)) {
    if (const auto made = write_new_secret(secret); !made) return complain(made.error(), kExitFailed);
  }
  if (flags.ssh && !make_mirror_key(globals.config_dir))
    return complain(
        "ssh-keygen could not make a key for mirrors:  apt install openssh-client; or without mirrors:  "
        "--no-ssh-key",
        kExitFailed);
  std::printf("wrote %s/cluster.toml and its secret\n\n", globals.config_dir.c_str());
  return kExitOk;
}

int init(const Globals& globals, InitFlags& flags, const PairingFlags& pairing) {
  if (flags.write) {
    if (const int refused = refuse_others("init"); refused != kExitOk) return refused;
  }
  if (!read_links(flags)) return kExitUsage;
  auto machine = look_at_machine();
  if (!machine) return complain(machine.error().message, kExitFailed);
  if (!globals.node.empty()) machine->name = globals.node;
  auto sketch = setup::propose(*machine, flags.wishes);
  if (!sketch) return complain(sketch.error().text + "\n  " + sketch.error().remedy, kExitFailed);
  if (flags.ssh) {
    sketch->ssh_identity = globals.config_dir + "/mirror_key";
    sketch->ssh_known_hosts = globals.config_dir + "/known_hosts";
  }
  std::fputs(setup::written(*sketch).at("cluster.toml").c_str(), stdout);
  if (!flags.write) {
    std::puts(
        "\n# Nothing was written. If this is right:  clusterctl init --write\n"
        "# Another NIC: --link service=eth0 --link heartbeat=eth1. Another host: --reference-host ADDRESS.\n"
        "# The other node's part is added when it joins.");
    return kExitOk;
  }
  std::error_code error;
  const std::string file = globals.config_dir + "/cluster.toml";
  if (std::filesystem::exists(file, error) && !flags.force)
    return complain(file +
                        " exists, and was not changed. To wait for the other node with it:  clusterctl "
                        "pair\n  to write it "
                        "anew:  clusterctl init --write --force",
                    kExitFailed);
  std::puts("");
  if (const int code = write_all(globals, flags, *sketch); code != kExitOk) return code;
  return flags.pairing ? wait_for_peer(globals, pairing) : kExitOk;
}

void add_pairing_options(CLI::App* verb, const std::shared_ptr<PairingFlags>& flags) {
  flags->port = pair::kDefaultPort;
  verb->add_option("--port", flags->port, "TCP port; open only while a node waits")
      ->capture_default_str()
      ->check(CLI::Range(1U, 65535U));
  verb->add_flag("!--no-start", flags->start, "Do not start clusterd at the end");
}

void add_init(CLI::App& app, Globals& globals, Chosen& chosen) {
  auto flags = std::make_shared<InitFlags>();
  auto pairing = std::make_shared<PairingFlags>();
  CLI::App* verb = app.add_subcommand("init",
                                      "Look at this machine and propose a configuration; with --write: write "
                                      "it, and wait for the other node");
  verb->add_flag("--write", flags->write,
                 "Write it, make the secret, print a code, wait for `clusterctl join`");
  verb->add_option("--cluster", flags->wishes.cluster, "Name of the cluster (default: cluster)");
  verb->add_option("--link", flags->links,
                   "LINK=NIC, or LINK=NIC,ADDRESS/LENGTH; instead of all NICs with addresses");
  verb->add_option("--reference-host", flags->wishes.reference_hosts,
                   "Instead of the routers and name servers found");
  verb->add_flag("--force", flags->force, "Write over a cluster.toml");
  verb->add_flag("!--no-pair", flags->pairing, "Do not wait: `clusterctl pair` does it later");
  verb->add_flag("!--no-ssh-key", flags->ssh, "Make no ssh key for mirrors");
  add_pairing_options(verb, pairing);
  verb->footer(
      "Example: clusterctl init\n         clusterctl init --cluster office --link service=eth0 --link "
      "heartbeat=eth1 --write");
  verb->callback(
      [&, flags, pairing] { chosen = [&, flags, pairing] { return init(globals, *flags, *pairing); }; });
}

}  // namespace

void add_setup_verbs(CLI::App& app, Globals& globals, Chosen& chosen) {
  add_init(app, globals, chosen);

  auto pairing = std::make_shared<PairingFlags>();
  CLI::App* verb = app.add_subcommand("pair", "Wait for the other node: print a code for `clusterctl join`");
  add_pairing_options(verb, pairing);
  verb->footer("Example: clusterctl pair");
  verb->callback([&, pairing] { chosen = [&, pairing] { return wait_for_peer(globals, *pairing); }; });

  auto joining = std::make_shared<PairingFlags>();
  auto address = std::make_shared<std::string>();
  auto code = std::make_shared<std::string>();
  verb = app.add_subcommand("join", "Become the second node: get the secret and the configuration by a code");
  verb->add_option("address", *address, "The first node's, as `clusterctl pair` prints it")->required();
  verb->add_option("code", *code, "The code that it prints (default: asked for)");
  verb->add_flag("--force", joining->force, "Replace the configuration that this node has");
  add_pairing_options(verb, joining);
  verb->footer("Example: clusterctl join 192.168.1.11 7K4M-Q9XR");
  verb->callback([&, joining, address, code] {
    chosen = [&, joining, address, code] { return join_peer(globals, *joining, *address, *code); };
  });
}

}  // namespace clusterd::ctl
