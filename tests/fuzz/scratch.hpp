// A folder in memory for targets whose production code reads files. One per process; gone with it.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "targets.hpp"

namespace clusterd::fuzz {

class Scratch {
 public:
  Scratch() {
    std::error_code ignored;
    const bool memory = std::filesystem::is_directory("/dev/shm", ignored);
    std::string pattern = (memory ? "/dev/shm" : std::filesystem::temp_directory_path().string()) +
                          std::string("/clusterd-fuzz-XXXXXX");
    require(mkdtemp(pattern.data()) != nullptr, "a folder for files");
    path_ = pattern;
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  void write(const std::string& name, std::string_view content) const {
    const std::string file = path_ + "/" + name;
    std::ofstream(file, std::ios::binary | std::ios::trunc) << content;
  }

 private:
  std::string path_;
};

}  // namespace clusterd::fuzz
