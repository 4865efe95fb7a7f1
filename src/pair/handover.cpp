#include "pair/handover.hpp"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>
#include <boost/json.hpp>

#include "config/draft.hpp"
#include "pair/code.hpp"
#include "pair/cpace.hpp"

namespace clusterd::pair {

namespace {

namespace json = boost::json;

std::optional<json::object> object_from(const std::string& message) {
  json::parse_options options;
  options.max_depth = 8;
  json::error_code error;
  json::value value = json::parse(message, error, {}, options);
  if (error || !value.is_object()) return std::nullopt;
  return std::move(value.get_object());
}

std::string text_in(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains({key.data(), key.size()});
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : "";
}

// The texts of a list, at most `most` of at most 1000 bytes.
setup::Lines texts_in(const json::object& object, std::string_view key, size_t most) {
  setup::Lines texts;
  const json::value* value = object.if_contains({key.data(), key.size()});
  if (value == nullptr || !value->is_array()) return texts;
  for (const json::value& one : value->get_array()) {
    if (texts.size() == most) break;
    if (one.is_string() && one.get_string().size() <= 1000) texts.emplace_back(one.get_string());
  }
  return texts;
}

std::optional<setup::MachineNic> nic_from(const json::value& value) {
  if (!value.is_object()) return std::nullopt;
  setup::MachineNic nic;
  nic.name = text_in(value.get_object(), "name");
  if (!config::is_name(nic.name, "._-@", 15)) return std::nullopt;
  for (const std::string& text : texts_in(value.get_object(), "addresses", setup::kMaxAddressesPerNic)) {
    const auto prefix = Prefix::parse(text);
    if (prefix && !config::unusable(*prefix)) nic.addresses.push_back(*prefix);
  }
  return nic;
}

// "ssh-ed25519 AAAA…": two words of plain characters, since they go into known_hosts as they are.
bool is_host_key(const std::string& line) {
  const size_t blank = line.find(' ');
  if (blank == std::string::npos || line.find(' ', blank + 1) != std::string::npos) return false;
  return line.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/=-.@ ") ==
             std::string::npos &&
         (line.rfind("ssh-", 0) == 0 || line.rfind("ecdsa-", 0) == 0) && blank + 1 < line.size();
}

const char* name(Word word) {
  switch (word) {
    case Word::kStaged:
      return "staged";
    case Word::kKeep:
      return "keep";
    case Word::kKept:
      return "kept";
  }
  return "?";
}

}  // namespace

std::string encoded(const About& about) {
  json::array nics;
  for (const setup::MachineNic& nic : about.machine.nics) {
    json::array addresses;
    for (const Prefix& prefix : nic.addresses) addresses.emplace_back(prefix.text());
    nics.push_back(json::object{{"name", nic.name}, {"addresses", std::move(addresses)}});
  }
  json::array keys;
  for (const std::string& key : about.host_keys) keys.emplace_back(key);
  return json::serialize(json::object{{"kind", "about"},
                                      {"name", about.machine.name},
                                      {"version", about.version},
                                      {"clock", about.clock_s},
                                      {"nics", std::move(nics)},
                                      {"host_keys", std::move(keys)}});
}

std::optional<About> about_from(const std::string& message) {
  const auto object = object_from(message);
  if (!object || text_in(*object, "kind") != "about") return std::nullopt;
  About about;
  about.machine.name = text_in(*object, "name");
  about.version = setup::comment_text(text_in(*object, "version")).substr(0, 40);
  if (!config::is_name(about.machine.name, ".-_", 63)) return std::nullopt;
  if (const json::value* clock = object->if_contains("clock"); clock != nullptr && clock->is_int64())
    about.clock_s = std::clamp<int64_t>(clock->get_int64(), 0, int64_t{1} << 40U);
  const json::value* nics = object->if_contains("nics");
  if (nics == nullptr || !nics->is_array() || nics->get_array().size() > setup::kMaxNics) return std::nullopt;
  for (const json::value& value : nics->get_array()) {
    auto nic = nic_from(value);
    if (!nic) return std::nullopt;
    about.machine.nics.push_back(std::move(*nic));
  }
  for (std::string& key : texts_in(*object, "host_keys", kMaxHostKeys)) {
    if (is_host_key(key)) about.host_keys.push_back(std::move(key));
  }
  return about;
}

bool is_private(const std::string& name) { return name == "secret.key" || name == "mirror_key"; }

bool is_cluster_file(const std::string& name) {
  for (const char* plain : {"cluster.toml", "secret.key", "mirror_key", "mirror_key.pub", "known_hosts"})
    if (name == plain) return true;
  constexpr std::string_view kFolder = "services/";
  constexpr std::string_view kSuffix = ".toml";
  if (name.size() <= kFolder.size() + kSuffix.size() || name.compare(0, kFolder.size(), kFolder) != 0 ||
      name.compare(name.size() - kSuffix.size(), kSuffix.size(), kSuffix) != 0)
    return false;
  const std::string service = name.substr(kFolder.size(), name.size() - kFolder.size() - kSuffix.size());
  return config::is_name(service, "_-", 32);
}

std::string encoded(const ConfigTexts& files) {
  json::object object;
  for (const auto& [name, text] : files) object.emplace(name, text);
  return json::serialize(json::object{{"kind", "files"}, {"files", std::move(object)}});
}

std::optional<ConfigTexts> files_from(const std::string& message) {
  const auto object = object_from(message);
  if (!object || text_in(*object, "kind") != "files") return std::nullopt;
  const json::value* files = object->if_contains("files");
  if (files == nullptr || !files->is_object() || files->get_object().size() > 64) return std::nullopt;
  ConfigTexts texts;
  size_t bytes = 0;
  for (const auto& member : files->get_object()) {
    const std::string name(member.key());
    if (!is_cluster_file(name) || !member.value().is_string()) return std::nullopt;
    std::string text(member.value().get_string());
    bytes += text.size();
    if (text.size() > kMaxConfigFileBytes || bytes > kMaxBundleBytes) return std::nullopt;
    texts.emplace(name, std::move(text));
  }
  if (!texts.contains("cluster.toml") || !texts.contains("secret.key")) return std::nullopt;
  return texts;
}

std::string encoded(Word word) { return json::serialize(json::object{{"kind", name(word)}}); }

bool is(Word word, const std::string& message) {
  const auto object = object_from(message);
  return object && text_in(*object, "kind") == name(word);
}

std::string encoded(const setup::Trouble& trouble) {
  return json::serialize(json::object{{"kind", "error"}, {"text", trouble.text}, {"remedy", trouble.remedy}});
}

std::optional<setup::Trouble> trouble_from(const std::string& message) {
  const auto object = object_from(message);
  if (!object || text_in(*object, "kind") != "error") return std::nullopt;
  return setup::Trouble{setup::comment_text(text_in(*object, "text")).substr(0, 2000),
                        setup::comment_text(text_in(*object, "remedy")).substr(0, 2000)};
}

std::string clock_note(int64_t ahead_s, const std::string& peer) {
  constexpr int64_t kNear = 5;
  if (ahead_s > -kNear && ahead_s < kNear) return "";
  // The other node chose the number: it may be any.
  const uint64_t apart = ahead_s < 0 ? 0 - static_cast<uint64_t>(ahead_s) : static_cast<uint64_t>(ahead_s);
  return fmt::format(
      "the clock of {} is {} s {}: mirrors compare times. Let both nodes follow a time server:  timedatectl "
      "set-ntp true",
      peer, apart, ahead_s < 0 ? "behind" : "ahead");
}

std::string fingerprint(const ConfigTexts& files) {
  std::string all;
  for (const auto& [name, text] : files) all += prepend_len(name) + prepend_len(text);
  std::array<uint8_t, 2 * kCodeLength> digest{};
  crypto_generichash(digest.data(), digest.size(), reinterpret_cast<const uint8_t*>(all.data()), all.size(),
                     nullptr, 0);
  sodium_memzero(all.data(), all.size());
  std::array<uint8_t, kCodeLength> half{};
  std::copy_n(digest.begin(), kCodeLength, half.begin());
  const std::string first = shown(code_from(half));
  std::copy_n(digest.begin() + kCodeLength, kCodeLength, half.begin());
  return first + "-" + shown(code_from(half));
}

}  // namespace clusterd::pair
