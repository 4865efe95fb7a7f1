// The folder of a backup set comes and goes as a whole: it is made, and removed, under a name that no set
// has, so that a crash leaves either a set that says what it is, or nothing that is taken for one. What it
// does leave is removed by the next one of either function.
//
//   .new-MAKER   is being made; one maker at a time (a mirror, under its lock; or a restore)
//   .old-NAME    is being removed
#pragma once

#include <string>

#include "linux/mirror/backup_store.hpp"

namespace clusterd {

// With the set's description in it, durably. `maker`: "data", or "restore".
[[nodiscard]] Result<void> make_set(const SetPlace& place, const BackupSet& set, const std::string& maker);

[[nodiscard]] Result<void> remove_set(const SetPlace& place);

}  // namespace clusterd
