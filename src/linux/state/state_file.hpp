// The text of the state file: encoding and strict decoding. Internal to this folder; no disk.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "core/persisted_state.hpp"

namespace clusterd {

inline constexpr size_t kMaxStateBytes = 1 << 20;
inline constexpr size_t kMaxStateEntries = 256;  // services, hosts; configured or not

// The state by names.
struct StateFile {
  std::map<std::string, PersistedService> services;
  std::map<std::string, PersistedHost> hosts;
  PersistedState rest;  // services and hosts empty
  std::string kernel_boot_id;
  bool operator==(const StateFile&) const = default;
};

[[nodiscard]] std::string encode_state(const StateFile& file);
// kCorrupt, with the cause, for whatever encode_state would not have written.
[[nodiscard]] Result<StateFile> decode_state(std::string_view text);

}  // namespace clusterd
