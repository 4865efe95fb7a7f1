// The note that a live mirror's target leaves when a connection has ended: all that had arrived of this
// source is done, and nobody else has written here since.
//
// It spares the compare when the same source comes back. So it is worth something only while nothing else can
// have happened: it is taken away as soon as a connection begins, and left again at its orderly end. A target
// that was killed leaves none, and one of an earlier boot, or another tenure or life of the source, is not
// believed.
//
// It lives in the run directory, and is opened before the target is confined. Threading: one thread.
#pragma once

#include <string>

#include "core/config.hpp"
#include "linux/mirror/files.hpp"

namespace clusterd::live {

class PartingNote {
 public:
  // `life`: the source's, drawn at random. Without the file there is no note, and a compare.
  void open(const std::string& path, uint64_t life, Epoch epoch, const std::string& boot);
  // Whether it was there and is of this very source. It is gone afterwards, whoever left it.
  [[nodiscard]] bool take();
  void leave();

 private:
  Fd file_;
  std::string text_;
};

}  // namespace clusterd::live
