#include "linux/units/systemd_bus.hpp"

#include <fcntl.h>
#include <poll.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

namespace clusterd {

namespace {

constexpr const char* kManager = "org.freedesktop.systemd1";
constexpr const char* kManagerPath = "/org/freedesktop/systemd1";
constexpr const char* kManagerInterface = "org.freedesktop.systemd1.Manager";
constexpr const char* kProperties = "org.freedesktop.DBus.Properties";
constexpr const char* kLogind = "org.freedesktop.login1";
constexpr const char* kLogindPath = "/org/freedesktop/login1";
constexpr const char* kLogindInterface = "org.freedesktop.login1.Manager";
constexpr uint64_t kCallTimeoutUsec = 20'000'000;
constexpr int kMessagesPerTurn = 64;
constexpr Duration kFirstPause = std::chrono::milliseconds(200);
constexpr Duration kLongestPause = std::chrono::seconds(10);
constexpr const char* kRemedy =
    "; is systemd running here, and dbus? Without them use start/stop/status or run = instead of a systemd "
    "unit";

using Handler = std::function<void(sd_bus_message* reply, const std::string& error)>;

// One reply's handler, owned by its slot.
int on_reply(sd_bus_message* message, void* userdata, sd_bus_error*) {
  const auto& handler = *static_cast<Handler*>(userdata);
  const sd_bus_error* error = sd_bus_message_get_error(message);
  if (error == nullptr) {
    handler(message, {});
  } else {
    handler(nullptr, error->message != nullptr ? error->message : error->name);
  }
  return 0;
}

void free_handler(void* userdata) { delete static_cast<Handler*>(userdata); }

// Reads the variant at the message's position into a string or number if it has the wanted type.
bool read_string(sd_bus_message* m, const char* type, std::string& to) {
  const char* text = nullptr;
  if (sd_bus_message_read(m, "v", type, &text) < 0 || text == nullptr) return false;
  to = text;
  return true;
}

bool read_load_error(sd_bus_message* m, std::string& to) {
  const char *name = nullptr, *text = nullptr;
  if (sd_bus_message_read(m, "v", "(ss)", &name, &text) < 0) return false;
  to = text != nullptr ? text : "";
  return true;
}

bool read_job(sd_bus_message* m, uint32_t& to) {
  const char* path = nullptr;
  return sd_bus_message_read(m, "v", "(uo)", &to, &path) >= 0;
}

bool read_property(sd_bus_message* m, std::string_view name, SystemdState& state) {
  if (name == "Id") return read_string(m, "s", state.id);
  if (name == "LoadState") return read_string(m, "s", state.load);
  if (name == "LoadError") return read_load_error(m, state.load_error);
  if (name == "ActiveState") return read_string(m, "s", state.active);
  if (name == "SubState") return read_string(m, "s", state.sub);
  if (name == "Result") return read_string(m, "s", state.result);
  if (name == "ExecMainCode") return sd_bus_message_read(m, "v", "i", &state.main_code) >= 0;
  if (name == "ExecMainStatus") return sd_bus_message_read(m, "v", "i", &state.main_status) >= 0;
  if (name == "Job") return read_job(m, state.job);
  return sd_bus_message_skip(m, "v") >= 0;
}

bool read_state(sd_bus_message* m, SystemdState& state) {
  if (sd_bus_message_enter_container(m, 'a', "{sv}") < 0) return false;
  while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
    const char* name = nullptr;
    if (sd_bus_message_read(m, "s", &name) < 0 || !read_property(m, name, state)) return false;
    if (sd_bus_message_exit_container(m) < 0) return false;
  }
  return !state.active.empty();
}

}  // namespace

std::string SystemdState::text() const {
  std::string reason = sub;
  if (result == "exit-code") {
    reason = "exit code " + std::to_string(main_status);
  } else if (result == "signal" || result == "core-dump") {
    const char* name = sigabbrev_np(main_status);
    reason = std::string("killed by SIG") + (name != nullptr ? name : "?") +
             (result == "core-dump" ? ", core dumped" : "");
  } else if (!result.empty() && result != "success") {
    reason = result;
  }
  return active + " (" + reason + ")";
}

class SystemdBus::Impl {
 public:
  explicit Impl(EventLoop& event_loop) : loop(event_loop), alive(std::make_shared<bool>(true)) {}
  ~Impl() {
    *alive = false;
    close();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  std::string connect();
  void close();
  void lost(const std::string& why);
  void subscribe();
  void match(Listener* listener, const std::string& path);
  void process();
  void rearm();
  void tell(const std::function<void(Listener&)>& what);
  void tell_changed() {
    tell([](Listener& listener) { listener.unit_changed(); });
  }

  // Sends a method call whose arguments `append` writes; answers through `handler`.
  void call(const char* path, const char* interface, const char* member,
            const std::function<int(sd_bus_message*)>& append, Handler handler) {
    call_to(kManager, path, interface, member, append, std::move(handler));
  }
  void call_to(const char* service, const char* path, const char* interface, const char* member,
               const std::function<int(sd_bus_message*)>& append, Handler handler);

  EventLoop& loop;
  std::shared_ptr<bool> alive;
  sd_bus* bus = nullptr;
  Fd write_fd;  // a copy: the loop takes a descriptor for one direction only
  std::unique_ptr<Watch> read_watch, write_watch;
  std::unique_ptr<Timer> bus_timer, retry_timer;
  Duration pause = kFirstPause;
  bool processing = false;
  std::string last_error;

  struct Followed {
    std::string path;
    sd_bus_slot* slot = nullptr;
  };
  std::map<Listener*, Followed> followed;
  std::function<void(bool)> shutdown_told;
};

std::string SystemdBus::Impl::connect() {
  if (bus != nullptr) return {};
  retry_timer.reset();
  int r = sd_bus_open_system(&bus);
  if (r < 0) {
    bus = nullptr;
    return std::string("no system bus (") + std::strerror(-r) + ")" + kRemedy;
  }
  write_fd.reset(fcntl(sd_bus_get_fd(bus), F_DUPFD_CLOEXEC, 0));
  read_watch = loop.watch_readable(sd_bus_get_fd(bus), [this] { process(); });
  subscribe();
  for (auto& [listener, entry] : followed) match(listener, entry.path);
  rearm();
  return {};
}

void SystemdBus::Impl::close() {
  read_watch.reset();
  write_watch.reset();
  bus_timer.reset();
  for (auto& [listener, entry] : followed) {
    entry.slot = sd_bus_slot_unref(entry.slot);
  }
  write_fd.reset();
  if (bus != nullptr) sd_bus_close(bus);
  bus = sd_bus_unref(bus);
}

// sd-bus has answered all calls under way with an error by now; what waits for a signal is told here.
void SystemdBus::Impl::lost(const std::string& why) {
  close();
  if (!followed.empty() && why != last_error) {
    std::fprintf(stderr, "<4>the system bus is gone (%s): crashes of systemd units are noticed late\n",
                 why.c_str());
    last_error = why;
  }
  retry_timer = loop.at(EventLoop::now() + pause, [this] {
    if (const std::string error = connect(); !error.empty()) lost(error);
  });
  pause = std::min(pause * 2, kLongestPause);
  tell(
      [&](Listener& listener) { listener.connection_lost("lost the connection to the system bus: " + why); });
}

// A listener may drop itself or others while it is told.
void SystemdBus::Impl::tell(const std::function<void(Listener&)>& what) {
  std::vector<Listener*> all;
  for (const auto& [listener, entry] : followed) all.push_back(listener);
  for (Listener* listener : all) {
    if (followed.contains(listener)) what(*listener);
  }
}

void SystemdBus::Impl::subscribe() {
  const auto removed = [](sd_bus_message* m, void* userdata, sd_bus_error*) {
    auto* self = static_cast<Impl*>(userdata);
    uint32_t id = 0;
    const char *job = nullptr, *unit = nullptr, *result = nullptr;
    if (sd_bus_message_read(m, "uoss", &id, &job, &unit, &result) < 0) return 0;
    self->tell([&](Listener& listener) { listener.job_removed(job, unit, result); });
    return 0;
  };
  sd_bus_match_signal_async(bus, nullptr, kManager, kManagerPath, kManagerInterface, "JobRemoved", removed,
                            nullptr, this);
  const auto shutdown = [](sd_bus_message* m, void* userdata, sd_bus_error*) {
    auto* self = static_cast<Impl*>(userdata);
    int begins = 0;
    if (sd_bus_message_read(m, "b", &begins) >= 0 && self->shutdown_told) self->shutdown_told(begins != 0);
    return 0;
  };
  sd_bus_match_signal_async(bus, nullptr, kLogind, kLogindPath, kLogindInterface, "PrepareForShutdown",
                            shutdown, nullptr, this);
  // A manager that was executed anew forgets who subscribed.
  const auto owner_changed = [](sd_bus_message* m, void* userdata, sd_bus_error*) {
    auto* self = static_cast<Impl*>(userdata);
    const char *name = nullptr, *before = nullptr, *now = nullptr;
    if (sd_bus_message_read(m, "sss", &name, &before, &now) < 0 || *now == '\0') return 0;
    self->call(kManagerPath, kManagerInterface, "Subscribe", nullptr,
               [](sd_bus_message*, const std::string&) {});
    self->tell_changed();
    return 0;
  };
  sd_bus_add_match_async(bus, nullptr,
                         "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',"
                         "member='NameOwnerChanged',arg0='org.freedesktop.systemd1'",
                         owner_changed, nullptr, this);
  call(kManagerPath, kManagerInterface, "Subscribe", nullptr,
       [this](sd_bus_message*, const std::string& error) {
         if (!error.empty()) return;
         pause = kFirstPause;
         last_error.clear();
         tell_changed();  // of what happened while nobody listened
       });
}

void SystemdBus::Impl::match(Listener* listener, const std::string& path) {
  Followed& entry = followed[listener];
  entry.slot = sd_bus_slot_unref(entry.slot);
  entry.path = path;
  if (bus == nullptr || path.empty()) return;
  const auto changed = [](sd_bus_message*, void* userdata, sd_bus_error*) {
    static_cast<Listener*>(userdata)->unit_changed();
    return 0;
  };
  sd_bus_match_signal_async(bus, &entry.slot, kManager, path.c_str(), kProperties, "PropertiesChanged",
                            changed, nullptr, listener);
}

void SystemdBus::Impl::process() {
  if (bus == nullptr || processing) return;
  processing = true;
  int r = 1;
  for (int i = 0; r > 0 && i < kMessagesPerTurn; ++i) r = sd_bus_process(bus, nullptr);
  processing = false;
  if (r < 0 && r != -EINTR) {
    lost(std::strerror(-r));
  } else {
    rearm();
  }
}

// Also when messages were left unread in sd-bus's own queue: get_timeout is then 0, and the timer fires at
// once.
void SystemdBus::Impl::rearm() {
  if (bus == nullptr) return;
  const int events = sd_bus_get_events(bus);
  if (events >= 0 && (events & POLLOUT) != 0) {
    if (!write_watch && write_fd.get() >= 0) {
      write_watch = loop.watch_writable(write_fd.get(), [this] { process(); });
    }
  } else {
    write_watch.reset();
  }
  uint64_t due = 0;
  bus_timer.reset();
  if (sd_bus_get_timeout(bus, &due) < 0 || due == UINT64_MAX) return;
  timespec ts{};
  clock_gettime(CLOCK_MONOTONIC, &ts);
  const uint64_t now =
      static_cast<uint64_t>(ts.tv_sec) * 1'000'000 + static_cast<uint64_t>(ts.tv_nsec) / 1000;
  const Duration wait = std::chrono::microseconds(due > now ? due - now : 0);
  bus_timer = loop.at(EventLoop::now() + wait, [this] { process(); });
}

void SystemdBus::Impl::call_to(const char* service, const char* path, const char* interface,
                               const char* member, const std::function<int(sd_bus_message*)>& append,
                               Handler handler) {
  const auto fail_later = [this, &handler](std::string error) {
    loop.post([guard = alive, handler = std::move(handler), error = std::move(error)] {
      if (*guard) handler(nullptr, error);
    });
  };
  if (std::string error = connect(); !error.empty()) {
    fail_later(std::move(error));
    return;
  }
  sd_bus_message* message = nullptr;
  int r = sd_bus_message_new_method_call(bus, &message, service, path, interface, member);
  if (r >= 0 && append) r = append(message);
  if (r >= 0) {
    auto owned = std::make_unique<Handler>(handler);
    sd_bus_slot* slot = nullptr;
    r = sd_bus_call_async(bus, &slot, message, on_reply, owned.get(), kCallTimeoutUsec);
    if (r >= 0) {
      sd_bus_slot_set_destroy_callback(slot, free_handler);
      sd_bus_slot_set_floating(slot, 1);
      sd_bus_slot_unref(slot);
      owned.release();
    }
  }
  sd_bus_message_unref(message);
  if (r < 0) fail_later(std::string("system bus: ") + std::strerror(-r));
  if (!processing) rearm();
}

// ---- the public members

namespace {

// Hands an object path or a string (or nothing) of a reply on as a Result.
Handler to_result(const char* type, SystemdBus::Done<std::string> done) {
  return [type, done = std::move(done)](sd_bus_message* reply, const std::string& error) {
    if (reply == nullptr) {
      done(fail(Code::kRefused, error));
      return;
    }
    const char* text = "";
    if (*type != '\0' && sd_bus_message_read(reply, type, &text) < 0) {
      done(fail(Code::kUncertain, "systemd answered something else than expected"));
      return;
    }
    done(std::string(text));
  };
}

}  // namespace

SystemdBus::SystemdBus(EventLoop& loop) : impl_(std::make_unique<Impl>(loop)) {}
SystemdBus::~SystemdBus() = default;

void SystemdBus::load_unit(const std::string& unit, Done<std::string> done) {
  impl_->call(
      kManagerPath, kManagerInterface, "LoadUnit",
      [&](sd_bus_message* m) { return sd_bus_message_append(m, "s", unit.c_str()); },
      to_result("o", std::move(done)));
}

void SystemdBus::state(const std::string& path, Done<SystemdState> done) {
  // An empty interface name means the properties of all of them: Result belongs to the unit's type.
  impl_->call(
      path.c_str(), kProperties, "GetAll",
      [](sd_bus_message* m) { return sd_bus_message_append(m, "s", ""); },
      [done = std::move(done)](sd_bus_message* reply, const std::string& error) {
        SystemdState state;
        if (reply == nullptr) {
          done(fail(Code::kRetry, error));
        } else if (!read_state(reply, state)) {
          done(fail(Code::kUncertain, "systemd's properties of the unit cannot be read"));
        } else {
          done(std::move(state));
        }
      });
}

void SystemdBus::start_unit(const std::string& unit, Done<std::string> done) {
  impl_->call(
      kManagerPath, kManagerInterface, "StartUnit",
      [&](sd_bus_message* m) { return sd_bus_message_append(m, "ss", unit.c_str(), "replace"); },
      to_result("o", std::move(done)));
}

void SystemdBus::restart_unit(const std::string& unit, Done<std::string> done) {
  impl_->call(
      kManagerPath, kManagerInterface, "RestartUnit",
      [&](sd_bus_message* m) { return sd_bus_message_append(m, "ss", unit.c_str(), "replace"); },
      to_result("o", std::move(done)));
}

void SystemdBus::stop_unit(const std::string& unit, Done<std::string> done) {
  impl_->call(
      kManagerPath, kManagerInterface, "StopUnit",
      [&](sd_bus_message* m) { return sd_bus_message_append(m, "ss", unit.c_str(), "replace"); },
      to_result("o", std::move(done)));
}

void SystemdBus::kill_unit(const std::string& unit, int signal, Done<std::string> done) {
  impl_->call(
      kManagerPath, kManagerInterface, "KillUnit",
      [&](sd_bus_message* m) {
        return sd_bus_message_append(m, "ssi", unit.c_str(), "all", static_cast<int32_t>(signal));
      },
      to_result("", std::move(done)));
}

void SystemdBus::reset_failed(const std::string& unit, Done<std::string> done) {
  impl_->call(
      kManagerPath, kManagerInterface, "ResetFailedUnit",
      [&](sd_bus_message* m) { return sd_bus_message_append(m, "s", unit.c_str()); },
      to_result("", std::move(done)));
}

void SystemdBus::unit_file_state(const std::string& unit, Done<std::string> done) {
  impl_->call(
      kManagerPath, kManagerInterface, "GetUnitFileState",
      [&](sd_bus_message* m) { return sd_bus_message_append(m, "s", unit.c_str()); },
      to_result("s", std::move(done)));
}

void SystemdBus::system_state(Done<std::string> done) {
  impl_->call(
      kManagerPath, kProperties, "Get",
      [](sd_bus_message* m) { return sd_bus_message_append(m, "ss", kManagerInterface, "SystemState"); },
      [done = std::move(done)](sd_bus_message* reply, const std::string& error) {
        std::string state;
        if (reply == nullptr) {
          done(fail(Code::kRetry, error));
        } else if (!read_string(reply, "s", state)) {
          done(fail(Code::kUncertain, "systemd's state cannot be read"));
        } else {
          done(std::move(state));
        }
      });
}

void SystemdBus::delay_shutdown(const std::string& who, const std::string& why, Done<Fd> done) {
  impl_->call_to(
      kLogind, kLogindPath, kLogindInterface, "Inhibit",
      [&](sd_bus_message* m) {
        return sd_bus_message_append(m, "ssss", "shutdown", who.c_str(), why.c_str(), "delay");
      },
      [done = std::move(done)](sd_bus_message* reply, const std::string& error) {
        int fd = -1;
        if (reply == nullptr) {
          done(fail(Code::kRetry, error));
        } else if (sd_bus_message_read(reply, "h", &fd) < 0) {
          done(fail(Code::kUncertain, "logind answered something else than expected"));
        } else {
          done(Fd(fcntl(fd, F_DUPFD_CLOEXEC, 0)));  // the reply closes its own
        }
      });
}

void SystemdBus::on_shutdown(std::function<void(bool)> told) { impl_->shutdown_told = std::move(told); }

void SystemdBus::follow(Listener* listener, const std::string& path) {
  const auto found = impl_->followed.find(listener);
  if (found != impl_->followed.end() && found->second.path == path && found->second.slot != nullptr) return;
  impl_->match(listener, path);
  if (!impl_->processing) impl_->rearm();
}

void SystemdBus::drop(Listener* listener) {
  const auto found = impl_->followed.find(listener);
  if (found == impl_->followed.end()) return;
  sd_bus_slot_unref(found->second.slot);
  impl_->followed.erase(found);
}

std::string systemd_obstacle(const std::string& name, const SystemdState& state) {
  if (state.load == "loaded" || state.load.empty()) return {};
  if (state.load == "not-found") {
    return "the unit " + name + " does not exist on this node: install it, or correct `units`";
  }
  if (state.load == "masked") return "the unit " + name + " is masked: run `systemctl unmask " + name + "`";
  return "systemd cannot load the unit " + name + " (" + state.load + "): " + state.load_error;
}

}  // namespace clusterd
