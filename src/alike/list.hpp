// What a service needs of its node beside its data: unit files, programs, agents, what the administrator
// names in `alike`, and the users and groups that own its files. Both nodes list what they have, and either
// compares (docs/decisions/0016). Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "alike/owners.hpp"
#include "always/entry.hpp"
#include "core/config.hpp"

namespace clusterd::alike {

inline constexpr uint64_t kMaxFileBytes = uint64_t{512} << 20U;  // longer ones are not compared
inline constexpr size_t kMaxItems = 4000;                        // of all services together
inline constexpr size_t kMaxNameBytes = always::kMaxPathBytes;

enum class What : uint8_t {
  kUnit,     // a systemd unit, by its name: the file that systemd has loaded
  kDropIn,   // of a unit: what was added to that file
  kProgram,  // what a unit executes, or a command of the configuration
  kAgent,    // an OCF resource agent
  kFile,     // what `alike` lists or lies below it, and what may be missing without a start failing
  kUser,   // who owns files that are mirrored by number: of a difference only, never of an item. Its entries
  kGroup,  // have `user` and `uid`: name and number (owners.hpp)
};
[[nodiscard]] const char* name(What what);

struct Item {
  What what = What::kFile;
  always::Entry entry;  // absent is a value, too; a symbolic link that is listed by name is followed
  bool operator==(const Item&) const = default;
};
// By the unit's name ("nginx.service") or by the path.
using Items = std::map<std::string, Item>;

// What of a service is to be looked at, as the configuration has it.
struct Wanted {
  std::vector<std::string> units;     // of systemd
  std::vector<std::string> programs;  // of commands and init scripts
  std::vector<std::string> agents;    // paths
  std::vector<std::string> paths;     // `alike`, and programs of checks; a directory ends with "/"
  std::vector<Tree> trees;            // whose owners are carried by number; no part of the digest
  // Two nodes that want the same can compare what they have.
  [[nodiscard]] std::string digest() const;
};

struct Service {
  std::string wanted;  // Wanted::digest()
  Items items;
  Owners owners{};  // of what its mirrors carry by number
  bool operator==(const Service&) const = default;
};
// What a node says of itself: by the service's name.
struct Word {
  std::map<std::string, Service> services;
  Numbers numbers{};
  bool operator==(const Word&) const = default;
};

struct Difference {
  What what = What::kFile;
  std::string name;
  always::Entry mine, theirs;
  bool operator==(const Difference&) const = default;
};

// How a service stands, for the daemon and for people.
struct Likeness {
  bool compared = false;
  std::string why;  // not compared
  size_t same = 0, differ = 0;
  std::vector<Difference> differences;  // may be fewer than `differ`
  std::vector<std::string> lacks;       // programs that are not here, in words
  bool operator==(const Likeness&) const = default;
};

// What only one of them has is absent on the other one if it is listed there, or if the folder that it lies
// in is: of all else (the program of a unit that is another one there) nothing is known. `theirs` may be
// nullptr: the other node has no such service.
[[nodiscard]] Likeness compare(const Service& mine, const Service* theirs);
// The same, and what the owners of its files are called; `theirs` may be nullptr: nothing is known of it.
[[nodiscard]] Likeness compare(const std::string& service, const Word& mine, const Word* theirs);

// "/usr/sbin/nginx differs (serv1: 1294336 bytes of 2026-11-02, serv2: …)"; of what is not on one of them at
// all: "nginx.service is not installed on serv2". Of printable characters only.
[[nodiscard]] std::string text(const Difference& difference, const std::string& my_name,
                               const std::string& their_name);
// Of printable characters, at most so many bytes of them, then "…".
[[nodiscard]] std::string short_text(const std::string& bytes, size_t most = 200);
// More than a difference: where this stands, the service cannot be started.
[[nodiscard]] bool is_lack(What what, const always::Entry& entry);

// The first word of a shell command, if it is a program by its path, as far as that can be told without being
// the shell; else empty.
[[nodiscard]] std::string program_of(const std::string& command);

// `paths`: of `alike`. `agent_path`: where an agent is.
[[nodiscard]] Wanted wanted(const ServiceConfig& service, const std::vector<std::string>& paths,
                            const std::function<std::string(const OcfConfig&)>& agent_path);

}  // namespace clusterd::alike
