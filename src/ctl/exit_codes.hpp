// Exit codes of clusterctl, as its --help and docs/operations.md document them.
#pragma once

namespace clusterd::ctl {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;       // refused or failed
inline constexpr int kExitUsage = 2;        // wrong arguments
inline constexpr int kExitUnreachable = 3;  // the daemon is not reachable
inline constexpr int kExitHuman = 4;        // something needs a human (check, status --exit-code)
inline constexpr int kExitNotAllowed = 77;  // this user may not ask for it (EX_NOPERM)
inline constexpr int kExitConfig = 78;      // the configuration has errors

}  // namespace clusterd::ctl
