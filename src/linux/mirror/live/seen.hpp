// A name below the roots, looked at once, however many ask what is there: each way there is a walk from its
// root.
//
// What it says is as of the first time that it was asked. Threading: one thread.
#pragma once

#include <optional>
#include <string>

#include "linux/mirror/live/inode.hpp"

namespace clusterd::live {

class Seen {
 public:
  Seen(const Anchors& anchors, const std::string& path) : path_(path), place_(anchors.place(path)) {}

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const Outcome<Status>& status();
  [[nodiscard]] const std::string& object();  // its handle (object.hpp); "" if nothing is there
  [[nodiscard]] Outcome<Traits> traits();
  // What has that name there now; without touching its access time, where that is allowed.
  [[nodiscard]] Outcome<Fd> open_to_read() const;

 private:
  const std::string path_;
  const Outcome<Place> place_;
  std::optional<Outcome<Status>> status_;
  std::optional<std::string> object_;
};

}  // namespace clusterd::live
