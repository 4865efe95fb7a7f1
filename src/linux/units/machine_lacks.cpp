#include "linux/units/machine_lacks.hpp"

#include <fmt/format.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <filesystem>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "alike/list.hpp"
#include "linux/units/ocf_agent.hpp"

namespace clusterd {

namespace {

constexpr uint64_t kLittle = uint64_t{1} << 30;

constexpr const char* kBetween = "; ";

void add(std::string& all, const std::string& lack) {
  if (!lack.empty()) all += (all.empty() ? "" : kBetween) + lack;
}

// A whole one, not the end of another one's path.
bool holds(const std::string& all, const std::string& lack) {
  return (kBetween + all + kBetween).find(kBetween + lack + kBetween) != std::string::npos;
}

std::string lack_of_program(const std::string& path) {
  if (::access(path.c_str(), F_OK) != 0) return path + " does not exist";
  return ::access(path.c_str(), X_OK) == 0 ? "" : path + " may not be executed";
}

std::string lack_of_unit(const UnitConfig& unit) {
  std::error_code error;
  switch (unit.kind) {
    case UnitConfig::Kind::kSystemd:
      return "";
    case UnitConfig::Kind::kOcf:
      return ocf_obstacle(unit.ocf);
    case UnitConfig::Kind::kLsb:
      return lack_of_program(unit.script);
    case UnitConfig::Kind::kMount:
      return std::filesystem::is_directory(unit.mount.where, error)
                 ? ""
                 : unit.mount.where + " is no folder to mount on";
    case UnitConfig::Kind::kCommand:
    case UnitConfig::Kind::kRun:
      break;
  }
  std::string lacks;
  std::set<std::string> programs;
  for (const std::string& command : {unit.start, unit.stop, unit.status}) {
    const std::string program = alike::program_of(command);
    if (!program.empty() && programs.insert(program).second) add(lacks, lack_of_program(program));
  }
  return lacks;
}

// Of the disk on which `path` is, or will be.
std::string lack_of_room_for(std::filesystem::path path) {
  struct statvfs disk {};
  while (::statvfs(path.c_str(), &disk) != 0) {
    if (!path.has_relative_path()) return "";
    path = path.parent_path();
  }
  return lack_of_room(path.string(), disk.f_frsize * disk.f_blocks, disk.f_frsize * disk.f_bavail);
}

}  // namespace

std::string lack_of_room(const std::string& path, uint64_t total, uint64_t left) {
  if (left >= kLittle || left >= total / 20) return "";
  return fmt::format("{} has only {} MiB left", path, left >> 20);
}

std::string lacks_of_files(const ServiceConfig& service, const std::string& state_dir) {
  std::string lacks;
  for (const UnitConfig& unit : service.units) add(lacks, lack_of_unit(unit));
  std::set<std::string> told{""};
  const auto room = [&](const std::string& path) {
    const std::string lack = lack_of_room_for(path);
    if (told.insert(lack).second) add(lacks, lack);
  };
  room(state_dir);
  for (const MirrorConfig& mirror : service.mirrors) {
    if (mirror.to) continue;
    for (const std::string& path : mirror.paths) room(path);
  }
  return lacks;
}

struct MachineLacks::Shared {
  std::mutex mutex;
  EventLoop* loop = nullptr;  // nullptr: nobody is there any more
  bool looking = false;
};

MachineLacks::MachineLacks(EventLoop& loop, const Config& config, std::string state_dir, EventSink sink,
                           Duration every)
    : loop_(loop),
      config_(config),
      state_dir_(std::move(state_dir)),
      sink_(std::move(sink)),
      every_(every),
      shared_(std::make_shared<Shared>()),
      alive_(std::make_shared<bool>(true)) {
  shared_->loop = &loop;
  if (::access("/run/systemd/system", F_OK) == 0) bus_ = std::make_unique<SystemdBus>(loop);
  told_.resize(config.services.size());
  also_.resize(config.services.size());
  next_ = loop_.at(EventLoop::now(), [this] { look(); });
}

MachineLacks::~MachineLacks() {
  *alive_ = false;
  const std::lock_guard lock(shared_->mutex);
  shared_->loop = nullptr;
}

void MachineLacks::look() {
  next_ = loop_.at(EventLoop::now() + every_, [this] { look(); });
  {
    const std::lock_guard lock(shared_->mutex);
    if (std::exchange(shared_->looking, true)) return;  // still at it
  }
  const auto work = [this, shared = shared_, alive = alive_, services = config_.services,
                     state_dir = state_dir_] {
    const sched_param none{};
    ::pthread_setschedparam(::pthread_self(), SCHED_OTHER, &none);
    std::vector<std::string> lacks;
    for (const ServiceConfig& service : services) lacks.push_back(lacks_of_files(service, state_dir));
    const std::lock_guard lock(shared->mutex);
    shared->looking = false;
    if (shared->loop == nullptr) return;
    shared->loop->post([this, alive, lacks = std::move(lacks)]() mutable {
      if (*alive) looked(std::move(lacks));
    });
  };
  // As in HelperThread, but nobody waits for it.
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread(work).detach();
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void MachineLacks::looked(std::vector<std::string> lacks) { ask_systemd(0, 0, std::move(lacks)); }

// One unit after the other; what systemd does not answer is not held against the unit.
void MachineLacks::ask_systemd(size_t service, size_t unit, std::vector<std::string> lacks) {
  while (service < config_.services.size()) {
    const auto& units = config_.services[service].units;
    if (bus_ && unit < units.size() && units[unit].kind == UnitConfig::Kind::kSystemd) break;
    if (++unit < units.size()) continue;
    ++service;
    unit = 0;
  }
  if (service >= config_.services.size()) {
    lacks_ = std::move(lacks);
    return report();
  }
  const std::string name = config_.services[service].units[unit].name;
  bus_->load_unit(name, [this, alive = alive_, service, unit, name,
                         lacks = std::move(lacks)](const Result<std::string>& path) mutable {
    if (!*alive) return;
    if (!path) return ask_systemd(service, unit + 1, std::move(lacks));
    bus_->state(*path, [this, alive, service, unit, name,
                        lacks = std::move(lacks)](const Result<SystemdState>& state) mutable {
      if (!*alive) return;
      if (state) add(lacks[service], systemd_obstacle(name, *state));
      ask_systemd(service, unit + 1, std::move(lacks));
    });
  });
}

void MachineLacks::also(std::vector<std::vector<std::string>> lacks) {
  also_ = std::move(lacks);
  also_.resize(config_.services.size());
  report();
}

void MachineLacks::report() {
  if (!lacks_) return;  // the first look is under way
  for (size_t i = 0; i < lacks_->size(); ++i) {
    std::string lacks = (*lacks_)[i];
    for (const std::string& more : also_[i])
      if (!holds(lacks, more)) add(lacks, more);
    if (told_[i] == lacks) continue;
    told_[i] = lacks;
    sink_(LackReport{ServiceId(i), lacks});
  }
}

}  // namespace clusterd
