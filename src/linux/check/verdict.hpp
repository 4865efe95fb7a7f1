// What one question of clusterd-check came to.
#pragma once

#include <string>

namespace clusterd {

struct Verdict {
  bool good = false;
  std::string text;  // for people: what was found, or what is wrong
};

}  // namespace clusterd
