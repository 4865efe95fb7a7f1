// Blocks: items and heads, compressed and checked, as they stand in a file. Pure: bytes in, bytes out.
#pragma once

#include <memory>
#include <span>

#include "record/items.hpp"

namespace clusterd::record {

class FileWriter {
 public:
  // The file's first bytes: magic and head.
  [[nodiscard]] std::vector<uint8_t> begin(const Head& head);
  // One block of items. What is returned must be appended, or `begin` be called again.
  [[nodiscard]] std::vector<uint8_t> items(std::span<const uint8_t> raw);

 private:
  [[nodiscard]] std::vector<uint8_t> block(uint8_t kind, std::span<const uint8_t> raw);
  uint64_t checksum_ = 0;
};

// Reads a file item by item. `bytes` must outlive it.
class FileReader {
 public:
  // kCorrupt: no recording, or its head is damaged. kRefused: of another layout (the message names the
  // version).
  [[nodiscard]] static Result<FileReader> open(std::span<const uint8_t> bytes);

  [[nodiscard]] const Head& head() const { return head_; }
  // nullopt at the end. kCorrupt: what comes from here on cannot be trusted; the message says where. A file
  // that ends in the middle of a block (the daemon was killed while it wrote) is such a case, too.
  [[nodiscard]] Result<std::optional<Item>> next();

 private:
  struct Block {
    uint8_t kind = 0;
    std::vector<uint8_t> raw;
  };
  explicit FileReader(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  [[nodiscard]] Result<Block> block();
  [[nodiscard]] tl::unexpected<Error> damaged(const std::string& what) const;

  std::span<const uint8_t> bytes_;
  size_t at_ = 0;
  size_t block_at_ = 0;
  uint64_t checksum_ = 0;
  Head head_;
  std::unique_ptr<std::vector<uint8_t>> raw_;  // on the heap: the item reader looks into it when this moves
  std::optional<ItemReader> items_;
};

// A whole recording at once, for tests and fuzzing: at most `most` items.
struct Recording {
  Head head;
  std::vector<Item> items;
  std::optional<std::string> damage;  // why it ends before its end
};
[[nodiscard]] Result<Recording> decode(std::span<const uint8_t> bytes, size_t most = 1'000'000);

}  // namespace clusterd::record
