// What has to be done so that a directory of the target becomes what it is at the source.
//
// The names of one directory on both sides, in tree order. An entry that has changed on neither side since
// the agreement is equal if its attributes are. If one has, its attributes and traits speak, and for a file
// its size and time; where these say nothing, its contents are compared by their hash.
#pragma once

#include <string>
#include <vector>

#include "mirror/live/frames.hpp"

namespace clusterd::mirror::live {

struct SourceName {
  std::string name;
  Status status;
  bool changed = false;
  std::string leader;  // the first path of the same file, if this is another name of it
};

struct Step {
  enum class Kind {
    kEqual,       // nothing to do
    kMake,        // make it, or give it its attributes: anything but a file
    kSplit,       // the same, of what is another name of something at the target alone
    kAttributes,  // of a file, whose contents are right if size and time are
    kHash,        // of a file, whose contents are right if their hash is
    kContents,    // send the file
    kLink,        // make it another name of its leader
    kRemove,      // the target alone has it
  } kind = Kind::kEqual;
  std::string name;
};

[[nodiscard]] std::vector<Step> plan_directory(const std::vector<SourceName>& source,
                                               const std::vector<Listed>& target);

}  // namespace clusterd::mirror::live
