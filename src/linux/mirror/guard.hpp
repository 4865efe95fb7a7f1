// A folder that is read-only for everybody: the system calls of the guard (docs/decisions/0013-guard.md).
//
// A guard is a bind mount of the folder onto itself with the flag "read-only" of the mount, made as a
// detached copy that has the flag before anybody sees it: so nobody can stand in its way by having a file
// open for writing. Who has one open, or works in a folder below, goes on as before (`writers_from_before`).
// It is lifted by taking the flag back, which never fails, and then the mount away, so that nothing that
// starts later works in it: names can be moved over its border, and files be replaced, as ever.
//
// The mirror itself writes through a view of its own (`see_writable`): a mount namespace in which writable
// copies of the folders lie on top, whatever is mounted or unmounted below them meanwhile.
//
// Threading: functions without state; `prepare_guard` and `writers_from_before` may wait for a disk, the
// others do not.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "linux/mirror/files.hpp"

namespace clusterd {

// What has to be found out before a folder can be guarded.
struct GuardPlan {
  bool absent = false;       // no folder is there (yet)
  Fd folder;                 // as it was found
  Fd copy;                   // detached and read-only; none if the folder is guarded already
  std::string half_guarded;  // it is guarded, and what is mounted below it could not be made read-only: why
};
[[nodiscard]] Result<GuardPlan> prepare_guard(const std::string& folder);
// Puts it in place. The descriptor of the mount, by which it is lifted.
[[nodiscard]] Result<Fd> set_guard(GuardPlan plan);

// The guard that lies on top at this place, whoever has set it; none if there is none.
[[nodiscard]] std::optional<Fd> find_guard(const std::string& folder);
// Writable again, and gone but for one case: what was mounted below the folder since it was guarded would
// vanish with it, so then the mount stays, writable. What could not be done.
Result<void> lift_guard(const Fd& mount);

// Programs that can still write below the guarded folder, in words, some of them; "" if there is none. Only
// those are seen that have a file open for writing or work in a folder there, in this mount namespace.
[[nodiscard]] std::string writers_from_before(const std::string& folder);

// From now on this thread, and what it starts, see the folders writable, and guards that are set or lifted
// elsewhere change nothing of that. Folders that are not there are left alone. To be called once.
[[nodiscard]] Result<void> see_writable(const std::vector<std::string>& folders);

}  // namespace clusterd
