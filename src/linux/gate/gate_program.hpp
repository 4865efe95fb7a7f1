// The gate's program and maps in the kernel, without any notion of a configuration: slots, addresses, NICs.
// Used by BpfGate and by its self-test.
//
// Threading: one thread; `attach` and `detach` act in the calling thread's network namespace.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "base/result.hpp"

namespace clusterd {

class GateProgram {
 public:
  static constexpr uint32_t kSlots = 64;

  // With `pin_dir` (an existing folder on a bpffs) the maps found there are used, and new ones are pinned
  // there. Empty: the maps live as long as this object and the filters.
  static Result<std::unique_ptr<GateProgram>> load(const std::string& pin_dir);
  ~GateProgram();
  GateProgram(const GateProgram&) = delete;
  GateProgram& operator=(const GateProgram&) = delete;

  // Puts both filters on the NIC, or replaces those of a predecessor atomically. kRetry: no such NIC.
  Result<void> attach(const std::string& nic);
  // Whether this very program is on the NIC, in both directions.
  [[nodiscard]] bool attached(const std::string& nic) const;
  // Takes the gate off the NIC, whoever attached it. The clsact qdisc stays: others may use it.
  static void detach(const std::string& nic);

  void set_deadline(uint32_t slot, uint64_t boottime_ns);
  [[nodiscard]] uint64_t deadline(uint32_t slot) const;

  struct Entry {
    IpAddress address;
    uint32_t slot = 0;
  };
  [[nodiscard]] std::vector<Entry> addresses() const;
  Result<void> put_address(const IpAddress& address, uint32_t slot);
  void erase_address(const IpAddress& address);

  // The name that owns the slot; empty = free. Names over 63 bytes are shortened by the caller.
  [[nodiscard]] std::string name(uint32_t slot) const;
  Result<void> set_name(uint32_t slot, const std::string& name);

  struct Counts {
    uint64_t passed = 0, dropped = 0;
  };
  [[nodiscard]] Counts counts(uint32_t slot) const;

 private:
  class Impl;
  explicit GateProgram(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Makes `dir` exist on a bpffs; mounts one on /sys/fs/bpf if that is where `dir` lies and nothing is mounted.
Result<void> prepare_pin_dir(const std::string& dir);

// What the kernel's refusal to load or attach means, in plain words.
[[nodiscard]] std::string explain_bpf_error(int error);

}  // namespace clusterd
