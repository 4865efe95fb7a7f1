// rtnetlink with nothing around it: messages, requests that wait for the kernel's answer, and a monitor.
//
// The kernel carries a request out within sendmsg(), so "waiting" costs no time; an answer that fails to come
// within a second is an error, not a hang. A socket belongs to the network namespace in which it was made.
//
// Threading: one thread each.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "base/address.hpp"
#include "linux/event_loop.hpp"

namespace clusterd {

using ByteView = std::span<const uint8_t>;

struct NetlinkError {
  int number = 0;    // errno
  std::string text;  // the kernel's own words where it has any
};
template <class T>
using NetlinkResult = tl::expected<T, NetlinkError>;

// A request under construction: header, fixed body, attributes.
class NetlinkMessage {
 public:
  NetlinkMessage(uint16_t type, uint16_t flags, const void* body, size_t bytes);
  template <class Body>
  NetlinkMessage(uint16_t type, uint16_t flags, const Body& body)
      : NetlinkMessage(type, flags, &body, sizeof(Body)) {}

  void put(uint16_t type, const void* data, size_t bytes);
  void put_u8(uint16_t type, uint8_t value) { put(type, &value, sizeof(value)); }
  void put_u32(uint16_t type, uint32_t value) { put(type, &value, sizeof(value)); }
  void put_text(uint16_t type, std::string_view text);  // with its terminating zero
  void put_address(uint16_t type, const IpAddress& a) { put(type, a.bytes.data(), a.size()); }
  // Attributes put until close() become the content of this one.
  [[nodiscard]] size_t open(uint16_t type);
  void close(size_t opened);

  // Complete, with its length and this sequence number.
  [[nodiscard]] ByteView sealed(uint32_t sequence);

 private:
  std::vector<uint8_t> bytes_;
};

// The attributes that follow a message's fixed body. Sizes are checked; what does not fit is ignored.
class NetlinkAttributes {
 public:
  explicit NetlinkAttributes(ByteView bytes) : bytes_(bytes) {}
  [[nodiscard]] std::optional<ByteView> find(uint16_t type) const;
  [[nodiscard]] std::optional<uint32_t> u32(uint16_t type) const;
  [[nodiscard]] std::optional<uint8_t> u8(uint16_t type) const;
  [[nodiscard]] std::string text(uint16_t type) const;
  [[nodiscard]] std::optional<MacAddress> mac(uint16_t type) const;
  [[nodiscard]] std::optional<IpAddress> address(uint16_t type, uint8_t family) const;

 private:
  ByteView bytes_;
};

// Calls `visit(type, body)` for each message in what was received.
using NetlinkVisitor = std::function<void(uint16_t type, ByteView body)>;

class NetlinkSocket {
 public:
  NetlinkSocket();  // a failure shows in the first request
  ~NetlinkSocket();
  NetlinkSocket(const NetlinkSocket&) = delete;
  NetlinkSocket& operator=(const NetlinkSocket&) = delete;

  // Done, or the kernel's refusal.
  NetlinkResult<void> request(NetlinkMessage message);
  // Everything that the kernel lists. A listing that changed meanwhile is read again.
  NetlinkResult<void> dump(NetlinkMessage message, const NetlinkVisitor& visit);
  // The one object that a RTM_GET… without NLM_F_DUMP answers.
  NetlinkResult<void> get(NetlinkMessage message, const NetlinkVisitor& visit);

 private:
  enum class Until : uint8_t { kAck, kDone };
  NetlinkResult<void> exchange(NetlinkMessage& message, Until until, const NetlinkVisitor& visit);
  int fd_ = -1;
  int open_error_ = 0;
  uint32_t sequence_ = 0;
};

// What others (and we) change in the kernel's tables.
class NetlinkMonitor {
 public:
  // `overflow`: messages were lost; whoever follows the tables reads them anew. `idle`: everything that had
  // come in was delivered.
  NetlinkMonitor(EventLoop& loop, std::vector<unsigned> groups, NetlinkVisitor visit,
                 std::function<void()> overflow, std::function<void()> idle);
  ~NetlinkMonitor();
  NetlinkMonitor(const NetlinkMonitor&) = delete;
  NetlinkMonitor& operator=(const NetlinkMonitor&) = delete;

 private:
  void receive();
  int fd_ = -1;
  NetlinkVisitor visit_;
  std::function<void()> overflow_, idle_;
  std::unique_ptr<Watch> watch_;
};

}  // namespace clusterd
