// A walk merged with the agreement: what each node does for a compare.
#pragma once

#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "linux/mirror/live/agreement_store.hpp"
#include "linux/mirror/live/walk.hpp"
#include "mirror/live/digest.hpp"

namespace clusterd::live {

// The first name, in the order of the walk, of each file that has several.
class LinkLeaders {
 public:
  // "" for the first name itself.
  const std::string& leader(const Status& status, std::string_view path);

 private:
  struct Key {
    uint64_t device, inode;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key& k) const { return k.inode * 0x9e3779b97f4a7c15ULL ^ k.device; }
  };
  std::unordered_map<Key, std::string, KeyHash> first_;
};

struct CompareVisitor {
  // `agreed`: the record, if there is one. `changed`: it does not say what is here. Every entry once, in tree
  // order.
  std::function<void(std::string_view path, std::string_view folder, const Status& status,
                     const mirror::Entry* agreed, bool changed)>
      entry;
  // What goes into the digests, in the other side's numbers; none: as it is.
  std::function<void(Status& status)> as_told;
  std::function<void(const mirror::Entry& agreed)> vanished;  // agreed on, and not here any more
  // Directories as they are finished; "" at the end.
  std::function<Result<void>(std::string_view path, const mirror::live::Hash& digest)> folder;
};

// kCorrupt: the manifest is damaged. `doubt_links`: a file with several names is as one that has changed,
// since not all of them need lie in the scopes.
Result<void> walk_for_compare(const Anchors& anchors, const std::vector<std::string>& scopes,
                              const std::vector<std::string>& exclude, AgreementStore& store, uint64_t seed,
                              const CompareVisitor& visitor, bool doubt_links = false);

// Sorted in tree order; none within another.
[[nodiscard]] std::vector<std::string> distinct_scopes(std::vector<std::string> scopes);

}  // namespace clusterd::live
