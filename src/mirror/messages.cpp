#include "mirror/messages.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>

#include "base/mark.hpp"
#include "mirror/escape.hpp"

namespace clusterd::mirror {
namespace {

namespace json = boost::json;
using Kind = MirrorReport::Kind;
using Outcome = MirrorReport::Outcome;

constexpr std::array<std::string_view, 6> kKinds = {"run", "resync", "flush", "follow", "scrub", "pause"};
constexpr std::array<std::string_view, 4> kOutcomes = {"progress", "done", "failed", "halted"};

template <class E, size_t N>
std::optional<E> from_name(const std::array<std::string_view, N>& names, std::string_view name) {
  for (size_t i = 0; i < N; ++i) {
    if (names.at(i) == name) return static_cast<E>(i);
  }
  return std::nullopt;
}

tl::unexpected<Error> refuse(Code code, std::string what) {
  mark(Mark::kMessageRefused);
  return fail(code, std::move(what));
}

// Reads members and remembers whether one was missing or of the wrong kind.
class Reader {
 public:
  explicit Reader(const json::object& object) : object_(object) {}
  std::string text(std::string_view key) {
    const json::value* v = object_.if_contains(key);
    if (!v || !v->is_string()) return ok_ = false, std::string();
    return std::string(v->get_string());
  }
  uint64_t number(std::string_view key) {
    const json::value* v = object_.if_contains(key);
    if (v && v->is_int64() && v->get_int64() >= 0) return static_cast<uint64_t>(v->get_int64());
    if (v && v->is_uint64()) return v->get_uint64();
    return ok_ = false, 0;
  }
  bool flag(std::string_view key) {
    const json::value* v = object_.if_contains(key);
    if (!v || !v->is_bool()) return ok_ = false, false;
    return v->get_bool();
  }
  [[nodiscard]] bool ok() const { return ok_; }

 private:
  const json::object& object_;
  bool ok_ = true;
};

Result<json::object> parse_object(std::string_view line) {
  if (line.size() > kMaxMessage) return refuse(Code::kCorrupt, "the message is too long");
  boost::system::error_code error;
  json::parse_options options;
  options.max_depth = 4;
  json::value value = json::parse({line.data(), line.size()}, error, {}, options);
  if (error || !value.is_object()) return refuse(Code::kCorrupt, "the message is not a JSON object");
  return std::move(value.get_object());
}

std::optional<ServiceId> find_service(const Config& config, std::string_view name) {
  for (size_t i = 0; i < config.services.size(); ++i) {
    if (config.services[i].name == name) return ServiceId(i);
  }
  return std::nullopt;
}

std::optional<MirrorId> find_mirror(const ServiceConfig& service, std::string_view name) {
  for (size_t i = 0; i < service.mirrors.size(); ++i) {
    if (service.mirrors[i].name == name) return MirrorId(i);
  }
  return std::nullopt;
}

json::object scrub_object(const MirrorScrub& s) {
  return {{"running", s.running}, {"ended", s.ended},   {"files", s.files},
          {"bytes", s.bytes},     {"total", s.total},   {"differed", s.differed},
          {"skipped", s.skipped}, {"proved", s.proved}, {"found", s.found.substr(0, 1000)}};
}

// False: it is incomplete.
bool read_scrub(const json::object& report, MirrorScrub& s) {
  const json::value* value = report.if_contains("scrub");
  if (!value || !value->is_object()) return false;
  Reader in(value->get_object());
  s.running = in.flag("running");
  s.ended = in.flag("ended");
  s.files = in.number("files");
  s.bytes = in.number("bytes");
  s.total = in.number("total");
  s.differed = in.number("differed");
  s.skipped = in.number("skipped");
  s.proved = static_cast<int64_t>(std::min<uint64_t>(in.number("proved"), INT64_MAX));
  s.found = in.text("found");
  return in.ok();
}

std::string line_of(const json::object& object) { return json::serialize(object) + "\n"; }

}  // namespace

std::string write_order(const Config& config, const MirrorOrder& order) {
  const ServiceConfig& service = config.service(order.service);
  return line_of({{"order", kKinds.at(static_cast<size_t>(order.kind))},
                  {"service", service.name},
                  {"mirror", service.mirrors.at(order.mirror.at()).name},
                  {"epoch", order.epoch.value},
                  {"confirmed", order.confirmed}});
}

std::string write_cancel(const Config& config, ServiceId service) {
  return line_of({{"cancel", config.service(service).name}});
}

std::string write_report(const Config& config, const MirrorReport& r) {
  const ServiceConfig& service = config.service(r.service);
  return line_of({{"report", kOutcomes.at(static_cast<size_t>(r.outcome))},
                  {"kind", kKinds.at(static_cast<size_t>(r.kind))},
                  {"service", service.name},
                  {"mirror", service.mirrors.at(r.mirror.at()).name},
                  {"epoch", r.epoch.value},
                  {"files", r.files},
                  {"bytes", r.bytes},
                  {"removed", r.removed},
                  {"backed_up", r.backed_up},
                  {"lost", r.lost},
                  {"backup_set", r.backup_set},
                  {"behind_files", r.lag.files},
                  {"behind_bytes", r.lag.bytes},
                  {"behind_ns", std::max<int64_t>(0, r.lag.age.count())},
                  {"scrub", scrub_object(r.scrub)},
                  {"detail", r.detail.substr(0, 4000)}});
}

Result<std::variant<MirrorOrder, Cancel>> parse_order(const Config& config, std::string_view line) {
  auto object = parse_object(line);
  if (!object) return tl::unexpected(object.error());
  Reader in(*object);
  if (object->contains("cancel")) {
    const auto id = find_service(config, in.text("cancel"));
    if (!id) return refuse(Code::kRefused, "the order names no service of this configuration");
    return Cancel{*id};
  }
  const auto kind = from_name<Kind>(kKinds, in.text("order"));
  const auto service = find_service(config, in.text("service"));
  const auto mirror = service ? find_mirror(config.service(*service), in.text("mirror")) : std::nullopt;
  MirrorOrder order;
  order.epoch.value = in.number("epoch");
  order.confirmed = in.flag("confirmed");
  if (!in.ok() || !kind || !mirror) return refuse(Code::kRefused, "the order is incomplete");
  order.kind = *kind;
  order.service = *service;
  order.mirror = *mirror;
  return order;
}

Result<MirrorReport> parse_report(const Config& config, std::string_view line) {
  auto object = parse_object(line);
  if (!object) return tl::unexpected(object.error());
  Reader in(*object);
  const auto outcome = from_name<Outcome>(kOutcomes, in.text("report"));
  const auto kind = from_name<Kind>(kKinds, in.text("kind"));
  const auto service = find_service(config, in.text("service"));
  const auto mirror = service ? find_mirror(config.service(*service), in.text("mirror")) : std::nullopt;
  MirrorReport r;
  r.epoch.value = in.number("epoch");
  r.files = in.number("files");
  r.bytes = in.number("bytes");
  r.removed = in.number("removed");
  r.backed_up = in.number("backed_up");
  r.lost = in.number("lost");
  r.backup_set = in.text("backup_set");
  r.lag.files = in.number("behind_files");
  r.lag.bytes = in.number("behind_bytes");
  const uint64_t behind = in.number("behind_ns");
  r.lag.age = Duration(static_cast<int64_t>(std::min<uint64_t>(behind, INT64_MAX / 2)));
  r.detail = in.text("detail");
  if (!read_scrub(*object, r.scrub) || !in.ok() || !outcome || !kind || !mirror)
    return refuse(Code::kCorrupt, "the report is incomplete");
  r.outcome = *outcome;
  r.kind = *kind;
  r.service = *service;
  r.mirror = *mirror;
  return r;
}

}  // namespace clusterd::mirror
