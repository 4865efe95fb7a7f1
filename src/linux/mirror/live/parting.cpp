#include "linux/mirror/live/parting.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>

namespace clusterd::live {

void PartingNote::open(const std::string& path, uint64_t life, Epoch epoch, const std::string& boot) {
  file_ = Fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  text_ = fmt::format("life {:016x} epoch {} boot {}\n", life, epoch.value, boot);
}

// Compared whole: whatever is torn, or longer, is another text.
bool PartingNote::take() {
  std::array<char, 512> there{};
  const ssize_t n = file_.valid() ? ::pread(file_.get(), there.data(), there.size(), 0) : -1;
  // One that cannot be taken away would be believed again after a crash.
  if (n < 0 || ::ftruncate(file_.get(), 0) != 0) {
    file_.reset();
    return false;
  }
  return std::string_view(there.data(), static_cast<size_t>(n)) == text_;
}

void PartingNote::leave() {
  if (file_.valid()) (void)!::pwrite(file_.get(), text_.data(), text_.size(), 0);
}

}  // namespace clusterd::live
