// Errors as values. `Code` says what the caller may conclude, not what went wrong: that is the message,
// which names the thing, the cause and, where there is one, the remedy.
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace clusterd {

enum class Code {
  kRetry,      // nothing happened; the same call may work later
  kRefused,    // nothing happened, and the same call will not work
  kUncertain,  // it may or may not have happened
  kCorrupt,    // what was read cannot be trusted
  kConfig,     // the administrator has to change something
};

struct Error {
  Code code = Code::kRefused;
  std::string message;
};

template <class T>
using Result = tl::expected<T, Error>;

[[nodiscard]] inline tl::unexpected<Error> fail(Code code, std::string message) {
  return tl::unexpected<Error>(Error{code, std::move(message)});
}

}  // namespace clusterd
