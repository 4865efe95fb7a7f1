// The two ways to ask clusterd-config: the Unix socket of clusterctl, and the other node's connections.
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "keep/answer.hpp"
#include "keep/apply.hpp"
#include "keep/keeper.hpp"
#include "keep/secret_talk.hpp"

namespace clusterd::keep {

namespace {

constexpr int kLookForAddressesMs = 2000;
constexpr int64_t kPortFreeMs = 5000;
constexpr std::chrono::seconds kQuestionLimit{5};

}  // namespace

Result<void> Keeper::listen_locally() {
  const std::string path = socket_path(node_.options().run_dir);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return fail(Code::kConfig, path + ": too long for a socket");
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  ::unlink(path.c_str());
  socket_ = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const mode_t before = ::umask(0177);  // root alone
  const bool bound =
      socket_.get() >= 0 &&
      ::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
      ::listen(socket_.get(), 8) == 0;
  ::umask(before);
  if (!bound) return fail(Code::kRefused, path + ": " + std::strerror(errno));
  return {};
}

void Keeper::answer_local() {
  Fd fd(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (fd.get() < 0) return;
  auto talk = SecretTalk::local(Talk(std::move(fd), "clusterctl"));
  const auto question = talk.hear(kQuestionLimit);
  if (question) static_cast<void>(talk.say(answer_clusterctl(*question)));
}

std::string Keeper::answer_clusterctl(const std::string& question) {
  const auto value = versions::parsed(question);
  if (!value) return answered_refusal("no question that clusterd-config knows");
  const std::string what = what_of(*value);
  if (what == "apply") return apply(node_, apply_from(*value));
  if (auto answer = always_.answer_local(*value)) return *answer;
  if (what == "release-port") {
    port_free_until_ms_ = boottime_ms() + kPortFreeMs;
    return answered_done();
  }
  if (what == "ask-peer" || what == "files-peer") {
    const auto answer = node_.ask_peer(what == "ask-peer" ? asked("ask") : asked_for_files(0));
    return answer ? *answer : answered_refusal(answer.error().message);
  }
  return answer_peer(node_, node_.name(), question);
}

// On every address of this node that the configuration knows: before, during and after a change.
void Keeper::open_ports(std::map<std::string, Listener>& listeners) {
  if (boottime_ms() < port_free_until_ms_) return listeners.clear();
  std::map<std::string, IpAddress> wanted;
  for (const Config& config : node_.known_configs()) {
    for (const LinkConfig& link : config.links) {
      const IpAddress& address = link.ends.at(config.self.at()).address.address;
      wanted.emplace(address.text(), address);
    }
  }
  std::erase_if(listeners, [&](const auto& entry) { return !wanted.contains(entry.first); });
  for (const auto& [text, address] : wanted) {
    if (listeners.contains(text)) continue;
    if (auto listener = Listener::open(address, kPort)) listeners.emplace(text, std::move(*listener));
  }
}

void Keeper::serve() {
  std::map<std::string, Listener> listeners;
  int64_t looked_ms = 0;
  while (true) {
    const bool released = !listeners.empty() && boottime_ms() < port_free_until_ms_;
    if (released || boottime_ms() - looked_ms >= kLookForAddressesMs) {
      open_ports(listeners);
      looked_ms = boottime_ms();
    }
    std::vector<pollfd> pollers;
    std::vector<Listener*> order;
    for (auto& [text, listener] : listeners) {
      pollers.push_back({listener.descriptor(), POLLIN, 0});
      order.push_back(&listener);
    }
    if (::poll(pollers.data(), pollers.size(), 250) <= 0) continue;
    for (size_t i = 0; i < pollers.size(); ++i) {
      if ((pollers[i].revents & POLLIN) == 0) continue;
      if (auto talk = order[i]->accept(TalkClock::now())) answer_caller(std::move(*talk));
    }
  }
}

void Keeper::answer_caller(Talk talk) {
  // With any of the names and secrets that are known: in a change of the cluster's name both hold.
  const auto configs = node_.known_configs();
  if (configs.empty()) return;
  const Config& config = configs.front();
  const auto secret = read_secret(config.secret_file);
  if (!secret) return;
  const std::string caller = config.node(config.peer()).name;
  auto sealed = SecretTalk::answer(std::move(talk), *secret, {config.cluster, caller, node_.name()});
  if (!sealed) return;
  const auto question = sealed->hear(kQuestionLimit);
  if (!question) return;
  const auto value = versions::parsed(*question);
  auto answer = value ? always_.answer_peer(*value) : std::nullopt;
  if (value && !answer) answer = likeness_.answer_peer(*value);
  static_cast<void>(sealed->say(answer ? *answer : answer_peer(node_, caller, *question)));
}

}  // namespace clusterd::keep
