// The entry that libFuzzer calls; compiled once per target with CLUSTERD_FUZZ_TARGET = fuzz_NAME.
#include <cstddef>

#include "targets.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  clusterd::fuzz::CLUSTERD_FUZZ_TARGET({data, size});
  return 0;
}
