#include "linux/mirror/live/accept.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "linux/mirror/entrance.hpp"
#include "linux/mirror/live/holder.hpp"
#include "linux/mirror/live/tls_channel.hpp"
#include "linux/mirror/target.hpp"
#include "linux/net/secret.hpp"
#include "mirror/escape.hpp"
#include "mirror/live_hello.hpp"

namespace clusterd {
namespace {

using mirror::Answer;
using mirror::Hello;

int complain(const std::string& what) {
  std::fprintf(stderr, "<4>live mirror: %s\n", what.c_str());
  return kExitFailed;
}

Result<std::unique_ptr<Channel>> shake_hands(const Config& config) {
  auto secret = read_secret(config.secret_file);
  if (!secret) return tl::unexpected(secret.error());
  const TlsKey key =
      derive_tls_key(*secret, config.cluster, config.node(config.peer()).name, config.node(config.self).name);
  auto session = TlsSession::start(Fd(kConnectionDescriptor), TlsSide::kTarget, key, kUnknownLimit);
  if (!session) return tl::unexpected(session.error());
  return tls_channel(std::move(*session), {});
}

// What makes no sense to ask the daemon about. Empty: nothing.
std::string mismatch(const Config& config, const Hello& hello) {
  if (hello.cluster != config.cluster || hello.from != config.node(config.peer()).name ||
      hello.to != config.node(config.self).name) {
    return fmt::format("{} of the cluster {} wants to speak with {}, but this is {} of {}",
                       mirror::escape(hello.from), mirror::escape(hello.cluster), mirror::escape(hello.to),
                       config.node(config.self).name, config.cluster);
  }
  auto place = find_place(config, {hello.service, hello.mirror, hello.epoch, "", false});
  if (!place) return place.error().message;
  if (!place->mirror->live)
    return fmt::format("mirror {} of {} is not live here", hello.mirror, hello.service);
  if (mirror::hash_of(*place->mirror) != hello.what) {
    return fmt::format("mirror {} of {} has other paths or excludes on this node", hello.mirror,
                       hello.service);
  }
  if (place->mirror->ids != hello.ids) {
    const bool names = hello.ids == Ids::kName;
    return fmt::format("mirror {} of {} carries owners by {} there, and by {} on this node", hello.mirror,
                       hello.service, names ? "name" : "number", names ? "number" : "name");
  }
  return "";
}

int turn_away(Channel& channel, Answer::Verdict verdict, int code, const std::string& reason) {
  std::fprintf(stderr, "<5>live mirror: refused: %s\n", reason.c_str());
  (void)channel.send(mirror::encode(Answer{verdict, reason}));
  channel.close();
  return code;
}

}  // namespace

int accept_live(const Config& config, const MirrorPaths& paths, const ServeLive& serve_live) {
  ::alarm(static_cast<unsigned>(2 * kUnknownLimit.count()));  // whatever happens
  auto opened = shake_hands(config);
  if (!opened) return complain(opened.error().message);
  Channel& channel = **opened;
  auto message = channel.receive();
  if (!message) return complain(message.error().message);
  if (!*message) return 0;  // somebody who only looked whether this link works
  auto hello = mirror::decode_hello(**message);
  if (!hello) return turn_away(channel, Answer::Verdict::kRefused, kExitRefused, hello.error().message);
  ::alarm(0);
  live::say_known(kServerDescriptor);
  if (const auto why = mismatch(config, *hello); !why.empty()) {
    return turn_away(channel, Answer::Verdict::kRefused, kExitRefused, why);
  }
  const auto entrance = enter(config, paths, {hello->service, hello->mirror, hello->epoch, "", false}, true);
  if (!entrance) {
    const int code = entrance.error().code;
    const auto verdict = code == kExitRefused ? Answer::Verdict::kRefused
                         : code == kExitBusy  ? Answer::Verdict::kBusy
                                              : Answer::Verdict::kFailed;
    return turn_away(channel, verdict, code, entrance.error().reason);
  }
  if (auto ok = channel.send(mirror::encode(Answer{Answer::Verdict::kWelcome, ""})); !ok) {
    return complain(ok.error().message);
  }
  live::Holder holder(kServerDescriptor, hello->service, hello->mirror);
  const LiveTargetSetup setup{
      *entrance->place.service, *entrance->place.mirror, paths, Epoch{hello->epoch}, hello->from, &holder};
  const int code = serve_live(channel, setup);
  channel.close();
  return code;
}

}  // namespace clusterd
