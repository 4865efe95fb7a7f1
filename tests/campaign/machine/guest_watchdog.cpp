// What a daemon does with its watchdog, and nothing else.
#include <signal.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "guest.hpp"
#include "linux/watchdog/linux_watchdog.hpp"

namespace clusterd::machine {
namespace {

volatile std::sig_atomic_t told_to_end = 0;

}  // namespace

void run_watchdog(const std::string& device, uint64_t seconds) {
  struct sigaction action {};
  action.sa_handler = [](int) { told_to_end = 1; };
  ::sigaction(SIGTERM, &action, nullptr);
  auto dog = LinuxWatchdog::open({device, std::chrono::seconds(seconds), false});
  if (!dog) give_up(dog.error().message);
  while (told_to_end == 0) {
    if (auto ok = (*dog)->pet(); !ok) give_up(ok.error().message);
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  (*dog)->close_magic();
  std::exit(0);
}

}  // namespace clusterd::machine
