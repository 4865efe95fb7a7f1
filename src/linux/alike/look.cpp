#include "linux/alike/look.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sodium.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <memory>
#include <vector>

#include "linux/fd.hpp"

namespace clusterd::alike {

using always::Entry;
using always::Kind;
using always::opaque;

namespace {

constexpr int kDeepest = 64;                           // each level holds a descriptor
constexpr uint64_t kMaxAllBytes = uint64_t{4} << 30U;  // of all files together
constexpr size_t kMaxAllNames = size_t{512} * 1024;    // bytes; each may be written as four
constexpr int64_t kFreshNs = 2'000'000'000;            // a file changed so recently may change unnoticed

struct Closer {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

int64_t wall_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return always::nanoseconds(now);
}

// The digest of all that can be read, as always::digest_of; empty and errno if it cannot be.
std::string digest_of_file(int fd, uint64_t& size) {
  crypto_generichash_state state;
  std::array<uint8_t, 32> hash{};
  crypto_generichash_init(&state, nullptr, 0, hash.size());
  std::vector<uint8_t> buffer(size_t{256} * 1024);
  size = 0;
  while (true) {
    const ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return "";
    if (n == 0) break;
    size += static_cast<uint64_t>(n);
    if (size > kMaxFileBytes) {
      errno = EFBIG;
      return "";
    }
    crypto_generichash_update(&state, buffer.data(), static_cast<size_t>(n));
  }
  crypto_generichash_final(&state, hash.data(), hash.size());
  std::string hex(2 * hash.size() + 1, '\0');
  sodium_bin2hex(hex.data(), hex.size(), hash.data(), hash.size());
  hex.pop_back();
  return hex;
}

}  // namespace

Word Look::at(const std::map<std::string, Wanted>& wanted) {
  owners_ = {};  // who was created since, is known now
  room_ = {};
  now_.clear();
  Word word;
  for (const auto& [service, one] : wanted) {
    Service& out = word.services[service];
    out.wanted = one.digest();
    for (const std::string& unit : one.units) add_unit(unit, out.items);
    for (const std::string& path : one.programs) add(What::kProgram, path, out.items);
    for (const std::string& path : one.agents) add(What::kAgent, path, out.items);
    for (const std::string& listed : one.paths) add_listed(listed, out.items);
    if (!one.trees.empty()) out.owners = in_trees_[service].of(one.trees);
  }
  word.numbers = numbers();
  last_ = std::move(now_);
  return word;
}

Numbers Look::numbers() {
  Numbers out;
  if (!ids_.refresh()) return out;
  const auto& table = ids_.table();
  if (table.users.size() > kMaxNumbers || table.groups.size() > kMaxNumbers) return out;
  for (const auto& [number, name] : table.users) out.users.emplace(name, number);
  for (const auto& [number, name] : table.groups) out.groups.emplace(name, number);
  out.known = true;
  return out;
}

Result<UnitFiles> Look::unit_files(const std::string& unit) {
  if (!SystemdFiles::there()) return fail(Code::kRetry, "there is no systemd");
  return systemd_.of(unit);
}

void Look::add_unit(const std::string& unit, Items& items) {
  if (const auto asked = unit_files(unit)) units_.insert_or_assign(unit, *asked);
  const auto known = units_.find(unit);
  if (known == units_.end()) return;  // systemd has never answered: nothing is known of it
  const UnitFiles& files = known->second;
  if (files.load == "not-found") return put(unit, What::kUnit, {}, items);
  if (files.load == "masked") return put(unit, What::kUnit, opaque("it is masked"), items);
  struct stat info {};
  if (!files.fragment.empty()) put(unit, What::kUnit, entry(AT_FDCWD, files.fragment, true, info), items);
  for (const std::string& path : files.drop_ins)
    if (!path.starts_with("/run/")) add(What::kDropIn, path, items);  // those are gone after a boot
  if (!files.source.empty()) add(What::kProgram, files.source, items);
  for (const UnitFiles::Program& program : files.programs)
    add(program.may_fail ? What::kFile : What::kProgram, program.path, items);
}

void Look::add(What what, const std::string& path, Items& items) {
  struct stat info {};
  put(path, what, entry(AT_FDCWD, path, true, info), items);
}

void Look::add_listed(const std::string& listed, Items& items) {
  const std::string path = always::bare(listed);
  struct stat info {};
  Entry root = entry(AT_FDCWD, path, true, info);
  const bool wants_folder = listed.back() == '/';
  if (root.kind == Kind::kFolder && !wants_folder)
    root = opaque("it is a directory, and is listed without \"/\" at its end");
  else if (wants_folder && (root.kind == Kind::kFile || root.kind == Kind::kSpecial))
    root = opaque("it is no directory");
  if (root.kind != Kind::kFolder) return put(path, What::kFile, std::move(root), items);
  const Room before = room_;
  Items below;
  const Fd own(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const std::string fault = own.get() < 0 ? fmt::format("it cannot be read: {}", std::strerror(errno))
                                          : walk(own.get(), path, info.st_dev, 0, below);
  if (!fault.empty()) {
    room_ = before;
    return put(path, What::kFile, opaque(fault), items);
  }
  put(path, What::kFile, std::move(root), items);
  items.merge(below);
}

std::string Look::walk(int folder, const std::string& path, dev_t device, int depth, Items& items) {
  const int copy = ::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, Closer> dir(copy < 0 ? nullptr : ::fdopendir(copy));
  if (!dir) return fmt::format("{} cannot be read: {}", path, std::strerror(errno));
  while (true) {
    errno = 0;
    const dirent* item = ::readdir(dir.get());
    if (item == nullptr && errno != 0)
      return fmt::format("{} cannot be read: {}", path, std::strerror(errno));
    if (item == nullptr) return "";
    const std::string name = item->d_name, full = fmt::format("{}/{}", path, name);
    if (name == "." || name == "..") continue;
    if (full.size() > kMaxNameBytes) return "it holds a path that is too long";
    struct stat info {};
    Entry found = entry(folder, name, false, info);
    if (!found.there()) continue;  // gone meanwhile
    const bool goes_on = found.kind == Kind::kFolder;
    if (goes_on && info.st_dev != device) found = opaque("it is a mount point");
    const bool is_folder = found.kind == Kind::kFolder;
    put(full, What::kFile, std::move(found), items);
    if (full_up()) return "there is too much in it";
    if (!is_folder) continue;
    if (depth >= kDeepest) return "it is too deep";
    const Fd below(::openat(folder, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (below.get() < 0 && errno == ENOENT) continue;
    if (below.get() < 0) return fmt::format("{} cannot be read: {}", full, std::strerror(errno));
    if (std::string fault = walk(below.get(), full, device, depth + 1, items); !fault.empty()) return fault;
  }
}

void Look::put(const std::string& name, What what, Entry entry, Items& items) {
  if (room_.items == 0) return;
  const uint64_t bytes = entry.kind == Kind::kFile ? entry.size : 0;
  const size_t text = name.size() + (entry.kind == Kind::kLink ? entry.content.size() : 0);
  if (!items.try_emplace(name, Item{what, std::move(entry)}).second) return;
  --room_.items;
  room_.bytes += bytes;
  room_.name_bytes += text;
}

bool Look::full_up() const {
  return room_.items == 0 || room_.bytes > kMaxAllBytes || room_.name_bytes > kMaxAllNames;
}

Entry Look::entry(int folder, const std::string& name, bool follow, struct stat& info) {
  if (::fstatat(folder, name.c_str(), &info, follow ? 0 : AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return {};
    return opaque(fmt::format("it cannot be looked at: {}", std::strerror(errno)));
  }
  Entry entry = always::entry_of(info, folder, name, owners_);
  if (entry.kind == Kind::kSpecial) entry.mode = info.st_mode & 07777U;
  if (entry.kind != Kind::kFile) return entry;
  if (entry.size > kMaxFileBytes) return opaque("it is longer than 512 MiB");
  const std::string fault = digest(folder, name, follow, entry);
  return fault.empty() ? entry : opaque(fault);
}

// Fills in the content of a file. Empty: it did; else why not.
std::string Look::digest(int folder, const std::string& name, bool follow, Entry& entry) {
  const Fd fd(::openat(folder, name.c_str(),
                       O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW)));
  struct stat info {};
  if (fd.get() < 0 || ::fstat(fd.get(), &info) != 0)
    return fmt::format("it cannot be read: {}", std::strerror(errno));
  if (!S_ISREG(info.st_mode)) return "it is just being replaced";
  const always::Signature signature(info);
  const int64_t ctime_ns = always::nanoseconds(info.st_ctim);
  const Identity identity{info.st_dev, info.st_ino};
  for (const auto* known : {&now_, &last_}) {
    const auto before = known->find(identity);
    if (before == known->end() || before->second.signature != signature ||
        before->second.ctime_ns != ctime_ns)
      continue;
    entry.content = before->second.digest;
    now_.insert(*before);
    return "";
  }
  uint64_t size = 0;
  entry.content = digest_of_file(fd.get(), size);
  if (entry.content.empty())
    return errno == EFBIG ? "it is longer than 512 MiB"
                          : fmt::format("it cannot be read: {}", std::strerror(errno));
  bytes_read_ += size;
  entry.size = size;
  if (wall_ns() - ctime_ns > kFreshNs)
    now_.insert_or_assign(identity, Known{signature, ctime_ns, entry.content});
  return "";
}

}  // namespace clusterd::alike
