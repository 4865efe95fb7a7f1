// What a stranger, or a peer that knows the code, may say in a pairing. The first byte chooses where it is
// said.
#include "pair/code.hpp"
#include "pair/handover.hpp"
#include "pair/handshake.hpp"
#include "pair/sealed.hpp"
#include "targets.hpp"

namespace clusterd::fuzz {

namespace {

// Frames with a length of one byte each, to a node in either role. Nobody gets through without the code.
void handshake(Feed& feed) {
  pair::Random random;
  random.nonce.fill(1);
  random.scalar.fill(2);
  const pair::Role role = feed.coin() ? pair::Role::kJoining : pair::Role::kWaiting;
  pair::Handshake node(role, "7K4MQ9XR", "serv1", random);
  for (int i = 0; i < 8 && !feed.empty(); ++i) {
    const pair::Step step = node.take(feed.text(feed.byte()));
    require(!step.done, "nobody gets through without the code");
    require(step.send.size() <= pair::kMaxHandshakeFrame, "answers are short");
  }
}

void handover(const std::string& message) {
  if (const auto about = pair::about_from(message)) {
    require(about->machine.nics.size() <= setup::kMaxNics, "NICs are bounded");
    const auto again = pair::about_from(pair::encoded(*about));
    require(again && again->host_keys == about->host_keys && again->machine.name == about->machine.name,
            "what was taken is taken again");
    for (const std::string& key : about->host_keys)
      require(key.find('\n') == std::string::npos, "one line of known_hosts each");
    static_cast<void>(
        setup::joined("[node.serv1]\nservice = { nic = \"eth0\", address = \"192.168.1.11/24\" }\n", "serv1",
                      about->machine));
  }
  if (const auto files = pair::files_from(message)) {
    for (const auto& [name, text] : *files) {
      require(pair::is_cluster_file(name) && name.find("..") == std::string::npos, "only what belongs there");
      require(text.size() <= kMaxConfigFileBytes, "files are bounded");
    }
    require(pair::files_from(pair::encoded(*files)) == files, "what was taken is taken again");
  }
  if (const auto trouble = pair::trouble_from(message))
    require(trouble->text.find('\x1b') == std::string::npos, "nothing reaches the terminal");
}

}  // namespace

void fuzz_pairing(Bytes input) {
  Feed feed(input);
  switch (feed.below(4)) {
    case 0:
      return handshake(feed);
    case 1:
      return handover(feed.text(1U << 16U));
    case 2: {
      pair::Sealed sealed(pair::SessionKey{}, pair::Role::kWaiting);
      if (sealed.take_header(feed.text(24))) static_cast<void>(sealed.open(feed.text(1U << 16U)));
      return;
    }
    default: {
      const auto code = pair::typed(feed.text(64));
      if (code) require(pair::typed(pair::shown(*code)) == code, "a code that is shown can be typed");
    }
  }
}

}  // namespace clusterd::fuzz
