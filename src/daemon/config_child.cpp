#include "daemon/config_child.hpp"

#include "linux/mirror/supervised.hpp"

namespace clusterd {

std::shared_ptr<void> run_config_child(EventLoop& loop, std::vector<std::string> words) {
  return std::make_shared<Supervised>(loop, std::move(words));
}

}  // namespace clusterd
