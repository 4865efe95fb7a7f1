// cluster.toml but for nodes, reference hosts and timing, which have their own files.
#include <fmt/format.h>

#include "config/draft.hpp"

namespace clusterd::config {

namespace {

using std::chrono::minutes;
using std::chrono::seconds;

// A file or program that clusterd opens or runs: absolute, since a daemon's working directory means nothing.
void read_path(Section& section, std::string_view key, std::string& target, Problems& problems) {
  const auto text = section.text(key);
  if (!text) return;
  if (!is_plain_path(text->value) || text->value.back() == '/') {
    problems.error(
        text->place,
        fmt::format("{} in {} is no absolute path of a file: \"{:.80}\"", key, section.name(), text->value),
        fmt::format("write {} = \"/…\" in full, without \"..\", \"//\" and a \"/\" at the end", key));
    return;
  }
  target = text->value;
}

// A shell command: the first word must be an absolute path, for the same reason.
void read_command(Section& section, std::string_view key, std::string& target, Problems& problems) {
  const auto text = section.text(key);
  if (!text) return;
  if (text->value.front() != '/') {
    problems.error(text->place,
                   fmt::format("{} in {} does not begin with an absolute path: \"{:.80}\"", key,
                               section.name(), text->value),
                   fmt::format("write {} = \"/usr/local/sbin/…\"", key));
    return;
  }
  target = text->value;
}

void read_notify(const Value& table, Config& config, Problems& problems) {
  Section section(table, "[notify]", problems);
  read_command(section, "command", config.notify.command, problems);
  if (const auto mail = section.text("mail")) {
    const bool plain = is_name(mail->value, "@._+-", 254) && mail->value.back() != '@';
    if (plain) {
      config.notify.mail = mail->value;
    } else {
      problems.error(mail->place, fmt::format("mail in [notify] is no mail address: \"{:.80}\"", mail->value),
                     "write mail = \"root\" or mail = \"admin@example.org\"");
    }
  }
  section.finish();
}

void read_hooks(const Value& table, Config& config, Problems& problems) {
  Section section(table, "[hooks]", problems);
  read_command(section, "up", config.hooks.up, problems);
  read_command(section, "down", config.hooks.down, problems);
  section.duration("timeout", config.hooks.timeout, seconds(1), minutes(5));
  section.finish();
}

void read_ssh(const Value& table, Config& config, Problems& problems) {
  Section section(table, "[ssh]", problems);
  if (const auto user = section.text("user")) {
    if (is_name(user->value, "._-", 32)) {
      config.ssh.user = user->value;
    } else {
      problems.error(user->place, fmt::format("user in [ssh] is no user name: \"{:.80}\"", user->value),
                     "write user = \"root\"");
    }
  }
  read_path(section, "identity", config.ssh.identity, problems);
  read_path(section, "known_hosts", config.ssh.known_hosts, problems);
  section.number("port", config.ssh.port, 1, 65535);
  section.finish();
}

void read_mirror_port(const Value& table, Config& config, Problems& problems) {
  Section section(table, "[mirror]", problems);
  section.number("port", config.mirror_port, 1, 65535);
  section.finish();
}

void read_cluster_name(Section& section, Config& config, Problems& problems) {
  const auto text = section.required_text("name", "office");
  if (!text) return;
  if (is_name(text->value, "._-", 63)) {
    config.cluster = text->value;
    return;
  }
  problems.error(text->place, fmt::format("name in [cluster] cannot be \"{:.80}\"", text->value),
                 "use letters, digits, \".\", \"_\" and \"-\", at most 63, beginning with a letter or digit");
}

}  // namespace

void read_cluster(const Value& root, const std::string& dir, ClusterDraft& draft, Problems& problems) {
  Config& config = draft.config;
  Section file(root, "cluster.toml", problems);
  const Value* cluster = file.table("cluster");
  const Value* timing = file.table("timing");
  const Value* node = file.table("node");
  const Value empty{Value::Kind::kTable, {root.place.file, 0, 0}, {}, 0, false, {}, {}};
  if (cluster == nullptr && !file.has("cluster"))
    problems.error(empty.place, "the table [cluster] is missing", "add [cluster] with name = \"office\"");
  if (node == nullptr && !file.has("node"))
    problems.error(empty.place, "the tables of the nodes are missing",
                   "add [node.NAME] for each of the two nodes");

  // Nodes first: the reference hosts are checked against their networks.
  if (node != nullptr) read_nodes(*node, draft, problems);

  if (const Value* watchdog = file.table("watchdog")) read_watchdog(*watchdog, draft, problems);
  if (const Value* fence = file.table("fence")) read_fences(*fence, draft, problems);

  config.secret_file = dir + "/secret.key";
  std::optional<Text> profile;
  if (cluster != nullptr) {
    Section section(*cluster, "[cluster]", problems);
    read_cluster_name(section, config, problems);
    read_reference_hosts(section.texts("reference_hosts", kMaxHosts), draft, problems);
    profile = section.text("profile");
    section.choice("relay", config.relay, {{"auto", true}, {"off", false}});
    section.choice("rejoin", config.rejoin, {{"auto", Rejoin::kAuto}, {"manual", Rejoin::kManual}});
    section.number("max_takeovers_per_hour", config.max_takeovers_per_hour, 1, 100);
    section.number("port", config.port, 1, 65535);
    read_path(section, "secret", config.secret_file, problems);
    section.finish();
    const bool fences = draft.fences.at(0) || draft.fences.at(1);
    if (config.hosts.empty() && !section.has("reference_hosts") && !fences)
      problems.warning(section.place(), "there is no reference host: no node will ever take over by itself",
                       "add reference_hosts = [\"ADDRESS OF THE ROUTER\"] to [cluster]");
  }
  read_timing(timing, profile, draft, problems);
  if (const Value* notify = file.table("notify")) read_notify(*notify, config, problems);
  if (const Value* hooks = file.table("hooks")) read_hooks(*hooks, config, problems);
  if (const Value* ssh = file.table("ssh")) read_ssh(*ssh, config, problems);
  if (const Value* mirror = file.table("mirror")) read_mirror_port(*mirror, config, problems);
  if (const Value* always = file.table("always")) read_always(*always, dir, draft, problems);
  if (const Value* record = file.find("record")) static_cast<void>(read_record(*record, problems));
  file.finish();
}

}  // namespace clusterd::config
