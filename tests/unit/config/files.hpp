// A configuration directory in a temporary folder, with a valid content to start from.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "config/load.hpp"

namespace clusterd::test {

inline constexpr const char* kCluster = R"([cluster]
name = "office"
reference_hosts = ["192.168.1.1", "arp://192.168.1.2", "tcp://10.9.9.9:53"]
profile = "steady"
relay = "auto"
rejoin = "auto"
port = 7410

[timing]
settle = "3s"

[notify]
mail = "root"

[ssh]
user = "root"

[node.serv1]
service = { nic = "eth0", address = "192.168.1.11/24" }
heartbeat = { nic = "eth1", address = "192.168.111.1/24" }
redundant = { nic = "eth2" }

[node.serv2]
service = { nic = "eth0", address = "192.168.1.12/24" }
heartbeat = { nic = "eth1", address = "192.168.111.2/24" }
redundant = { nic = "eth2" }
)";

inline constexpr const char* kWeb = R"(prefer = "serv1"
addresses = ["192.168.1.20/24", "fd00::20/64"]
mac = "virtual"
units = ["nginx.service", { name = "own", start = "/s up", stop = "/s down", status = "/s ask" }]
checks = [{ tcp = "80", every = "1s" }]
failback = "auto"
restarts = { max = 2, within = "5min" }

[[mirror]]
name = "pages"
paths = ["/srv/www/", "/etc/nginx/nginx.conf"]
exclude = ["*.tmp"]
every = "1min"
backups = { keep = "30d", max = "10GiB" }
)";

class Files {
 public:
  Files() {
    std::string pattern = (std::filesystem::temp_directory_path() / "clusterd-config-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) std::abort();
    dir_ = pattern;
    write("cluster.toml", kCluster);
    write("services/web.toml", kWeb);
  }
  ~Files() {
    std::error_code ignored;
    std::filesystem::remove_all(dir_, ignored);
  }
  Files(const Files&) = delete;
  Files& operator=(const Files&) = delete;

  void write(const std::string& name, const std::string& content) {
    contents_[name] = content;
    std::filesystem::create_directories(std::filesystem::path(path(name)).parent_path());
    // A new file each time: ext4 waits for the disk where a file is truncated and written again.
    std::filesystem::remove(path(name));
    std::ofstream(path(name), std::ios::binary) << content;
    std::filesystem::permissions(path(name), std::filesystem::perms(0644));
  }
  // Replaces the first `from` of the file; the test is wrong where there is none.
  void change(const std::string& name, const std::string& from, const std::string& to) {
    std::string content = contents_.at(name);
    const size_t at = content.find(from);
    ASSERT_NE(at, std::string::npos) << "no \"" << from << "\" in " << name;
    write(name, content.replace(at, from.size(), to));
  }

  [[nodiscard]] std::string path(const std::string& name) const { return dir_ + "/" + name; }
  [[nodiscard]] const std::string& dir() const { return dir_; }

  [[nodiscard]] tl::expected<Config, std::vector<ConfigProblem>> load(const std::string& self = "serv1") {
    warnings.clear();
    return load_config(dir_, self, &warnings);
  }
  // All that load() complains about, as it would be shown.
  [[nodiscard]] std::string complaints(const std::string& self = "serv1") {
    const auto config = load(self);
    std::string out;
    if (config) return out;
    for (const ConfigProblem& problem : config.error()) out += describe(problem) + "\n";
    return out;
  }
  [[nodiscard]] std::string warned() {
    (void)load();
    std::string out;
    for (const ConfigProblem& problem : warnings) out += describe(problem) + "\n";
    return out;
  }

  std::vector<ConfigProblem> warnings;

 private:
  std::string dir_;
  std::map<std::string, std::string> contents_;
};

}  // namespace clusterd::test
