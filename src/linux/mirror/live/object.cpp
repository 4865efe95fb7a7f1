#include "linux/mirror/live/object.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace clusterd::live {

std::string handle_text(const file_handle* handle) {
  std::string text(reinterpret_cast<const char*>(&handle->handle_type), sizeof handle->handle_type);
  text.append(reinterpret_cast<const char*>(handle->f_handle), handle->handle_bytes);
  return text;
}

Fd open_handle(int mount, const std::string& text) {
  alignas(file_handle) char space[sizeof(file_handle) + MAX_HANDLE_SZ];
  auto* raw = reinterpret_cast<file_handle*>(space);
  if (text.size() < sizeof raw->handle_type || text.size() - sizeof raw->handle_type > MAX_HANDLE_SZ) {
    errno = EINVAL;
    return {};
  }
  std::memcpy(&raw->handle_type, text.data(), sizeof raw->handle_type);
  raw->handle_bytes = static_cast<unsigned>(text.size() - sizeof raw->handle_type);
  std::memcpy(raw->f_handle, text.data() + sizeof raw->handle_type, raw->handle_bytes);
  return Fd(::open_by_handle_at(mount, raw, O_PATH | O_CLOEXEC));
}

std::string object_at(const Anchors& anchors, const std::string& path) {
  auto place = anchors.place(path);
  return place ? object_at(place->folder.get(), place->name) : "";
}

std::optional<FoundObject> find_object(const Anchors& anchors, const std::string& object) {
  for (const std::string& anchor : anchors.anchors()) {
    Fd fd = open_handle(anchors.file_system(anchor), object);
    auto status = fd.valid() ? look(fd.get(), "") : tl::unexpected(Failure{});
    if (!status || status->links == 0) continue;
    FoundObject found{*status, std::string(4096, '\0')};
    const ssize_t n =
        ::readlink(fmt::format("/proc/self/fd/{}", fd.get()).c_str(), found.path.data(), found.path.size());
    found.path.resize(n > 0 ? static_cast<size_t>(n) : 0);
    auto there = anchors.covers(found.path) ? look(anchors, found.path) : tl::unexpected(Failure{});
    if (!there || there->inode != status->inode || there->device != status->device) found.path.clear();
    return found;
  }
  return std::nullopt;
}

std::string object_at(int folder, const std::string& name) {
  alignas(file_handle) char space[sizeof(file_handle) + MAX_HANDLE_SZ];
  auto* handle = reinterpret_cast<file_handle*>(space);
  handle->handle_bytes = MAX_HANDLE_SZ;
  int mount = 0;
  if (::name_to_handle_at(folder, name.c_str(), handle, &mount, name.empty() ? AT_EMPTY_PATH : 0) != 0)
    return "";
  return handle_text(handle);
}

}  // namespace clusterd::live
