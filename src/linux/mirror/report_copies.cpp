#include "linux/mirror/report_copies.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <vector>

#include "linux/mirror/files.hpp"
#include "mirror/command.hpp"

namespace clusterd {
namespace {

// "web.20261122T181500Z-e7-data.json", or "….2.json" of a later pass: is it of this mirror?
bool is_copy_of(std::string_view name, const std::string& service, const std::string& mirror) {
  if (name.substr(0, service.size() + 1) != service + ".") return false;
  name.remove_prefix(service.size() + 1);
  const size_t epoch = name.find("-e");
  if (epoch == std::string_view::npos) return false;
  name.remove_prefix(epoch + 2);
  const size_t end = name.find_first_not_of("0123456789");
  if (end == 0 || end == std::string_view::npos || name[end] != '-') return false;
  name.remove_prefix(end + 1);
  return name.substr(0, mirror.size() + 1) == mirror + "." && name.size() >= 5 &&
         name.substr(name.size() - 5) == ".json";
}

void remove_old(const std::string& folder, const std::string& service, const MirrorConfig& mirror,
                int64_t now_unix) {
  const int64_t keep = std::chrono::duration_cast<std::chrono::seconds>(mirror.keep_backups).count();
  DIR* dir = keep > 0 ? ::opendir(folder.c_str()) : nullptr;
  if (dir == nullptr) return;
  std::vector<std::string> old;
  while (const dirent* entry = ::readdir(dir)) {
    struct stat now {};
    if (is_copy_of(entry->d_name, service, mirror.name) &&
        ::fstatat(::dirfd(dir), entry->d_name, &now, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(now.st_mode) &&
        now_unix - now.st_mtim.tv_sec > keep) {
      old.emplace_back(entry->d_name);
    }
  }
  for (const std::string& name : old) ::unlinkat(::dirfd(dir), name.c_str(), 0);
  ::closedir(dir);
}

}  // namespace

Result<void> keep_report_copy(const std::string& state_dir, const std::string& service,
                              const MirrorConfig& mirror, const BackupReport& report, int64_t now_unix) {
  if (report.set.lost == 0 || !mirror::is_safe_name(report.set.name)) return {};
  const std::string folder = state_dir + "/reports";
  if (auto ok = make_directories(folder, 0700); !ok) return ok;
  remove_old(folder, service, mirror, now_unix);
  return write_durably(fmt::format("{}/{}.{}.json", folder, service, report.set.name),
                       to_json(report) + "\n");
}

}  // namespace clusterd
