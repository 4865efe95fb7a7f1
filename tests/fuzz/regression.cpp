// test_fuzz TARGET FILE-OR-FOLDER…: feeds each file to the target, once. The ordinary build's way to keep
// what fuzzing has found from coming back.
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "targets.hpp"

namespace {

using clusterd::fuzz::Bytes;
namespace fs = std::filesystem;

struct Target {
  const char* name;
  void (*run)(Bytes);
};

constexpr Target kTargets[] = {
#define CLUSTERD_FUZZ_ROW(name) {#name, clusterd::fuzz::fuzz_##name},
    CLUSTERD_FUZZ_TARGETS(CLUSTERD_FUZZ_ROW)
#undef CLUSTERD_FUZZ_ROW
};

std::vector<fs::path> files_of(const std::vector<fs::path>& paths) {
  std::vector<fs::path> files;
  for (const fs::path& path : paths) {
    if (!fs::is_directory(path)) {
      files.push_back(path);
      continue;
    }
    for (const auto& entry : fs::directory_iterator(path)) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

int main(int argc, char** argv) {
  const auto* target = std::find_if(std::begin(kTargets), std::end(kTargets), [&](const Target& t) {
    return argc > 2 && !std::strcmp(t.name, argv[1]);
  });
  if (target == std::end(kTargets)) {
    std::fprintf(stderr, "usage: test_fuzz TARGET FILE-OR-FOLDER...\n");
    return 2;
  }
  const auto files = files_of({argv + 2, argv + argc});
  for (const fs::path& file : files) {
    std::ifstream stream(file, std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(stream), {}};
    if (!stream) {
      std::fprintf(stderr, "test_fuzz: cannot read %s\n", file.c_str());
      return 1;
    }
    std::fprintf(stderr, "%s\n", file.c_str());  // the last line before a crash names the input
    target->run({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  }
  // A corpus that was not found must not pass for one that holds.
  std::fprintf(stderr, "%zu inputs\n", files.size());
  return files.empty() ? 1 : 0;
}
