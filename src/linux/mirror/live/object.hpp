// Objects by their handles: what is the same file or directory whatever it is called by now.
//
// A handle is taken as text: its type, and what the file system has put into it. A number of an inode comes
// again when its file is gone; a handle does not.
//
// Threading: the functions have no state.
#pragma once

#include <fcntl.h>

#include <optional>
#include <string>

#include "linux/mirror/live/inode.hpp"

namespace clusterd::live {

[[nodiscard]] std::string handle_text(const file_handle* handle);
// With O_PATH. Invalid, with errno: usually there is no such object (any more) on the file system of `mount`.
[[nodiscard]] Fd open_handle(int mount, const std::string& text);

// The handle of what is at a path now, as hints have it; "" if there is nothing, or no handle.
[[nodiscard]] std::string object_at(const Anchors& anchors, const std::string& path);
// The object of a handle: what it is now, and one of its names below the roots, if the kernel can tell ("":
// it cannot, or that name lies elsewhere). nullopt: it has no names any more.
struct FoundObject {
  Status status;
  std::string path;
};
[[nodiscard]] std::optional<FoundObject> find_object(const Anchors& anchors, const std::string& object);
[[nodiscard]] std::string object_at(int folder,
                                    const std::string& name);  // "" as a name: the descriptor itself

}  // namespace clusterd::live
