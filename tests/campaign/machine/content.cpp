#include "content.hpp"

#include <fmt/format.h>

#include <cstdio>

namespace clusterd::machine {
namespace {

constexpr uint64_t kBlock = 4096;
constexpr int64_t kFirstSecond = 1'700'000'000;

uint64_t roll(uint64_t file, uint64_t run) { return mix(mix(file) + run); }
bool changes(uint64_t file, uint64_t run) { return roll(file, run) % 5 == 0; }
bool vanishes(uint64_t file, uint64_t run) { return (roll(file, run) >> 8) % 6 == 0; }

// Most files are small, some have many blocks.
std::string fill(const std::string& head, uint64_t seed) {
  const uint64_t dice = mix(seed);
  const uint64_t size =
      head.size() + (dice % 4 == 0 ? (dice >> 8) % (50 * kBlock) : (dice >> 8) % (2 * kBlock));
  std::string content = head;
  content.reserve(size + 8);
  for (uint64_t i = 0; content.size() < size; ++i) {
    uint64_t word = mix(seed + i);
    // A part of each file is holes.
    if ((i / (kBlock / 8)) % 7 == 3) word = 0;
    for (int k = 0; k < 8; ++k) content += static_cast<char>(word >> (8 * k));
  }
  content.resize(size);
  return content;
}

}  // namespace

uint64_t mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15U;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31);
}

bool is_link(uint64_t file) { return file % kEveryLink == 5; }

std::string path_of(uint64_t file) { return fmt::format("d{}/f{}", file % 7, file); }

SourceTree source_tree(uint64_t run) {
  SourceTree tree;
  for (uint64_t file = 0; file < kFiles; ++file) {
    uint64_t version = run;
    while (version > 0 && !changes(file, version)) --version;
    if (version == 0 || !vanishes(file, version)) tree[path_of(file)] = {file, version};
  }
  for (uint64_t age = 0; age < 3 && age < run; ++age)
    tree[fmt::format("e{}/g", run - age)] = {kPassing, run - age};
  return tree;
}

int64_t source_mtime_ns(const SourceFile& file) {
  return (kFirstSecond + static_cast<int64_t>(file.version)) * 1'000'000'000 +
         static_cast<int64_t>(file.file);
}

std::string source_content(const SourceFile& file) {
  const std::string head = fmt::format("source {} {}\n", file.file, file.version);
  return is_link(file.file) ? head.substr(0, head.size() - 1) : fill(head, roll(file.file, file.version));
}

std::string local_content(uint64_t number) {
  return fill(fmt::format("local {}\n", number), mix(0xCAFE + number));
}

std::string identify(const std::string& content) {
  unsigned long long file = 0, version = 0, number = 0;
  std::string expected, name;
  if (std::sscanf(content.c_str(), "source %llu %llu", &file, &version) == 2) {
    expected = source_content({file, version});
    name = fmt::format("source {} {}", file, version);
  } else if (std::sscanf(content.c_str(), "local %llu", &number) == 1) {
    expected = local_content(number);
    name = fmt::format("local {}", number);
  } else {
    return fmt::format("torn {} bytes without a head", content.size());
  }
  if (content == expected) return name;
  size_t at = 0;
  while (at < content.size() && at < expected.size() && content[at] == expected[at]) ++at;
  return fmt::format("torn {}: {} bytes instead of {}, first difference at {}", name, content.size(),
                     expected.size(), at);
}

}  // namespace clusterd::machine
