// The ssh keys that mirrors need (docs/mirror.md), so that nobody has to exchange them by hand.
#pragma once

#include <string>
#include <vector>

#include "config/load.hpp"

namespace clusterd::ctl {

// Makes DIR/mirror_key and DIR/mirror_key.pub unless they are there. False: ssh-keygen is missing or failed.
[[nodiscard]] bool make_mirror_key(const std::string& dir);

// This host's public keys, "ssh-ed25519 AAAA…", from /etc/ssh.
[[nodiscard]] std::vector<std::string> own_host_keys();

// The lines of known_hosts for both nodes, by the addresses of their links.
[[nodiscard]] std::string known_hosts(const Config& config, const std::string& self,
                                      const std::vector<std::string>& own,
                                      const std::vector<std::string>& theirs);

// Lets the holder of the key run clusterd-mirror's receiving end here, and nothing else. Adds one line to
// root's authorized_keys; twice is once. An empty text: done; otherwise what went wrong.
[[nodiscard]] std::string authorise(const std::string& public_key);

}  // namespace clusterd::ctl
