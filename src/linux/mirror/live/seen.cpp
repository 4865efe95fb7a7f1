#include "linux/mirror/live/seen.hpp"

#include <fcntl.h>

#include <cerrno>

#include "linux/mirror/live/object.hpp"

namespace clusterd::live {

const Outcome<Status>& Seen::status() {
  if (!status_) status_ = place_ ? look(place_->folder.get(), place_->name) : tl::unexpected(place_.error());
  return *status_;
}

const std::string& Seen::object() {
  if (!object_) object_ = place_ ? object_at(place_->folder.get(), place_->name) : "";
  return *object_;
}

Outcome<Traits> Seen::traits() {
  if (!status()) return tl::unexpected(status().error());
  return read_traits(place_->folder.get(), place_->name, *status());
}

Outcome<Fd> Seen::open_to_read() const {
  if (!place_) return tl::unexpected(place_.error());
  auto file = Anchors::open_in(*place_, O_RDONLY | O_NONBLOCK | O_NOATIME);
  if (!file && file.error().error == EPERM) file = Anchors::open_in(*place_, O_RDONLY | O_NONBLOCK);
  return file;
}

}  // namespace clusterd::live
