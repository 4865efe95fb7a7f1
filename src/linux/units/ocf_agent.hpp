// One call of an OCF resource agent: the API 1.0 and 1.1 of the Open Cluster Framework, as the Debian package
// resource-agents speaks it.
//
//   program      $OCF_ROOT/resource.d/PROVIDER/TYPE ACTION, with OCF_ROOT = /usr/lib/ocf unless the daemon's
//                environment says otherwise
//   environment  nothing of the daemon's: PATH, HOME and LANG; OCF_ROOT, OCF_RA_VERSION_*, OCF_RESOURCE_*,
//                OCF_RESKEY_name for each parameter; OCF_CHECK_LEVEL for a deeper monitor; and what Pacemaker
//                tells besides, for agents look at it: OCF_RESKEY_CRM_meta_timeout, _interval and _name
//   exit         OcfCode; anything else is an error
//   stderr       "ocf-exit-reason:" before what a person should know
//
// The instance's name is SERVICE.UNIT, which no other unit has: agents make names of files from it.
// Output is bounded: that of start and stop goes to a file (what they leave running may write on after the
// daemon has gone), that of all else through a pipe, of which the end is kept.
#pragma once

#include <string>
#include <string_view>

#include "core/config.hpp"
#include "linux/units/process.hpp"

namespace clusterd {

enum class OcfCode : int {
  kSuccess = 0,
  kError = 1,           // of any other kind
  kArguments = 2,       // a parameter is wrong, on this node at least
  kUnimplemented = 3,   // the agent does not have this action
  kPermission = 4,      // the agent may not do it
  kNotInstalled = 5,    // the agent's program is missing on this node
  kConfigured = 6,      // a parameter is wrong, on whichever node
  kNotRunning = 7,      // stopped, and cleanly so
  kPromoted = 8,        // runs, in its promoted role
  kFailedPromoted = 9,  // has failed in its promoted role
  kDegraded = 190,      // success; but it may fail soon
  kDegradedPromoted = 191,
};

// What a call of `start`, `stop` or `monitor` comes to.
enum class OcfMeaning {
  kGood,        // done, or runs
  kWarning,     // the same, with a warning
  kNotRunning,  //
  kNotHere,     // trying again on this node is no use
  kNowhere,     // nor is it on the other node
  kFailed,      // may work at the next try
  kUnknown,     // no answer: a time limit, a signal, or it could not be executed
};

struct OcfCall {
  std::string action;
  Duration timeout{};   // what the agent is told of how long it may take
  Duration interval{};  // of a repeated monitor; zero for a first look
  unsigned depth = 0;   // of a monitor
};

[[nodiscard]] std::string ocf_path(const OcfConfig& config);
// Why the agent cannot be called here, with the remedy; empty where it can.
[[nodiscard]] std::string ocf_obstacle(const OcfConfig& config);
// Ready for run_child but for `timeout` and `output_file`, which are the caller's.
[[nodiscard]] ChildSpec ocf_command(const OcfConfig& config, const std::string& service,
                                    const std::string& unit, const OcfCall& call);

[[nodiscard]] OcfMeaning ocf_meaning(const ChildResult& result);
// For people: "exit code 6 (wrong configuration): no such database". The agent's own reason where it gave
// one, and the last error that it logged where that says something else; else the last line that it wrote.
[[nodiscard]] std::string ocf_text(const ChildResult& result);
// The last "ocf-exit-reason:" of the output, bounded and without control characters; empty if there is none.
[[nodiscard]] std::string ocf_reason(std::string_view output);

}  // namespace clusterd
