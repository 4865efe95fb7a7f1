#include "linux/mirror/backup_json.hpp"

#include <boost/json.hpp>

namespace clusterd {
namespace {

namespace json = boost::json;

json::object object_of(const BackupSet& s) {
  return {{"service", s.service},
          {"mirror", s.mirror},
          {"name", s.name},
          {"epoch", s.epoch},
          {"source", s.source},
          {"node", s.node},
          {"why", s.why},
          {"created", s.created},
          {"created_unix", s.created_unix},
          {"complete", s.complete},
          {"confirmed", s.confirmed},
          {"files", s.files},
          {"bytes", s.bytes},
          {"lost", s.lost}};
}

json::object object_of(const LostFile& f) {
  json::object o{{"path", f.path}, {"change", f.change},     {"type", f.type},
                 {"size", f.size}, {"mtime_ns", f.mtime_ns}, {"mode", f.mode},
                 {"uid", f.uid},   {"gid", f.gid},           {"kept", f.kept}};
  o["mirrored"] = nullptr;
  if (f.mirrored)
    o["mirrored"] = json::object{{"size", f.mirrored->size}, {"mtime_ns", f.mirrored->mtime_ns}};
  return o;
}

json::object object_of(const BackupFile& f) {
  return {{"path", f.path}, {"type", f.type}, {"size", f.size}, {"mtime_ns", f.mtime_ns}, {"mode", f.mode}};
}

// Members that are missing or of another kind stay at their default: the files are our own, and a damaged one
// must not hide the set that it describes.
std::string text_of(const json::object& o, std::string_view key) {
  const auto* v = o.if_contains(key);
  return v && v->is_string() ? std::string(v->get_string()) : std::string();
}
template <class T>
T number_of(const json::object& o, std::string_view key) {
  const auto* v = o.if_contains(key);
  if (!v) return T{};
  boost::system::error_code error;
  const T n = v->to_number<T>(error);
  return error ? T{} : n;
}
bool flag_of(const json::object& o, std::string_view key) {
  const auto* v = o.if_contains(key);
  return v && v->is_bool() && v->get_bool();
}

BackupSet set_of(const json::object& o) {
  BackupSet s;
  s.service = text_of(o, "service");
  s.mirror = text_of(o, "mirror");
  s.name = text_of(o, "name");
  s.epoch = number_of<uint64_t>(o, "epoch");
  s.source = text_of(o, "source");
  s.node = text_of(o, "node");
  s.why = text_of(o, "why");
  s.created = text_of(o, "created");
  s.created_unix = number_of<int64_t>(o, "created_unix");
  s.complete = flag_of(o, "complete");
  s.confirmed = flag_of(o, "confirmed");
  s.files = number_of<uint64_t>(o, "files");
  s.bytes = number_of<uint64_t>(o, "bytes");
  s.lost = number_of<uint64_t>(o, "lost");
  return s;
}

LostFile lost_of(const json::object& o) {
  LostFile f;
  f.path = text_of(o, "path");
  f.change = text_of(o, "change");
  f.type = text_of(o, "type");
  f.size = number_of<uint64_t>(o, "size");
  f.mtime_ns = number_of<int64_t>(o, "mtime_ns");
  f.mode = number_of<unsigned>(o, "mode");
  f.uid = number_of<unsigned>(o, "uid");
  f.gid = number_of<unsigned>(o, "gid");
  f.kept = flag_of(o, "kept");
  const auto* mirrored = o.if_contains("mirrored");
  if (mirrored && mirrored->is_object()) {
    f.mirrored = LostFile::Version{number_of<uint64_t>(mirrored->get_object(), "size"),
                                   number_of<int64_t>(mirrored->get_object(), "mtime_ns")};
  }
  return f;
}

Result<json::object> parse(std::string_view text) {
  boost::system::error_code error;
  json::value v = json::parse({text.data(), text.size()}, error);
  if (error || !v.is_object()) return fail(Code::kCorrupt, "not a JSON object");
  return std::move(v.get_object());
}

}  // namespace

std::string to_json(const BackupSet& set) { return json::serialize(object_of(set)); }

std::string to_json(const BackupReport& report) {
  json::array lost, files;
  for (const auto& f : report.lost) lost.push_back(object_of(f));
  for (const auto& f : report.files) files.push_back(object_of(f));
  return json::serialize(
      json::object{{"set", object_of(report.set)}, {"lost", std::move(lost)}, {"files", std::move(files)}});
}

Result<BackupSet> parse_set(std::string_view text) {
  auto object = parse(text);
  if (!object) return tl::unexpected(object.error());
  return set_of(*object);
}

Result<BackupReport> parse_report_json(std::string_view text) {
  auto object = parse(text);
  if (!object) return tl::unexpected(object.error());
  BackupReport report;
  if (const auto* set = object->if_contains("set"); set && set->is_object()) {
    report.set = set_of(set->get_object());
  } else {
    return fail(Code::kCorrupt, "not a report");
  }
  if (const auto* lost = object->if_contains("lost"); lost && lost->is_array()) {
    for (const auto& v : lost->get_array()) {
      if (v.is_object()) report.lost.push_back(lost_of(v.get_object()));
    }
  }
  return report;
}

std::string receive_request(const std::string& service, const std::string& mirror, uint64_t epoch) {
  return json::serialize(json::object{
      {"kind", "mirror-receive"}, {"service", service}, {"node", ""}, {"text", mirror}, {"epoch", epoch}});
}

std::string answer_text(std::string_view body) {
  auto object = parse(body);
  return object ? text_of(*object, "text") : std::string();
}

}  // namespace clusterd
