// What clusterd-config is asked and answered by the other node, and the record of versions on disk.
#include "alike/words.hpp"
#include "always/words.hpp"
#include "keep/words.hpp"
#include "targets.hpp"

namespace clusterd::fuzz {

namespace {

void questions(const std::string& text) {
  const auto question = versions::parsed(text);
  if (!question) return;
  (void)keep::what_of(*question);
  const keep::Apply apply = keep::apply_from(*question);
  require(apply.trial_s >= 1 && apply.trial_s <= 3600, "a trial of bounded length");
  const auto prepare = keep::prepare_from(*question);
  if (!prepare) return;
  require(versions::refusal_of(prepare->files).empty(), "files that a node may be given");
  require(versions::digest_of(prepare->files) == prepare->change.to.digest,
          "the files are those of the version");
  const auto said = versions::parsed(keep::asked(*prepare));
  require(said.has_value(), "our own words are understood");
  const auto again = keep::prepare_from(*said);
  require(again && again->files == prepare->files && again->change.to == prepare->change.to &&
              again->overwrite == prepare->overwrite,
          "a question is read back as it was");
}

void answers(const std::string& text) {
  if (const auto word = keep::word_from(text)) {
    const auto again = keep::word_from(keep::answered(*word));
    require(again && again->record == word->record && again->running == word->running, "a word is read back");
  }
  if (const auto files = keep::files_from(text)) {
    require(versions::refusal_of(*files).empty(), "files that a node may be given");
    const auto again = keep::files_from(keep::answered(*files));
    require(again && *again == *files, "files are read back as they were");
  }
  (void)keep::done_from(text);
}

void record(const std::string& text) {
  const auto read = versions::record_from(text);
  if (!read) return;
  require(read->history.size() <= versions::kMaxKept, "as many versions as are kept");
  const auto again = versions::record_from(versions::encoded(*read));
  require(again && *again == *read, "a record is read back as it was");
}

// What the always mirror of the other node says, asks for and brings.
void always_words(const std::string& text) {
  static const AlwaysConfig kListed{{"/etc/hosts", "/etc/site/"}, {"*.bak"}};
  if (const auto stored = always::stored_from(text))
    require(always::stored_from(always::encoded(*stored)) == *stored, "a store is read back as it was");
  const auto value = versions::parsed(text);
  if (!value) return;
  for (const always::Wanted& wanted : always::wanted_from(*value))
    require(always::is_digest(wanted.digest) && wanted.at <= always::kMaxFileBytes, "a part of a file");
  if (const auto parts = always::parts_from(*value)) {
    size_t bytes = 0;
    for (const always::Part& part : *parts) bytes += part.data.size();
    require(bytes <= always::kMaxCarriedBytes, "no more than is asked for");
  }
  const auto word = always::word_from(*value);
  if (!word) return;
  require(always::word_from(*versions::parsed(always::encoded(*word))) == *word, "a word is read back");
  if (!always::fault_of(kListed, *word).empty()) return;
  for (const auto& [path, entry] : word->entries)
    require(path.starts_with("/etc/") && path.find("/../") == std::string::npos &&
                always::covers(kListed, path, entry.kind == always::Kind::kFolder),
            "only what is listed");
  always::Word mine;
  const auto findings = always::judge(kListed, {"a", "b"}, mine, *word);
  require(always::stuck(findings).size() <= 1024, "a text of bounded length");
  for (const auto& [path, agreement] : always::noted(findings, mine, *word, "fresh").agreed)
    require(agreement.number > 0, "a number");
}

// What the other node says to have of what a service needs, and what the daemon is told of it.
void alike_words(const std::string& text) {
  if (const auto report = alike::report_from(text)) {
    const auto again = alike::report_from(alike::encoded(*report));
    require(again && again->size() == report->size(), "a report is read back");
  }
  const auto value = versions::parsed(text);
  if (!value) return;
  const auto word = alike::word_from(*value);
  if (!word) return;
  require(alike::word_from(*versions::parsed(alike::encoded(*word))) == *word,
          "a word is read back as it was");
  require(word->services.size() <= kMaxServices, "services within bounds");
  alike::Report report;
  for (const auto& [name, theirs] : word->services) {
    require(theirs.items.size() <= alike::kMaxItems, "items within bounds");
    for (const auto& [path, item] : theirs.items)
      require(item.what == alike::What::kUnit
                  ? path.find('/') == std::string::npos
                  : path.starts_with("/") && (path + "/").find("/../") == std::string::npos,
              "a unit or a path that leads nowhere else");
    const alike::Likeness likeness = compare({theirs.wanted, {}}, &theirs);
    require(likeness.differ == likeness.differences.size(), "each difference is named");
    for (const alike::Difference& one : likeness.differences)
      require(alike::text(one, "a", "b").size() < 1024, "a text of bounded length");
    report.emplace(name, likeness);
  }
  const std::string told = alike::encoded(report);
  require(told.size() <= size_t{64} * 1024 && alike::report_from(told), "the daemon takes it");
}

// What stands behind the digest: files of any names and contents, and one byte of the question changed.
void prepared(Feed& feed) {
  keep::Prepare prepare;
  for (size_t left = feed.below(4); left > 0; --left) {
    const std::string name = feed.text(feed.below(24));
    prepare.files[name] = feed.text(feed.byte());
  }
  prepare.change.to.number = feed.number(4);
  prepare.change.to.digest = versions::digest_of(prepare.files);
  prepare.change.to.by = feed.text(8);
  prepare.change.owner = feed.text(8);
  prepare.change.trial_s = static_cast<int64_t>(feed.number());
  std::string text = keep::asked(prepare);
  const size_t at = feed.number(2) % text.size();
  if (feed.coin()) text.at(at) = static_cast<char>(feed.byte());
  questions(text);
}

}  // namespace

void fuzz_versions(Bytes input) {
  Feed feed(input);
  const uint8_t choice = feed.byte();
  if (choice % 4 == 3) return prepared(feed);
  const std::string text(text_of(feed.rest()));
  if (choice >= 192) return alike_words(text);
  if (choice >= 128) return always_words(text);
  if (choice % 4 == 0) return questions(text);
  if (choice % 4 == 1) return answers(text);
  record(text);
}

}  // namespace clusterd::fuzz
