#include "always/words.hpp"

#include <sodium.h>

#include "mirror/escape.hpp"
#include "versions/json.hpp"

namespace clusterd::always {

namespace {

using versions::Members;

constexpr size_t kMaxStored = 2 * kMaxEntries;

std::optional<std::string> raw(const Members& members, std::string_view key) {
  const json::string* text = members.at(key).if_string();
  if (text == nullptr) return members.has(key) ? std::nullopt : std::optional(std::string());
  if (text->size() > 4 * kMaxPathBytes) return std::nullopt;
  return mirror::unescape({text->data(), text->size()});
}

std::optional<uint32_t> small(const Members& members, std::string_view key) {
  const uint64_t number = members.unsigned_number(key);
  return number > UINT32_MAX ? std::nullopt : std::optional(static_cast<uint32_t>(number));
}

json::object object_of(const StoreMark& mark) { return {{"id", mark.id}, {"turn", mark.turn}}; }

StoreMark mark_from(const json::value& value) {
  const Members members(value);
  return {members.text("id"), members.unsigned_number("turn")};
}

json::object object_of(const Agreements& agreed) {
  json::object out;
  for (const auto& [path, agreement] : agreed) {
    json::object one{{"entry", encoded(agreement.entry)}, {"number", agreement.number}};
    if (agreement.decided) one["decided"] = true;
    out[mirror::escape(path)] = std::move(one);
  }
  return out;
}

// Each member with its unescaped key, while `take` says that it is well.
template <class Take>
bool each_path(const json::value& value, size_t most, const Take& take) {
  const json::object* object = value.if_object();
  if (object == nullptr || object->size() > most) return false;
  for (const auto& member : *object) {
    const auto path = mirror::unescape({member.key().data(), member.key().size()});
    if (!path || !take(*path, member.value())) return false;
  }
  return true;
}

bool read_agreements(const json::value& value, Agreements& out) {
  return each_path(value, kMaxStored, [&](const std::string& path, const json::value& one) {
    const Members members(one);
    auto entry = entry_from(members.at("entry"));
    const uint64_t number = members.unsigned_number("number");
    if (!entry || number == 0) return false;
    out.emplace(path, Agreement{std::move(*entry), number, members.yes("decided")});
    return true;
  });
}

std::string base64(std::string_view bytes) {
  std::string out(sodium_base64_encoded_len(bytes.size(), sodium_base64_VARIANT_ORIGINAL), '\0');
  sodium_bin2base64(out.data(), out.size(), reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(),
                    sodium_base64_VARIANT_ORIGINAL);
  out.pop_back();  // the NUL
  return out;
}

std::optional<std::string> bytes_of(const json::value& value) {
  const json::string* text = value.if_string();
  if (text == nullptr) return std::nullopt;
  std::string out(text->size() / 4 * 3 + 3, '\0');
  size_t size = 0;
  const char* end = nullptr;
  if (sodium_base642bin(reinterpret_cast<uint8_t*>(out.data()), out.size(), text->data(), text->size(),
                        nullptr, &size, &end, sodium_base64_VARIANT_ORIGINAL) != 0 ||
      end != text->data() + text->size())
    return std::nullopt;
  out.resize(size);
  return out;
}

}  // namespace

json::object encoded(const Entry& entry) {
  json::object out{{"kind", name(entry.kind)}};
  if (!entry.there()) return out;
  if (entry.mode != 0) out["mode"] = entry.mode;
  out["uid"] = entry.uid;
  out["gid"] = entry.gid;
  if (!entry.user.empty()) out["user"] = mirror::escape(entry.user);
  if (!entry.group.empty()) out["group"] = mirror::escape(entry.group);
  if (!entry.content.empty()) out["content"] = mirror::escape(entry.content);
  if (entry.size != 0) out["size"] = entry.size;
  if (entry.mtime_ns != 0) out["mtime_ns"] = entry.mtime_ns;
  return out;
}

std::optional<Entry> entry_from(const json::value& value) {
  const Members members(value);
  Entry entry;
  const std::string kind = members.text("kind");
  bool known = false;
  for (const Kind one :
       {Kind::kAbsent, Kind::kFile, Kind::kFolder, Kind::kLink, Kind::kOpaque, Kind::kSpecial}) {
    if (kind != name(one)) continue;
    entry.kind = one;
    known = true;
  }
  if (known && !entry.there()) return entry;  // of nothing nothing else is said
  const auto user = raw(members, "user"), group = raw(members, "group"), content = raw(members, "content");
  const auto mode = small(members, "mode"), uid = small(members, "uid"), gid = small(members, "gid");
  if (!known || !user || !group || !content || !mode || !uid || !gid) return std::nullopt;
  entry.mode = *mode;
  entry.uid = *uid;
  entry.gid = *gid;
  entry.user = *user;
  entry.group = *group;
  entry.content = *content;
  entry.size = members.unsigned_number("size");
  entry.mtime_ns = members.number("mtime_ns");
  return entry;
}

std::string encoded(const Word& word) {
  json::object entries;
  for (const auto& [path, entry] : word.entries) entries[mirror::escape(path)] = encoded(entry);
  return json::serialize(json::object{{"hash", word.hash},
                                      {"halted", word.halted},
                                      {"store", object_of(word.store)},
                                      {"seen", object_of(word.seen)},
                                      {"entries", std::move(entries)},
                                      {"agreed", object_of(word.agreed)}});
}

std::optional<Word> word_from(const json::value& value) {
  const Members members(value);
  Word word;
  word.hash = members.unsigned_number("hash");
  word.halted = members.text("halted");
  word.store = mark_from(members.at("store"));
  word.seen = mark_from(members.at("seen"));
  const bool read =
      each_path(members.at("entries"), kMaxEntries, [&](const std::string& path, const json::value& one) {
        auto entry = entry_from(one);
        if (entry) word.entries.emplace(path, std::move(*entry));
        return entry.has_value();
      });
  if (!read || !read_agreements(members.at("agreed"), word.agreed)) return std::nullopt;
  return word;
}

std::string asked_to_look(const std::string& known, const std::string& mine) {
  return json::serialize(json::object{{"do", "always-look"}, {"known", known}, {"mine", mine}});
}

std::string asked_for(const std::vector<Wanted>& files) {
  json::array all;
  for (const Wanted& file : files)
    all.push_back(
        json::object{{"path", mirror::escape(file.path)}, {"digest", file.digest}, {"at", file.at}});
  return json::serialize(json::object{{"do", "always-files"}, {"files", std::move(all)}});
}

std::vector<Wanted> wanted_from(const json::value& question) {
  const json::array* all = Members(question).at("files").if_array();
  std::vector<Wanted> out;
  if (all == nullptr || all->size() > kMaxAskedFiles) return out;
  for (const json::value& one : *all) {
    const Members members(one);
    const auto path = raw(members, "path");
    Wanted file{path.value_or(""), members.text("digest"), members.unsigned_number("at")};
    if (!path || !is_digest(file.digest) || file.at > kMaxFileBytes) return {};
    out.push_back(std::move(file));
  }
  return out;
}

std::string answered(const std::vector<Part>& parts) {
  json::array all;
  for (const Part& part : parts) {
    json::object one{{"path", mirror::escape(part.path)}};
    if (part.gone)
      one["gone"] = true;
    else
      one["data"] = base64(part.data);
    all.push_back(std::move(one));
  }
  return json::serialize(json::object{{"parts", std::move(all)}});
}

std::optional<std::vector<Part>> parts_from(const json::value& answer) {
  const json::array* all = Members(answer).at("parts").if_array();
  if (all == nullptr || all->size() > kMaxAskedFiles) return std::nullopt;
  std::vector<Part> out;
  size_t bytes = 0;
  for (const json::value& one : *all) {
    const Members members(one);
    const auto path = raw(members, "path");
    if (!path) return std::nullopt;
    Part part{*path, "", members.yes("gone")};
    if (!part.gone) {
      auto data = bytes_of(members.at("data"));
      if (!data) return std::nullopt;
      part.data = std::move(*data);
      bytes += part.data.size();
    }
    out.push_back(std::move(part));
  }
  return bytes > kMaxCarriedBytes ? std::nullopt : std::optional(std::move(out));
}

std::string encoded(const Stored& stored) {
  json::object body{{"store", object_of(stored.store)},
                    {"seen", object_of(stored.seen)},
                    {"agreed", object_of(stored.agreed)}};
  const std::string text = json::serialize(body);
  return json::serialize(json::object{{"digest", digest_of(text)}, {"body", std::move(body)}}) + "\n";
}

std::optional<Stored> stored_from(const std::string& text) {
  const auto value = versions::parsed(text);
  if (!value) return std::nullopt;
  const Members members(*value);
  const Members body(members.at("body"));
  if (members.text("digest") != digest_of(json::serialize(members.at("body")))) return std::nullopt;
  Stored stored{mark_from(body.at("store")), mark_from(body.at("seen")), {}};
  if (stored.store.id.empty() || !read_agreements(body.at("agreed"), stored.agreed)) return std::nullopt;
  return stored;
}

json::value shown(const Entry& entry) {
  if (!entry.there()) return nullptr;
  json::object out{
      {"kind", name(entry.kind)}, {"size", entry.size}, {"mtime", entry.mtime_ns / 1'000'000'000}};
  if (entry.kind == Kind::kFile || entry.kind == Kind::kFolder) {
    out["mode"] = entry.mode;
    out["user"] = entry.user.empty() ? std::to_string(entry.uid) : mirror::escape(entry.user);
    out["group"] = entry.group.empty() ? std::to_string(entry.gid) : mirror::escape(entry.group);
  }
  if (entry.kind == Kind::kLink) out["leads_to"] = mirror::escape(entry.content);
  if (entry.kind == Kind::kFile) out["digest"] = entry.content;
  return out;
}

}  // namespace clusterd::always
