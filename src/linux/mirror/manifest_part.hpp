// Parts of a manifest, found without reading the rest: its entries are in tree order.
//
// Whether the manifest is whole does not show here (manifest.hpp, "end"); whoever needs that reads all of it.
// Threading: one thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "linux/fd.hpp"
#include "mirror/manifest.hpp"

namespace clusterd {

class ManifestPart {
 public:
  // `paths`: in tree order, none within another; what is at them and below them is read. nullptr: there is no
  // manifest. kCorrupt: it is none.
  static Result<std::unique_ptr<ManifestPart>> open(const std::string& manifest,
                                                    std::vector<std::string> paths);
  [[nodiscard]] const mirror::ManifestHeader& header() const { return header_; }
  Result<std::optional<mirror::Entry>> next();

 private:
  struct Line {
    uint64_t begin = 0;
    std::string text;  // without its newline
  };
  Result<void> find_entries();
  Result<void> seek(const std::string& path);
  // nullopt: the end of the file. `chunk`: how much is likely to be wanted of what follows.
  Result<std::optional<Line>> line_at(uint64_t offset, size_t chunk);
  Result<std::optional<Line>> line_after(uint64_t offset);  // the first that begins behind it
  Result<void> load(uint64_t offset, size_t chunk);

  Fd file_;
  std::string name_;
  mirror::ManifestHeader header_;
  uint64_t size_ = 0, at_ = 0;  // at_: where the next entry begins
  std::vector<std::string> paths_;
  size_t path_ = 0;
  bool placed_ = false;  // at_ is not before the first entry of this path
  std::string buffer_;
  uint64_t buffer_at_ = 0;
};

}  // namespace clusterd
