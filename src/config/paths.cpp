#include "config/paths.hpp"

#include <fmt/format.h>

#include <array>

#include "config/draft.hpp"

namespace clusterd::config {

namespace {

// Nothing in or under these is anybody's data, or is safe to write from another machine.
constexpr std::array<std::string_view, 12> kForbiddenTrees{"/proc",    "/sys",   "/dev",   "/run",
                                                           "/var/run", "/boot",  "/bin",   "/sbin",
                                                           "/lib",     "/lib32", "/lib64", kStateDir};
// These hold what makes a node itself (its name, addresses, programs): parts of them may be mirrored, not
// all.
constexpr std::array<std::string_view, 4> kForbiddenWhole{"/etc", "/usr", "/var", "/var/lib"};

}  // namespace

std::string_view without_slash(std::string_view path) {
  return path.size() > 1 && path.back() == '/' ? path.substr(0, path.size() - 1) : path;
}

bool is_under(std::string_view path, std::string_view tree) {
  return path == tree ||
         (path.size() > tree.size() && path.substr(0, tree.size()) == tree && path[tree.size()] == '/');
}

PathFault fault_of_form(const std::string& path) {
  if (is_plain_path(path)) return std::nullopt;
  return {{"is no plain absolute path",
           "write it in full, from \"/\" on, without \"..\", \".\" and \"//\"; a directory ends with \"/\""}};
}

PathFault fault_of_path(const std::string& path) {
  if (path == "/") return {{"is the whole system", "list the directories of the service"}};
  if (auto why = fault_of_form(path)) return why;
  const std::string_view bare = without_slash(path);
  for (const std::string_view tree : kForbiddenTrees) {
    if (!is_under(bare, tree)) continue;
    if (tree == kStateDir) return {{"is clusterd's own state, which belongs to one node", "remove it"}};
    return {{fmt::format("lies in {}, which belongs to the node itself", tree), "remove it"}};
  }
  for (const std::string_view whole : kForbiddenWhole)
    if (bare == whole)
      return {{"holds what makes a node itself, such as its name, its addresses and clusterd's own state",
               fmt::format("list the parts that belong to the service, as in \"{}/NAME/\"", whole)}};
  return std::nullopt;
}

}  // namespace clusterd::config
