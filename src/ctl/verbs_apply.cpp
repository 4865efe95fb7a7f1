// clusterctl apply, rollback.
#include "ctl/verbs_apply.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <memory>
#include <thread>

#include "config/scalar.hpp"
#include "ctl/exit_codes.hpp"
#include "keep/secret_talk.hpp"
#include "linux/versions/store.hpp"

namespace clusterd::ctl {

namespace {

namespace json = boost::json;
using versions::Record;

int report(bool as_json, uint64_t number, bool ok, const std::string& text) {
  if (as_json) {
    print(json::serialize(json::object{{"version", number}, {"ok", ok}, {"text", text}}) + "\n");
    return ok ? kExitOk : kExitFailed;
  }
  if (!ok) return complain(text, kExitFailed);
  print(text + "\n");
  return kExitOk;
}

int await(const VersionStore& store, uint64_t number, const ApplyFlags& flags, const std::string& note) {
  std::string said;
  while (true) {
    const Record record = store.load();
    if (!record.change || record.change->to.number != number) {
      const bool accepted =
          std::ranges::any_of(record.history, [&](const auto& version) { return version.number == number; });
      std::string text = record.last;
      if (!note.empty()) text += "\n" + note;
      return report(flags.json, number, accepted, text);
    }
    if (const std::string now = progress(*record.change); now != said && !flags.json) {
      said = now;
      print(fmt::format("version {} {}\n", number, printable(said)));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
}

void add_apply_flags(CLI::App& verb, const std::shared_ptr<ApplyFlags>& flags) {
  verb.add_option("--trial", flags->trial,
                  "How long the nodes have to hear each other with it before it is kept: 10s to 1h")
      ->capture_default_str();
  verb.add_flag("!--no-wait", flags->wait, "Return when both nodes have checked it");
  verb.add_flag("--json", flags->json, "As JSON");
}

// A daemon that has only just started, or is busy with another version, is asked again for a while.
tl::expected<Result<keep::Done>, int> ask_until_it_passes(const Globals& globals, const std::string& question,
                                                          bool quiet) {
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  std::string said;
  while (true) {
    const auto answer = ask_keeper(globals, question);
    if (!answer) return tl::unexpected(answer.error());
    auto done = keep::done_from(*answer);
    if (done || done.error().code != Code::kRetry || std::chrono::steady_clock::now() > patience) return done;
    if (done.error().message != said && !quiet)
      print("waiting: " + printable_lines(done.error().message) + "\n");
    said = done.error().message;
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
  }
}

}  // namespace

tl::expected<std::string, int> ask_keeper(const Globals& globals, const std::string& question, bool quiet) {
  const auto failed = [&](const Error& error) -> tl::expected<std::string, int> {
    if (quiet) return tl::unexpected(kExitUnreachable);
    return tl::unexpected(complain(
        fmt::format("clusterd does not run here ({})\n  start it:  systemctl start clusterd", error.message),
        kExitUnreachable));
  };
  auto talk = keep::SecretTalk::local(globals.run_dir);
  if (!talk) return failed(talk.error());
  if (auto said = talk->say(question); !said) return failed(said.error());
  auto answer = talk->hear(std::chrono::seconds(90));
  if (!answer) return failed(answer.error());
  return std::move(*answer);
}

std::string progress(const versions::Change& change) {
  switch (change.phase) {
    case versions::Phase::kPrepared:
      return "is checked on both nodes";
    case versions::Phase::kTrying:
      if (!change.peer_has) return "is checked on both nodes, and goes into place";
      return change.ran ? "runs on this node, on trial" : "is in place on both nodes; clusterd takes it";
    case versions::Phase::kReturning:
      return fmt::format("is given up ({}): back to version {}", change.failed, change.from.number);
  }
  return "";
}

int apply(const Globals& globals, ApplyFlags flags, const std::string& verb) {
  if (::geteuid() != 0)
    return complain(
        fmt::format("{} changes /etc/cluster.d and has to be run by root:  sudo clusterctl {}", verb, verb),
        kExitNotAllowed);
  const auto trial = config::parse_duration(flags.trial);
  if (!trial || *trial < std::chrono::seconds(10) || *trial > std::chrono::hours(1))
    return complain("--trial takes a time from 10s to 1h, such as 60s", kExitUsage);
  flags.order.trial_s = std::chrono::duration_cast<std::chrono::seconds>(*trial).count();
  const VersionStore store(globals.state_dir, globals.config_dir);
  const auto answered = ask_until_it_passes(globals, keep::asked(flags.order), flags.json);
  if (!answered) return answered.error();
  const Result<keep::Done>& done = *answered;
  if (!done) {
    const bool errors = done.error().message.starts_with("the configuration has errors");
    if (flags.json) {
      report(true, 0, false, done.error().message);
      return errors ? kExitConfig : kExitFailed;
    }
    return complain(printable_lines(done.error().message), errors ? kExitConfig : kExitFailed);
  }
  if (flags.order.files_only || flags.order.alone)
    return report(flags.json, done->number, true,
                  flags.order.files_only
                      ? fmt::format("the files are those of version {} again; {}", done->number, done->note)
                      : done->note);
  if (!flags.wait)
    return report(flags.json, done->number, true,
                  fmt::format("version {} is checked on both nodes; `clusterctl versions` says how far it is",
                              done->number));
  return await(store, done->number, flags, done->note);
}

void add_apply_verbs(CLI::App& app, Globals& globals, Chosen& chosen) {
  auto flags = std::make_shared<ApplyFlags>();
  CLI::App* verb = app.add_subcommand(
      "apply", "Check the edited configuration on both nodes, and put it in force on both or none");
  add_apply_flags(*verb, flags);
  verb->add_flag("--overwrite", flags->order.overwrite,
                 "Also over what was edited on the other node (it is kept aside there)");
  verb->add_flag("--alone", flags->order.alone,
                 "The other node is away: it gets the version when it returns. For services only");
  verb->footer("Example: clusterctl plan && clusterctl apply");
  verb->callback([&, flags] { chosen = [&, flags] { return apply(globals, *flags, "apply"); }; });

  auto back = std::make_shared<ApplyFlags>();
  verb = app.add_subcommand("rollback", "Put an earlier version in force again, as a new one, on both nodes");
  CLI::Option* number = verb->add_option("version", back->order.rollback_to,
                                         "Its number (default: the one before the present one)");
  add_apply_flags(*verb, back);
  verb->add_flag("--files", back->order.files_only,
                 "Only let go of what was edited here since (it is kept aside)");
  verb->footer("Example: clusterctl rollback 4");
  verb->callback([&, back, number] {
    back->order.previous = number->count() == 0 && !back->order.files_only;
    chosen = [&, back] { return apply(globals, *back, "rollback"); };
  });
}

}  // namespace clusterd::ctl
