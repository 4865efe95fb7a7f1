// The port StateStore: what a node must still know after a crash, in <state_dir>/state.json.
//
// The file is one JSON object: {"format":1,"checksum":"<BLAKE2b-256 of the body's text, in hex>","body":{…}}
// followed by a newline. The checksum covers the very bytes of the body, and the whole file must be what this
// code writes: anything else is damage. Services and hosts are keyed by name, and entries of services that
// are not configured any more are kept (up to a limit), so that a service that comes back finds its epochs.
//
// Writing: a helper thread writes a temporary file, fsyncs it, renames it and fsyncs the folder. Calls may
// overlap: only the newest state is written, and `Persisted` comes for each call, in order of the versions,
// when a state at least as new is on the disk, or with ok = false when that failed. A failed write changes
// nothing that was there.
//
// Loading: a missing or damaged file gives a fresh state, as if all had been lost. That is safe (S6: the node
// waits for its peer), while an older copy would not be: its epochs could be too low. So there is no fallback
// to an earlier generation. A damaged file is kept aside as state.json.damaged-<n>.
#pragma once

#include <memory>
#include <string>

#include "base/result.hpp"
#include "linux/event_loop.hpp"
#include "ports/ports.hpp"

namespace clusterd {

class FileStateStore : public StateStore {
 public:
  FileStateStore(EventLoop& loop, const Config& config, const std::string& state_dir, EventSink sink);
  ~FileStateStore() override;  // waits for the write under way; what is queued behind it is written too
  FileStateStore(const FileStateStore&) = delete;
  FileStateStore& operator=(const FileStateStore&) = delete;

  struct Loaded {
    PersistedState state;       // sized to the configuration
    bool host_rebooted = true;  // the kernel was booted since the state was written, or that cannot be said
    std::string warning;        // for the log and the administrator; empty if all is well
  };
  // Once, before the first persist, on the reactor's thread (it reads a small file). Fails (kConfig) only if
  // the folder cannot be used at all.
  [[nodiscard]] Result<Loaded> load();

  void persist(uint64_t version, const PersistedState& state) override;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace clusterd
