// The unit tests of a pure library, with a canary on and with the marks they reach collected.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "base/canary.hpp"
#include "sim/marks.hpp"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (const char* name = std::getenv("CLUSTERD_CANARY")) {
    const auto canary = clusterd::canary_by_name(name);
    if (!canary) {
      std::fprintf(stderr, "%s: no such canary\n", name);
      return 2;
    }
    clusterd::set_canary(*canary);
  }
  const int result = RUN_ALL_TESTS();
  if (const char* file = std::getenv("CLUSTERD_MARKS");
      file != nullptr && !clusterd::sim::append_marks(file)) {
    std::fprintf(stderr, "%s: cannot be written\n", file);
    return 2;
  }
  return result;
}
