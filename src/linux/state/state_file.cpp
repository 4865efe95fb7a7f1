#include "linux/state/state_file.hpp"

#include <sodium.h>

#include <array>
#include <boost/json.hpp>
#include <cstdint>
#include <stdexcept>
#include <utility>

#include "core/heartbeat.hpp"
#include "linux/state/text.hpp"

namespace clusterd {

namespace json = boost::json;

namespace {

constexpr std::string_view kHead = R"({"format":1,"checksum":")";
constexpr std::string_view kMiddle = R"(","body":)";
constexpr std::string_view kTail = "}\n";
constexpr size_t kChecksumDigits = 64;
constexpr size_t kMaxText = 4096;
constexpr size_t kMaxList = 1024;

std::string checksum(std::string_view body) {
  std::array<unsigned char, 32> hash{};
  crypto_generichash(hash.data(), hash.size(), reinterpret_cast<const unsigned char*>(body.data()),
                     body.size(), nullptr, 0);
  std::string text;
  for (const unsigned char byte : hash) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

json::value encode_service(const PersistedService& service) {
  json::array lineage, halted;
  for (const Epoch epoch : service.lineage) lineage.push_back(epoch.value);
  for (const auto& name : service.halted_mirrors) halted.push_back(json::string(clean_utf8(name, kMaxText)));
  return {{"epoch", service.epoch.value},
          {"data_epoch", service.data_epoch.value},
          {"claimed", service.claimed.value},
          {"active", service.active},
          {"lineage", lineage},
          {"diverged", service.diverged},
          {"blocked", service.blocked},
          {"halted_mirrors", halted}};
}

// Reading: every accessor throws std::invalid_argument with the path of what is wrong; decode_state catches.

[[noreturn]] void wrong(const std::string& what) { throw std::invalid_argument(what); }

class Reader {
 public:
  Reader(const json::value& value, std::string path) : value_(value), path_(std::move(path)) {}

  Reader member(std::string_view name, size_t members) const {
    const auto* object = value_.if_object();
    if (object == nullptr) wrong(path_ + " is not an object");
    if (object->size() != members) wrong(path_ + " has missing or unknown members");
    const auto* found = object->if_contains(name);
    if (found == nullptr) wrong(path_ + " lacks " + std::string(name));
    return {*found, path_ + "." + std::string(name)};
  }
  bool boolean() const {
    if (!value_.is_bool()) wrong(path_ + " is neither true nor false");
    return value_.get_bool();
  }
  uint64_t number() const {
    if (value_.is_uint64()) return value_.get_uint64();
    if (!value_.is_int64() || value_.get_int64() < 0) wrong(path_ + " is not a number of this kind");
    return static_cast<uint64_t>(value_.get_int64());
  }
  int64_t signed_number() const {
    if (!value_.is_int64()) wrong(path_ + " is not a number of this kind");
    return value_.get_int64();
  }
  std::string text() const {
    if (!value_.is_string() || value_.get_string().size() > kMaxText)
      wrong(path_ + " is not a text of this kind");
    std::string text(value_.get_string());
    if (clean_utf8(text, kMaxText) != text) wrong(path_ + " holds characters that are never written");
    return text;
  }
  template <class Each>
  void list(size_t limit, Each each) const {
    const auto* array = value_.if_array();
    if (array == nullptr || array->size() > limit) wrong(path_ + " is not a list of this kind");
    for (const auto& element : *array) each(Reader(element, path_ + "[]"));
  }
  template <class Each>
  void table(size_t limit, Each each) const {
    const auto* object = value_.if_object();
    if (object == nullptr || object->size() > limit) wrong(path_ + " is not a table of this kind");
    for (const auto& [key, element] : *object) {
      each(std::string(key), Reader(element, path_ + "." + std::string(key)));
    }
  }

 private:
  const json::value& value_;
  std::string path_;
};

PersistedService decode_service(const Reader& r) {
  constexpr size_t kMembers = 8;
  PersistedService s;
  s.epoch.value = r.member("epoch", kMembers).number();
  s.data_epoch.value = r.member("data_epoch", kMembers).number();
  s.claimed.value = r.member("claimed", kMembers).number();
  s.active = r.member("active", kMembers).boolean();
  r.member("lineage", kMembers).list(kMaxLineage, [&](const Reader& e) {
    s.lineage.push_back({e.number()});
  });
  s.diverged = r.member("diverged", kMembers).boolean();
  s.blocked = r.member("blocked", kMembers).boolean();
  r.member("halted_mirrors", kMembers).list(kMaxList, [&](const Reader& e) {
    s.halted_mirrors.push_back(e.text());
  });
  return s;
}

StateFile decode_body(const json::value& value) {
  // A file of before there were watchdogs lacks one.
  const bool whole = value.is_object() && value.get_object().contains("peer_watchdog");
  const size_t members = whole ? 9 : 8;
  const Reader r(value, "body");
  StateFile file;
  r.member("services", members).table(kMaxStateEntries, [&](const std::string& name, const Reader& e) {
    file.services[name] = decode_service(e);
  });
  r.member("hosts", members).table(kMaxStateEntries, [&](const std::string& name, const Reader& e) {
    file.hosts[name] = {e.member("in_active_set", 2).boolean(), e.member("in_standby_set", 2).boolean()};
  });
  file.rest.locked = r.member("locked", members).boolean();
  file.rest.lock_reason = r.member("lock_reason", members).text();
  file.rest.peer_faulty = r.member("peer_faulty", members).boolean();
  if (whole) file.rest.peer_watchdog = r.member("peer_watchdog", members).boolean();
  r.member("takeovers", members).list(kMaxList, [&](const Reader& e) {
    file.rest.takeovers.push_back(WallTime(Duration(e.signed_number())));
  });
  file.rest.notice_sequence = r.member("notice_sequence", members).number();
  file.kernel_boot_id = r.member("kernel_boot_id", members).text();
  return file;
}

}  // namespace

std::string encode_state(const StateFile& file) {
  json::object services, hosts;
  for (const auto& [name, service] : file.services) services[name] = encode_service(service);
  for (const auto& [name, host] : file.hosts) {
    hosts[name] = {{"in_active_set", host.in_active_set}, {"in_standby_set", host.in_standby_set}};
  }
  json::array takeovers;
  for (const WallTime at : file.rest.takeovers) takeovers.push_back(int64_t{at.time_since_epoch().count()});
  const json::object body{{"services", services},
                          {"hosts", hosts},
                          {"locked", file.rest.locked},
                          {"lock_reason", clean_utf8(file.rest.lock_reason, kMaxText)},
                          {"peer_faulty", file.rest.peer_faulty},
                          {"peer_watchdog", file.rest.peer_watchdog},
                          {"takeovers", takeovers},
                          {"notice_sequence", file.rest.notice_sequence},
                          {"kernel_boot_id", clean_utf8(file.kernel_boot_id, kMaxText)}};
  const std::string text = json::serialize(body);
  return std::string(kHead) + checksum(text) + std::string(kMiddle) + text + std::string(kTail);
}

Result<StateFile> decode_state(std::string_view text) {
  if (text.size() > kMaxStateBytes) return fail(Code::kCorrupt, "it is larger than a state file can be");
  if (text.empty()) return fail(Code::kCorrupt, "it is empty");
  if (!text.starts_with(kHead))
    return fail(Code::kCorrupt, "it does not begin as a state file of format 1 does");
  if (!text.ends_with(kTail) ||
      text.size() < kHead.size() + kChecksumDigits + kMiddle.size() + kTail.size()) {
    return fail(Code::kCorrupt, "it is cut short");
  }
  text.remove_prefix(kHead.size());
  const std::string_view sum = text.substr(0, kChecksumDigits);
  text.remove_prefix(kChecksumDigits);
  if (!text.starts_with(kMiddle)) return fail(Code::kCorrupt, "it has no body");
  text.remove_prefix(kMiddle.size());
  text.remove_suffix(kTail.size());
  if (checksum(text) != sum) return fail(Code::kCorrupt, "its checksum is wrong");
  try {
    json::parse_options options;
    options.max_depth = 8;
    boost::system::error_code error;
    const json::value body = json::parse(json::string_view(text.data(), text.size()), error, {}, options);
    if (error) return fail(Code::kCorrupt, "its body is no JSON: " + error.message());
    return decode_body(body);
  } catch (const std::exception& error) {
    return fail(Code::kCorrupt, error.what());
  }
}

}  // namespace clusterd
