// Messages over a Unix socket that keeps their bounds (SOCK_SEQPACKET), each with a descriptor at most.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "linux/fd.hpp"

namespace clusterd {

struct DescriptorMessage {
  std::string text;  // not empty
  Fd file;           // invalid: it came without one
};

// `file` stays the caller's; -1: none. `flags` as of sendmsg; a broken connection raises no signal.
[[nodiscard]] bool send_message(int socket, std::string_view text, int file, int flags = 0);

// `flags` as of recvmsg. nullopt: the other end has gone, nothing is there (MSG_DONTWAIT), or what it said is
// longer than `most` bytes, or has more descriptors than one.
[[nodiscard]] std::optional<DescriptorMessage> receive_message(int socket, size_t most, int flags = 0);

}  // namespace clusterd
