#include "linux/alike/systemd_files.hpp"

#include <fmt/format.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include <cstring>

namespace clusterd::alike {

namespace {

constexpr const char* kManager = "org.freedesktop.systemd1";
constexpr uint64_t kTimeoutUsec = 10'000'000;

struct Release {
  void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
};
using Message = std::unique_ptr<sd_bus_message, Release>;

bool read_text(sd_bus_message* m, std::string& to) {
  const char* text = nullptr;
  if (sd_bus_message_read(m, "v", "s", &text) < 0 || text == nullptr) return false;
  to = text;
  return true;
}

bool read_texts(sd_bus_message* m, std::vector<std::string>& to) {
  if (sd_bus_message_enter_container(m, 'v', "as") < 0) return false;
  if (sd_bus_message_enter_container(m, 'a', "s") < 0) return false;
  const char* text = nullptr;
  int r = 0;
  while ((r = sd_bus_message_read_basic(m, 's', &text)) > 0) to.emplace_back(text);
  return r == 0 && sd_bus_message_exit_container(m) >= 0 && sd_bus_message_exit_container(m) >= 0;
}

bool read_programs(sd_bus_message* m, std::vector<UnitFiles::Program>& to) {
  if (sd_bus_message_enter_container(m, 'v', "a(sasbttttuii)") < 0) return false;
  if (sd_bus_message_enter_container(m, 'a', "(sasbttttuii)") < 0) return false;
  int r = 0;
  while ((r = sd_bus_message_enter_container(m, 'r', "sasbttttuii")) > 0) {
    const char* path = nullptr;
    int may_fail = 0;
    if (sd_bus_message_read_basic(m, 's', &path) < 0 || sd_bus_message_skip(m, "as") < 0 ||
        sd_bus_message_read_basic(m, 'b', &may_fail) < 0 || sd_bus_message_skip(m, "ttttuii") < 0 ||
        sd_bus_message_exit_container(m) < 0)
      return false;
    if (*path == '/') to.push_back({path, may_fail != 0});
  }
  return r == 0 && sd_bus_message_exit_container(m) >= 0 && sd_bus_message_exit_container(m) >= 0;
}

// `root`: where the unit's programs are, if not in this system's own root.
bool read_property(sd_bus_message* m, std::string_view name, UnitFiles& files, std::string& root) {
  if (name == "LoadState") return read_text(m, files.load);
  if (name == "FragmentPath") return read_text(m, files.fragment);
  if (name == "SourcePath") return read_text(m, files.source);
  if (name == "DropInPaths") return read_texts(m, files.drop_ins);
  if (name == "ExecStartPre" || name == "ExecStart" || name == "ExecStartPost")
    return read_programs(m, files.programs);
  if (name == "RootDirectory" || name == "RootImage") {
    std::string text;
    if (!read_text(m, text)) return false;
    root += text;
    return true;
  }
  return sd_bus_message_skip(m, "v") >= 0;
}

bool read_properties(sd_bus_message* m, UnitFiles& files) {
  std::string root;
  if (sd_bus_message_enter_container(m, 'a', "{sv}") < 0) return false;
  while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
    const char* name = nullptr;
    if (sd_bus_message_read(m, "s", &name) < 0 || !read_property(m, name, files, root)) return false;
    if (sd_bus_message_exit_container(m) < 0) return false;
  }
  if (!root.empty() && root != "/") files.programs.clear();
  return !files.load.empty();
}

}  // namespace

bool SystemdFiles::there() { return ::access("/run/systemd/system", F_OK) == 0; }

void SystemdFiles::Close::operator()(sd_bus* bus) const { sd_bus_close_unref(bus); }

Result<UnitFiles> SystemdFiles::of(const std::string& unit) {
  const auto failed = [&](int error) {
    bus_.reset();
    return fail(Code::kRetry, fmt::format("systemd cannot be asked of {}: {}", unit, std::strerror(-error)));
  };
  if (!bus_) {
    sd_bus* bus = nullptr;
    if (const int r = sd_bus_open_system(&bus); r < 0) return failed(r);
    bus_.reset(bus);
    sd_bus_set_method_call_timeout(bus, kTimeoutUsec);
  }
  sd_bus_message* reply = nullptr;
  int r =
      sd_bus_call_method(bus_.get(), kManager, "/org/freedesktop/systemd1",
                         "org.freedesktop.systemd1.Manager", "LoadUnit", nullptr, &reply, "s", unit.c_str());
  const Message loaded(reply);
  const char* path = nullptr;
  if (r >= 0) r = sd_bus_message_read(reply, "o", &path);
  if (r < 0) return failed(r);
  reply = nullptr;
  r = sd_bus_call_method(bus_.get(), kManager, path, "org.freedesktop.DBus.Properties", "GetAll", nullptr,
                         &reply, "s", "");
  const Message properties(reply);
  if (r < 0) return failed(r);
  UnitFiles files;
  if (!read_properties(reply, files)) return failed(-EBADMSG);
  return files;
}

}  // namespace clusterd::alike
