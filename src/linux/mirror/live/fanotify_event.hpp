// What the kernel says in one fanotify event, with handles and names as they are in it: nothing is opened.
#pragma once

#include <cstdint>
#include <string>

namespace clusterd::live {

// A directory's handle and a name in it.
struct Within {
  std::string handle;  // with its type in front
  std::string name;
};

struct Raw {
  uint64_t mask = 0;
  Within one, two;  // two: where a rename leads to
  std::string object;
};

// Takes in the records that follow an event's head, up to the first one that is malformed.
void read_info(const char* at, const char* end, Raw& raw);

}  // namespace clusterd::live
