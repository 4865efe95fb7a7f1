#include "keep/words.hpp"

namespace clusterd::keep {

namespace {

using versions::Members;

json::object object_of(const ConfigTexts& files) {
  json::object object;
  for (const auto& [name, text] : files) object[name] = text;
  return object;
}

std::optional<ConfigTexts> texts_from(const json::value& value) {
  const json::object* object = value.if_object();
  if (object == nullptr) return std::nullopt;
  ConfigTexts files;
  for (const auto& member : *object) {
    const json::string* text = member.value().if_string();
    if (text == nullptr) return std::nullopt;
    files.emplace(std::string(member.key().data(), member.key().size()),
                  std::string(text->data(), text->size()));
  }
  return versions::refusal_of(files).empty() ? std::optional(files) : std::nullopt;
}

// The object of an answer, if it is no refusal.
Result<json::value> accepted(const std::string& answer) {
  auto value = versions::parsed(answer);
  if (!value) return fail(Code::kCorrupt, "the answer is none of clusterd-config");
  const Members members(*value);
  if (members.has("refused"))
    return fail(members.yes("passes") ? Code::kRetry : Code::kRefused, members.text("refused"));
  return std::move(*value);
}

}  // namespace

std::string asked(const char* what) { return json::serialize(json::object{{"do", what}}); }

std::string asked_for_files(uint64_t number) {
  return json::serialize(json::object{{"do", "files"}, {"number", number}});
}

std::string asked(const Prepare& prepare) {
  return json::serialize(json::object{{"do", "prepare"},
                                      {"to", versions::object_of(prepare.change.to)},
                                      {"owner", prepare.change.owner},
                                      {"arbitration", prepare.change.arbitration},
                                      {"trial_s", prepare.change.trial_s},
                                      {"from_digest", prepare.from_digest},
                                      {"overwrite", prepare.overwrite},
                                      {"files", object_of(prepare.files)}});
}

std::string asked_to_activate(const versions::Version& version) {
  return json::serialize(json::object{{"do", "activate"}, {"to", versions::object_of(version)}});
}

std::string asked(const Apply& apply) {
  return json::serialize(json::object{{"do", "apply"},
                                      {"trial_s", apply.trial_s},
                                      {"rollback_to", apply.rollback_to},
                                      {"previous", apply.previous},
                                      {"overwrite", apply.overwrite},
                                      {"alone", apply.alone},
                                      {"files_only", apply.files_only}});
}

std::string answered(const versions::PeerWord& word) {
  return json::serialize(json::object{
      {"record", versions::encoded(word.record)}, {"running", word.running}, {"edited", word.edited}});
}

std::string answered(const ConfigTexts& files) {
  return json::serialize(json::object{{"files", object_of(files)}});
}

std::string answered_done(uint64_t number, const std::string& note) {
  return json::serialize(json::object{{"done", true}, {"number", number}, {"note", note}});
}

std::string answered_refusal(const Refusal& refusal) {
  return json::serialize(json::object{{"refused", refusal.why}, {"passes", refusal.passes}});
}

std::string what_of(const json::value& question) { return Members(question).text("do"); }

std::optional<Prepare> prepare_from(const json::value& question) {
  const Members members(question);
  Prepare prepare;
  auto files = texts_from(members.at("files"));
  const auto to = versions::version_from(members.at("to"));
  if (!files || !to || versions::digest_of(*files) != to->digest) return std::nullopt;
  prepare.files = std::move(*files);
  prepare.change.to = *to;
  prepare.change.owner = members.text("owner");
  prepare.change.arbitration = members.yes("arbitration");
  prepare.change.trial_s = std::clamp<int64_t>(members.number("trial_s"), 1, 3600);
  prepare.from_digest = members.text("from_digest");
  prepare.overwrite = members.yes("overwrite");
  return prepare;
}

Apply apply_from(const json::value& question) {
  const Members members(question);
  Apply apply;
  apply.trial_s = std::clamp<int64_t>(members.number("trial_s"), 1, 3600);
  apply.rollback_to = members.unsigned_number("rollback_to");
  apply.previous = members.yes("previous");
  apply.overwrite = members.yes("overwrite");
  apply.alone = members.yes("alone");
  apply.files_only = members.yes("files_only");
  return apply;
}

Result<versions::PeerWord> word_from(const std::string& answer) {
  const auto value = accepted(answer);
  if (!value) return tl::unexpected(value.error());
  const Members members(*value);
  const json::string* text = members.at("record").if_string();
  auto record = text == nullptr ? std::nullopt : versions::record_from({text->data(), text->size()});
  if (!record) return fail(Code::kCorrupt, "the answer holds no record of versions");
  return versions::PeerWord{std::move(*record), members.unsigned_number("running"), members.yes("edited")};
}

Result<ConfigTexts> files_from(const std::string& answer) {
  const auto value = accepted(answer);
  if (!value) return tl::unexpected(value.error());
  auto files = texts_from(Members(*value).at("files"));
  if (!files) return fail(Code::kCorrupt, "the answer holds no files of a configuration");
  return std::move(*files);
}

Result<Done> done_from(const std::string& answer) {
  const auto value = accepted(answer);
  if (!value) return tl::unexpected(value.error());
  const Members members(*value);
  if (!members.yes("done")) return fail(Code::kCorrupt, "the answer is none of clusterd-config");
  return Done{members.unsigned_number("number"), members.text("note")};
}

}  // namespace clusterd::keep
