// What a service needs, as it is on this machine. Blocks; not thread-safe.
//
// Contents are read of what has changed since the last look only: a digest is kept by device, inode, size and
// both times of a file, unless the file was changed within the last moments, which times may not tell apart.
#pragma once

#include <sys/stat.h>

#include <map>
#include <string>

#include "alike/list.hpp"
#include "linux/alike/owners_in_trees.hpp"
#include "linux/alike/systemd_files.hpp"
#include "linux/always/place.hpp"
#include "linux/ids/id_files.hpp"

namespace clusterd::alike {

class Look {
 public:
  explicit Look(std::string ids_dir = "/etc") : ids_(std::move(ids_dir)) {}
  virtual ~Look() = default;
  Look(const Look&) = delete;
  Look& operator=(const Look&) = delete;

  // By the service's name. What exceeds all bounds stands as opaque, with the reason.
  [[nodiscard]] Word at(const std::map<std::string, Wanted>& wanted);

  [[nodiscard]] uint64_t bytes_read() const { return bytes_read_; }  // in all looks

 protected:
  // As SystemdFiles; kRetry where there is no systemd.
  [[nodiscard]] virtual Result<UnitFiles> unit_files(const std::string& unit);

 private:
  struct Room {  // that is left for all services together
    size_t items = kMaxItems;
    size_t name_bytes = 0;
    uint64_t bytes = 0;
  };
  using Identity = std::pair<dev_t, ino_t>;
  struct Known {
    always::Signature signature;
    int64_t ctime_ns = 0;
    std::string digest;
  };

  [[nodiscard]] Numbers numbers();
  void add_unit(const std::string& unit, Items& items);
  void add(What what, const std::string& path, Items& items);
  void add_listed(const std::string& listed, Items& items);
  // Empty: it was; else why not.
  std::string walk(int folder, const std::string& path, dev_t device, int depth, Items& items);
  void put(const std::string& name, What what, always::Entry entry, Items& items);
  [[nodiscard]] bool full_up() const;
  [[nodiscard]] always::Entry entry(int folder, const std::string& name, bool follow, struct stat& info);
  [[nodiscard]] std::string digest(int folder, const std::string& name, bool follow, always::Entry& entry);

  SystemdFiles systemd_;
  always::Owners owners_;
  IdFiles ids_;
  std::map<std::string, OwnersInTrees> in_trees_;  // by service
  Room room_;
  std::map<Identity, Known> last_, now_;
  std::map<std::string, UnitFiles> units_;  // as systemd last said
  uint64_t bytes_read_ = 0;
};

}  // namespace clusterd::alike
