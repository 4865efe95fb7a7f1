#include "linux/ids/id_files.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

namespace clusterd {
namespace {

constexpr std::streamsize kMaxFile = 16 * 1024 * 1024;

Error unread(const std::string& path) {
  return {Code::kRetry, fmt::format("cannot read {}: {}", path, std::strerror(errno))};
}

int64_t nanoseconds(const timespec& t) { return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec; }

Result<std::string> contents_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return tl::unexpected(unread(path));
  std::string text;
  std::string chunk(64 * 1024, '\0');
  while (in.read(chunk.data(), static_cast<std::streamsize>(chunk.size())), in.gcount() > 0) {
    text.append(chunk, 0, static_cast<size_t>(in.gcount()));
    if (static_cast<std::streamsize>(text.size()) > kMaxFile)
      return fail(Code::kRefused, "too long to be a table of users or groups: " + path);
  }
  if (in.bad()) return tl::unexpected(unread(path));
  return text;
}

}  // namespace

std::string IdFiles::path(size_t which) const { return folder_ + (which == 0 ? "/passwd" : "/group"); }

Result<IdFiles::Stamp> IdFiles::stamp(size_t which) const {
  struct stat st {};
  if (::stat(path(which).c_str(), &st) != 0) return tl::unexpected(unread(path(which)));
  return Stamp{st.st_dev, st.st_ino, static_cast<uint64_t>(st.st_size), nanoseconds(st.st_mtim),
               nanoseconds(st.st_ctim)};
}

Result<bool> IdFiles::refresh() {
  std::array<Stamp, 2> now{};
  for (size_t i = 0; i < now.size(); ++i) {
    auto found = stamp(i);
    if (!found) return tl::unexpected(found.error());
    now.at(i) = *found;
  }
  if (known_ && now == read_) return false;
  // Stamped before they are read: what changes meanwhile is read again.
  auto users = contents_of(path(0)), groups = contents_of(path(1));
  if (!users) return tl::unexpected(users.error());
  if (!groups) return tl::unexpected(groups.error());
  mirror::live::IdTable table{mirror::live::parse_ids(*users), mirror::live::parse_ids(*groups)};
  for (const auto* ids : {&table.users, &table.groups})
    if (ids->size() > mirror::live::kMaxIds)
      return fail(Code::kRefused, fmt::format("{} and {} have more than {} users or groups: owners cannot be "
                                              "told by name",
                                              path(0), path(1), mirror::live::kMaxIds));
  const bool other = !known_ || table != table_;
  table_ = std::move(table);
  read_ = now;
  known_ = true;
  return other;
}

}  // namespace clusterd
