// `clusterctl pair`: the node that has a configuration waits for the one that joins.
#include <fmt/format.h>
#include <sodium.h>
#include <unistd.h>

#include <csignal>
#include <ctime>
#include <thread>

#include "base/version.hpp"
#include "ctl/exit_codes.hpp"
#include "ctl/folder.hpp"
#include "ctl/keygen.hpp"
#include "ctl/pairing.hpp"
#include "ctl/pairing_talk.hpp"
#include "ctl/shell.hpp"
#include "ctl/ssh_keys.hpp"
#include "ctl/table.hpp"
#include "linux/host/look.hpp"
#include "pair/code.hpp"
#include "pair/handover.hpp"

namespace clusterd::ctl {

namespace {

volatile std::sig_atomic_t interrupted = 0;
void interrupt(int) { interrupted = 1; }

class Interruptible {  // Ctrl-C ends the wait, and not the process
 public:
  Interruptible() {
    struct sigaction action {};
    action.sa_handler = interrupt;
    ::sigaction(SIGINT, &action, &int_);
    ::sigaction(SIGTERM, &action, &term_);
  }
  ~Interruptible() {
    ::sigaction(SIGINT, &int_, nullptr);
    ::sigaction(SIGTERM, &term_, nullptr);
  }
  Interruptible(const Interruptible&) = delete;
  Interruptible& operator=(const Interruptible&) = delete;

 private:
  struct sigaction int_ {
  }, term_{};
};

std::string new_code() {
  std::array<uint8_t, pair::kCodeLength> random{};
  if (sodium_init() >= 0) randombytes_buf(random.data(), random.size());
  return pair::code_from(random);
}

// The address under which the other node most likely reaches this one.
std::string own_address(const ConfigTexts& files, const setup::Machine& machine) {
  const std::string& text = files.at("cluster.toml");
  for (const bool out : {true, false}) {
    for (const setup::MachineNic& nic : machine.nics) {
      for (const Prefix& address : nic.addresses) {
        if (nic.routes_out == out && text.find(address.text()) != std::string::npos)
          return address.address.text();
      }
    }
  }
  return "ADDRESS";
}

class Waiting {
 public:
  Waiting(const Globals& globals, const PairingFlags& flags, std::string self, ConfigTexts files,
          setup::Machine machine)
      : globals_(globals),
        flags_(flags),
        self_(std::move(self)),
        files_(std::move(files)),
        machine_(std::move(machine)) {}

  int run() {
    const auto port = static_cast<uint16_t>(flags_.port);
    release_port();
    auto listener = Listener::open(port);
    if (!listener)
      return complain(listener.error().message +
                          "; does another `clusterctl pair` wait? Otherwise choose another port with "
                          "--port, here and there",
                      kExitFailed);
    code_ = new_code();
    print(fmt::format(
        "On the other node, as root:\n\n    clusterctl join {} {}{}\n\nThe code lives for {} minutes, and "
        "until the "
        "third wrong one.\n",
        own_address(files_, machine_), pair::shown(code_),
        port == pair::kDefaultPort ? "" : fmt::format(" --port {}", port), pair::kCodeSeconds / 60));
    const Interruptible guard;
    const auto end = TalkClock::now() + std::chrono::seconds(pair::kCodeSeconds);
    while (interrupted == 0 && TalkClock::now() < end) {
      progress(end);
      auto talk = listener->accept(std::min(end, TalkClock::now() + std::chrono::seconds(1)));
      if (!talk) continue;
      if (const auto code = visit(std::move(*talk))) return *code;
    }
    const bool over = interrupted == 0;
    interrupted = 0;
    return complain(
        fmt::format("{}; the code is void. What was written stays: `clusterctl pair` goes on with a new code",
                    over ? "nobody came in time" : "interrupted"),
        kExitFailed);
  }

 private:
  // clusterd-config has the port where a daemon runs, and lets go of it for a moment when it is asked to.
  void release_port() {
    auto talk = Talk::connect(globals_.run_dir + "/config.sock");
    const auto end = TalkClock::now() + std::chrono::seconds(5);
    if (!talk || !talk->send(R"({"do":"release-port"})", end)) return;
    (void)talk->receive(pair::kMaxHandshakeFrame, end);
    std::this_thread::sleep_for(std::chrono::milliseconds(600));  // its other thread closes it
  }
  // On a terminal, one line that counts down.
  static void progress(TalkClock::time_point end) {
    if (::isatty(STDOUT_FILENO) == 0) return;
    const auto left = std::chrono::duration_cast<std::chrono::seconds>(end - TalkClock::now()).count();
    print(fmt::format("\rwaiting, {}:{:02} left (Ctrl-C: later) \x1b[K", left / 60, left % 60));
  }
  static void line(const std::string& text) {
    print((::isatty(STDOUT_FILENO) != 0 ? "\r\x1b[K" : "") + text + "\n");
  }

  // One connection. nullopt: go on waiting.
  std::optional<int> visit(Talk talk) {
    PairTalk peer(std::move(talk), pair::Role::kWaiting);
    const Met met = peer.meet(code_, self_);
    if (met.failure == pair::Failure::kWrongCode || met.failure == pair::Failure::kBadShare) {
      if (++wrong_ < pair::kMaxWrong) {
        line(fmt::format("{} gave a wrong code; {} more and this one is void", peer.address(),
                         pair::kMaxWrong - wrong_));
        return std::nullopt;
      }
      line("");
      return complain(
          fmt::format(
              "{} gave the third wrong code: it is void. If that was you: `clusterctl pair` makes a new "
              "one; if not, somebody tries to join",
              peer.address()),
          kExitFailed);
    }
    if (!met.why.empty()) {  // somebody else's connection, or one that broke: no guess was made
      line(fmt::format("{}: {}", peer.address(), met.why));
      return std::nullopt;
    }
    line(fmt::format("{} ({}) knows the code", peer.peer_name(), peer.address()));
    return hand_over(peer);
  }

  int give_up(PairTalk& peer, const setup::Trouble& trouble) {
    static_cast<void>(peer.say(pair::encoded(trouble)));
    return complain(trouble.text + "\n  " + trouble.remedy + "\n  then:  clusterctl pair", kExitFailed);
  }

  int broken(const std::string& why) {
    return complain(why + "; again with `clusterctl pair`, and `clusterctl join` on the other node",
                    kExitFailed);
  }

  int hand_over(PairTalk& peer) {
    const auto message = peer.hear();
    if (!message) return broken(message.error().message);
    if (const auto trouble = pair::trouble_from(*message))
      return complain(trouble->text + "\n  " + trouble->remedy, kExitFailed);
    const auto about = pair::about_from(*message);
    if (!about || about->machine.name != peer.peer_name())
      return broken("the other node's clusterctl is of another version");
    // What was added while we waited goes along.
    if (auto files = read_folder(globals_.config_dir)) files_ = std::move(*files);
    const auto both = setup::joined(files_.at("cluster.toml"), self_, about->machine);
    if (!both) return give_up(peer, both.error());
    files_["cluster.toml"] = both->cluster_toml;
    const auto config = judge(files_, globals_.config_dir, self_);
    if (!config) return give_up(peer, {describe(config.error()[0]), "correct that here (clusterctl check)"});
    if (files_.contains("mirror_key"))
      files_["known_hosts"] = known_hosts(*config, self_, own_host_keys(), about->host_keys);
    setup::Lines notes = both->notes;
    if (about->version != kVersion)
      notes.push_back(fmt::format("{} has clusterd {}, this node {}: install the same version on both",
                                  about->machine.name, about->version, kVersion));
    if (const std::string note =
            pair::clock_note(about->clock_s - static_cast<int64_t>(::time(nullptr)), about->machine.name);
        !note.empty())
      notes.push_back(note);
    return exchange(peer, notes);
  }

  int exchange(PairTalk& peer, const setup::Lines& notes) {
    auto staged = Staged::stage(globals_.config_dir, files_);
    if (!staged) return give_up(peer, {staged.error(), "make room, or correct the permissions"});
    if (auto said = peer.say(pair::encoded(files_)); !said) return broken(said.error().message);
    const auto answer = peer.hear();
    if (!answer) return broken(answer.error().message);
    if (const auto trouble = pair::trouble_from(*answer))
      return complain(fmt::format("{}: {}\n  {}\n  then:  clusterctl pair", peer.peer_name(), trouble->text,
                                  trouble->remedy),
                      kExitFailed);
    if (!pair::is(pair::Word::kStaged, *answer))
      return broken("the other node's clusterctl is of another version");
    if (auto kept = staged->keep(); !kept) return give_up(peer, {kept.error(), "correct the permissions"});
    if (files_.contains("mirror_key.pub")) {
      if (const std::string why = authorise(files_.at("mirror_key.pub")); !why.empty())
        line("warning: mirrors will not get here: " + why);
    }
    static_cast<void>(peer.say(pair::encoded(pair::Word::kKeep)));
    const auto last = peer.hear();
    if (!last || !pair::is(pair::Word::kKept, *last))
      return broken("it is not known whether the other node has kept the files");
    for (const std::string& note : notes) line("note: " + note);
    line(fmt::format("{} and {} are one cluster. Fingerprint, the same on both: {}", self_, peer.peer_name(),
                     pair::fingerprint(files_)));
    return start_daemon(flags_.start);
  }

  const Globals& globals_;
  const PairingFlags& flags_;
  std::string self_;
  ConfigTexts files_;
  setup::Machine machine_;
  std::string code_;
  int wrong_ = 0;
};

// What the files refer to and nobody has made yet: after an import, or by hand. An empty text: all is there.
std::string make_keys(const std::string& dir, ConfigTexts& files) {
  if (!files.contains("secret.key")) {
    if (const auto made = write_new_secret(dir + "/secret.key"); !made) return made.error();
  }
  const bool wanted = files.at("cluster.toml").find(dir + "/mirror_key") != std::string::npos;
  if (wanted && !make_mirror_key(dir))
    return "ssh-keygen could not make a key for mirrors:  apt install openssh-client; or remove [ssh] from "
           "cluster.toml";
  auto all = read_folder(dir);
  if (!all) return all.error();
  files = std::move(*all);
  return "";
}

}  // namespace

int wait_for_peer(const Globals& globals, const PairingFlags& flags) {
  if (const int code = refuse_others("pair"); code != kExitOk) return code;
  auto files = read_folder(globals.config_dir);
  if (!files) return complain(files.error(), kExitFailed);
  if (!files->contains("cluster.toml"))
    return complain(globals.config_dir + "/cluster.toml does not exist: begin with `clusterctl init --write`",
                    kExitFailed);
  if (const std::string why = make_keys(globals.config_dir, *files); !why.empty())
    return complain(why, kExitFailed);
  const auto machine = look_at_machine();
  if (!machine) return complain(machine.error().message, kExitFailed);
  return Waiting(globals, flags, globals.node.empty() ? machine->name : globals.node, std::move(*files),
                 *machine)
      .run();
}

int start_daemon(bool wanted) {
  const char* by_hand = "start it on both nodes:  systemctl enable --now clusterd";
  if (!wanted || !program_exists("systemctl")) {
    print(std::string(by_hand) + "\n");
    return kExitOk;
  }
  if (run_program({"systemctl", "enable", "clusterd"}, true).code != 0 ||
      run_program({"systemctl", "restart", "clusterd"}, true).code != 0)
    return complain(
        "the nodes are paired, but clusterd does not start; why:  journalctl -u clusterd -n 50\n  " +
            std::string(by_hand),
        kExitFailed);
  print("clusterd runs, also after the next boot. Look at it:  clusterctl status\n");
  return kExitOk;
}

int refuse_others(const std::string& verb) {
  if (::geteuid() == 0) return kExitOk;
  return complain(
      fmt::format("{} changes /etc/cluster.d and has to be run by root:  sudo clusterctl {} …", verb, verb),
      kExitNotAllowed);
}

}  // namespace clusterd::ctl
