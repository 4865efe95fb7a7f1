// `clusterctl join`: the node that gets the secret and the configuration.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>

#include "base/version.hpp"
#include "ctl/exit_codes.hpp"
#include "ctl/folder.hpp"
#include "ctl/pairing.hpp"
#include "ctl/pairing_talk.hpp"
#include "ctl/ssh_keys.hpp"
#include "linux/host/look.hpp"
#include "pair/code.hpp"
#include "pair/handover.hpp"

namespace clusterd::ctl {

namespace {

std::string read_code() {
  std::fputs("Code: ", stdout);
  std::fflush(stdout);
  char text[64] = {};
  return std::fgets(text, sizeof text, stdin) == nullptr ? "" : text;
}

int unreachable(const std::string& why, const std::string& address, unsigned port) {
  return complain(fmt::format("{}\n  is `clusterctl pair` (or init --write) waiting there? Does a firewall "
                              "let TCP port {} through?"
                              "\n  does it answer at all:  ping {}",
                              why, port, address),
                  kExitUnreachable);
}

int told(const Met& met, const std::string& address, unsigned port) {
  switch (met.failure) {
    case pair::Failure::kWrongCode:
    case pair::Failure::kRefused:
      return complain(
          "the code was refused; look at it again where it was printed. After three wrong ones it is void: "
          "`clusterctl pair` there makes a new one",
          kExitFailed);
    case pair::Failure::kStranger:
    case pair::Failure::kBadShare:
      return complain(
          fmt::format("what answers at {} port {} is no clusterctl that waits, or one of another version",
                      address, port),
          kExitFailed);
    case pair::Failure::kNone:
      break;
  }
  return unreachable(met.why, address, port);
}

class Joining {
 public:
  Joining(const Globals& globals, const PairingFlags& flags, setup::Machine machine)
      : globals_(globals), flags_(flags), machine_(std::move(machine)) {}

  int run(Talk talk, const std::string& code) {
    const std::string address = talk.peer();
    PairTalk peer(std::move(talk), pair::Role::kJoining);
    const Met met = peer.meet(code, machine_.name);
    if (met.failure != pair::Failure::kNone || !met.why.empty()) return told(met, address, flags_.port);
    std::printf("%s (%s) knows the code\n", peer.peer_name().c_str(), address.c_str());
    pair::About about{machine_, kVersion, static_cast<int64_t>(::time(nullptr)), own_host_keys()};
    if (auto said = peer.say(pair::encoded(about)); !said) return broken(said.error().message);
    const auto message = peer.hear();
    if (!message) return broken(message.error().message);
    if (const auto trouble = pair::trouble_from(*message))
      return complain(fmt::format("{}: {}\n  {}", peer.peer_name(), trouble->text, trouble->remedy),
                      kExitFailed);
    const auto files = pair::files_from(*message);
    if (!files) return broken("the other node's clusterctl is of another version");
    return take(peer, *files);
  }

 private:
  static int broken(const std::string& why) {
    return complain(
        why + "; nothing was changed here. Again: `clusterctl pair` there, `clusterctl join` here",
        kExitFailed);
  }
  static int give_up(PairTalk& peer, const setup::Trouble& trouble) {
    static_cast<void>(peer.say(pair::encoded(trouble)));
    return complain(trouble.text + "\n  " + trouble.remedy, kExitFailed);
  }

  int take(PairTalk& peer, const ConfigTexts& files) {
    const auto config = judge(files, globals_.config_dir, machine_.name);
    if (!config)
      return give_up(peer,
                     {describe(config.error()[0]), "install the same version of clusterd on both nodes"});
    auto staged = Staged::stage(globals_.config_dir, files);
    if (!staged) return give_up(peer, {staged.error(), "make room, or correct the permissions"});
    if (auto said = peer.say(pair::encoded(pair::Word::kStaged)); !said) return broken(said.error().message);
    const auto answer = peer.hear();
    if (!answer) return broken(answer.error().message);
    if (const auto trouble = pair::trouble_from(*answer))
      return complain(fmt::format("{}: {}\n  {}", peer.peer_name(), trouble->text, trouble->remedy),
                      kExitFailed);
    if (!pair::is(pair::Word::kKeep, *answer)) return broken("the other node did not finish");
    if (auto kept = staged->keep(); !kept)
      return give_up(peer, {kept.error(), "correct the permissions, then pair again"});
    for (const std::string& name : put_aside_others(globals_.config_dir, files))
      std::printf("note: services/%s was put aside as %s.bak: it does not belong to this cluster\n",
                  name.c_str(), name.c_str());
    if (files.contains("mirror_key.pub")) {
      if (const std::string why = authorise(files.at("mirror_key.pub")); !why.empty())
        std::printf("warning: mirrors will not get here: %s\n", why.c_str());
    }
    static_cast<void>(peer.say(pair::encoded(pair::Word::kKept)));
    std::printf("%s and %s are one cluster. Fingerprint, the same on both: %s\n", machine_.name.c_str(),
                peer.peer_name().c_str(), pair::fingerprint(files).c_str());
    return start_daemon(flags_.start);
  }

  const Globals& globals_;
  const PairingFlags& flags_;
  setup::Machine machine_;
};

}  // namespace

int join_peer(const Globals& globals, const PairingFlags& flags, const std::string& address,
              const std::string& code) {
  if (const int refused = refuse_others("join"); refused != kExitOk) return refused;
  const auto ip = IpAddress::parse(address);
  if (!ip)
    return complain("\"" + setup::comment_text(address) +
                        "\" is no address; give the one that `clusterctl pair` prints on the other node",
                    kExitUsage);
  const auto files = read_folder(globals.config_dir);
  if (files && files->contains("cluster.toml") && !flags.force)
    return complain(globals.config_dir +
                        "/cluster.toml exists: this node has a configuration. To replace it by the other "
                        "node's: --force",
                    kExitFailed);
  auto machine = look_at_machine();
  if (!machine) return complain(machine.error().message, kExitFailed);
  if (!globals.node.empty()) machine->name = globals.node;
  const auto typed = pair::typed(code.empty() ? read_code() : code);
  if (!typed)
    return complain("this is no pairing code: eight letters and digits, as in 7K4M-Q9XR. Nothing was tried",
                    kExitUsage);
  auto talk = Talk::connect(*ip, static_cast<uint16_t>(flags.port), std::chrono::seconds(10));
  if (!talk) return unreachable(talk.error().message, address, flags.port);
  return Joining(globals, flags, *machine).run(std::move(*talk), *typed);
}

}  // namespace clusterd::ctl
