#include "guest.hpp"

#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace clusterd::machine {

void tell(const std::string& line) {
  const std::string text = line + "\n";
  for (size_t done = 0; done < text.size();) {
    const ssize_t n = ::write(3, text.data() + done, text.size() - done);
    if (n <= 0) ::_exit(1);
    done += static_cast<size_t>(n);
  }
}

void give_up(const std::string& why) {
  tell("error " + why);
  ::_exit(1);
}

std::string parameter(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) give_up(std::string("no parameter ") + name);
  return value;
}

uint64_t number(const char* name) { return std::strtoull(parameter(name).c_str(), nullptr, 10); }

}  // namespace clusterd::machine

int main(int argc, char** argv) {
  using namespace clusterd::machine;
  if (std::string_view(argv[0]).ends_with("ssh")) run_ssh(argc, argv);
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "state") run_state();
  if (what == "mirror") run_mirror_target();
  if (what == "watchdog" && argc == 4) run_watchdog(argv[2], std::strtoull(argv[3], nullptr, 10));
  give_up("unknown campaign " + what);
}
