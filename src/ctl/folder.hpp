// /etc/cluster.d as a whole: read, and changed so that it is never half of the old and half of the new.
#pragma once

#include <string>
#include <tl/expected.hpp>

#include "config/load.hpp"

namespace clusterd::ctl {

// Every file that belongs to the cluster (pair::is_cluster_file), with its content. What is not there is left
// out.
[[nodiscard]] tl::expected<ConfigTexts, std::string> read_folder(const std::string& dir);

// New contents that lie beside their places until `keep` puts them there. Without it they vanish again.
class Staged {
 public:
  // Makes the folder where it is missing. Private files get mode 0600, others keep theirs.
  [[nodiscard]] static tl::expected<Staged, std::string> stage(const std::string& dir,
                                                               const ConfigTexts& files);
  Staged(Staged&&) = default;
  Staged& operator=(Staged&&) = delete;
  ~Staged();
  [[nodiscard]] tl::expected<void, std::string> keep();

 private:
  explicit Staged(std::string dir) : dir_(std::move(dir)) {}
  std::string dir_;
  std::vector<std::string> names_;
};

// Services' files that are not among `files` are renamed to NAME.toml.bak, which nothing reads.
[[nodiscard]] std::vector<std::string> put_aside_others(const std::string& dir, const ConfigTexts& files);

// The part of `files` that the loader reads, judged for this node.
[[nodiscard]] tl::expected<Config, std::vector<ConfigProblem>> judge(
    const ConfigTexts& files, const std::string& dir, const std::string& self,
    std::vector<ConfigProblem>* warnings = nullptr);

}  // namespace clusterd::ctl
