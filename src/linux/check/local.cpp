#include "linux/check/local.hpp"

#include <fmt/format.h>
#include <systemd/sd-bus.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>

namespace clusterd {

namespace {

namespace fs = std::filesystem;

constexpr size_t kCommLength = 15;  // of what the kernel keeps of a name

std::string first_bytes(const std::string& path, size_t limit) {
  std::ifstream file(path, std::ios::binary);
  std::string text(limit, '\0');
  file.read(text.data(), static_cast<std::streamsize>(limit));
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

bool is_number(const std::string& text) {
  return !text.empty() && text.size() < 10 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// Not gone, and no zombie.
bool lives(const std::string& pid) {
  const std::string stat = first_bytes("/proc/" + pid + "/stat", 512);
  const size_t end = stat.rfind(") ");
  return end != std::string::npos && end + 2 < stat.size() && stat[end + 2] != 'Z' && stat[end + 2] != 'X';
}

bool is_called(const std::string& pid, const std::string& wanted) {
  std::string comm = first_bytes("/proc/" + pid + "/comm", 64);
  if (!comm.empty() && comm.back() == '\n') comm.pop_back();
  if (comm == wanted.substr(0, kCommLength) && wanted.size() <= kCommLength) return true;
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/" + pid + "/exe", error);
  return !error && program.filename() == wanted;
}

Verdict by_pid_file(const std::string& path) {
  std::string text = first_bytes(path, 64);
  if (text.empty()) return {false, path + " does not exist, or is empty"};
  text = text.substr(0, text.find_first_not_of("0123456789"));
  if (!is_number(text)) return {false, path + " holds no number of a process"};
  if (!lives(text)) return {false, fmt::format("process {} ({}) does not live", text, path)};
  return {true, "process " + text};
}

struct Close {
  void operator()(sd_bus* bus) const { sd_bus_flush_close_unref(bus); }
  void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
};

}  // namespace

Verdict find_process(const std::string& wanted) {
  if (wanted.front() == '/') return by_pid_file(wanted);
  std::error_code error;
  for (fs::directory_iterator entry("/proc", error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    const std::string pid = entry->path().filename().string();
    if (is_number(pid) && is_called(pid, wanted) && lives(pid)) return {true, "process " + pid};
  }
  return {false, "no process is called " + wanted};
}

Verdict ask_unit(const std::string& unit) {
  constexpr const char* kSystemd = "org.freedesktop.systemd1";
  sd_bus* opened = nullptr;
  if (const int error = sd_bus_open_system(&opened); error < 0)
    return {false, fmt::format("systemd cannot be asked: {}", std::strerror(-error))};
  const std::unique_ptr<sd_bus, Close> bus(opened);
  sd_bus_error error = SD_BUS_ERROR_NULL;
  sd_bus_message* answered = nullptr;
  const int called =
      sd_bus_call_method(bus.get(), kSystemd, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
                         "LoadUnit", &error, &answered, "s", unit.c_str());
  const std::unique_ptr<sd_bus_message, Close> answer(answered);
  std::string problem = error.message != nullptr ? error.message : "";
  sd_bus_error_free(&error);
  const char* path = nullptr;
  if (called < 0 || sd_bus_message_read(answer.get(), "o", &path) < 0)
    return {false, problem.empty() ? "systemd does not answer" : problem};
  char* state = nullptr;
  if (sd_bus_get_property_string(bus.get(), kSystemd, path, "org.freedesktop.systemd1.Unit", "ActiveState",
                                 nullptr, &state) < 0)
    return {false, "systemd does not say what state it is in"};
  const std::string text = state;
  std::free(state);
  return {text == "active" || text == "reloading", text};
}

}  // namespace clusterd
