// Versions of the configuration on disk: STATE_DIR/config/record.json, STATE_DIR/config/N/ with the files of
// version N, and putting such files in place in /etc/cluster.d.
//
// The daemon and clusterd-config both change the record, each under a lock that it holds for that moment
// alone. Blocks: for the start of the daemon, and for clusterd-config.
#pragma once

#include <functional>
#include <string>

#include "base/result.hpp"
#include "versions/record.hpp"

namespace clusterd {

class VersionStore {
 public:
  VersionStore(const std::string& state_dir, std::string config_dir)
      : folder_(state_dir + "/config"), config_dir_(std::move(config_dir)) {}

  // An empty record where there is none, or where it is damaged: that one is kept as record.json.damaged.
  [[nodiscard]] versions::Record load() const;
  // Loads, changes, and has it on disk on return. `edit` returns false to leave all as it was.
  [[nodiscard]] Result<versions::Record> change(const std::function<bool(versions::Record&)>& edit) const;

  [[nodiscard]] Result<void> put(uint64_t number, const ConfigTexts& files) const;
  [[nodiscard]] Result<ConfigTexts> files(uint64_t number) const;
  // What a person has edited and is about to be overwritten: kept as STATE_DIR/config/edited-N.
  [[nodiscard]] Result<void> put_aside(uint64_t number, const ConfigTexts& files) const;
  // Versions that the record does not name any more go.
  void prune(const versions::Record& record) const;

  // What stands in /etc/cluster.d, as a set (versions::set_of).
  [[nodiscard]] Result<ConfigTexts> edited() const;
  // Makes /etc/cluster.d hold just these files beside keys and secrets: services that are not among them
  // become NAME.toml.bak. A crash in between is made good by `finish_placing`.
  [[nodiscard]] Result<void> place(const ConfigTexts& files) const;
  // The same for the version that the record has in place, if that was under way.
  [[nodiscard]] Result<void> finish_placing() const;

  [[nodiscard]] const std::string& config_dir() const { return config_dir_; }

 private:
  [[nodiscard]] Result<void> put_into(const std::string& folder, const ConfigTexts& files) const;
  std::string folder_, config_dir_;
};

}  // namespace clusterd
