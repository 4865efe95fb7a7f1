#include "mirror/command.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/canary.hpp"
#include "base/mark.hpp"
#include "mirror/escape.hpp"
#include "mirror/itemize.hpp"

namespace clusterd::mirror {
namespace {

bool is_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

bool is_number(std::string_view text) {
  return !text.empty() && text.size() <= 18 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool starts_with(std::string_view text, std::string_view start) {
  return text.substr(0, start.size()) == start;
}

// rsync splits the value of -e at blanks; within single quotes a doubled quote is one.
std::string rsh_word(const std::string& word) {
  std::string out = "'";
  for (char c : word) out += c == '\'' ? std::string("''") : std::string(1, c);
  return out + "'";
}

// "-blWHogDtpAXrRSe.iLsfxCIvu": options in a bundle; what follows the "e" are capabilities of the other side.
bool bundle_allowed(std::string_view text) {
  constexpr std::string_view kLetters = "bclWHogDtpAXrRSznvq";
  if (text.size() < 2 || text[0] != '-' || text[1] == '-') return false;
  for (size_t i = 1; i < text.size(); ++i) {
    if (text[i] == 'e') {
      return std::all_of(text.begin() + static_cast<ptrdiff_t>(i) + 1, text.end(),
                         [](char c) { return is_alnum(c) || c == '.'; });
    }
    if (kLetters.find(text[i]) == std::string_view::npos) return false;
  }
  return true;
}

bool long_option_allowed(std::string_view text) {
  constexpr std::array kPlain = {"--msgs2stderr",     "--numeric-ids",  "--fsync",        "--no-implied-dirs",
                                 "--log-format=%i",   "--new-compress", "--old-compress", "-@-1",
                                 "--modify-window=-1"};
  if (std::find(kPlain.begin(), kPlain.end(), text) != kPlain.end()) return true;
  for (std::string_view key : {"--timeout=", "--bwlimit=", "--compress-level="}) {
    if (starts_with(text, key)) return is_number(text.substr(key.size()));
  }
  for (std::string_view key : {"--compress-choice=", "--checksum-choice="}) {
    if (starts_with(text, key)) {
      const auto value = text.substr(key.size());
      return !value.empty() && std::all_of(value.begin(), value.end(), is_alnum);
    }
  }
  return false;
}

bool is_delete(std::string_view text) {
  return text == "--delete" || text == "--delete-during" || text == "--delete-before" ||
         text == "--delete-after" || text == "--delete-delay";
}

}  // namespace

bool is_safe_name(std::string_view name) {
  return !name.empty() && name.size() <= 200 && name.front() != '-' && name.front() != '.' &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return is_alnum(c) || c == '-' || c == '_' || c == '.' || c == '@'; });
}

std::vector<std::string> ssh_command(const SshConfig& ssh) {
  std::vector<std::string> out = {"ssh", "-T",
                                  "-o",  "BatchMode=yes",
                                  "-o",  "StrictHostKeyChecking=yes",
                                  "-o",  "ConnectTimeout=5",
                                  "-o",  "ServerAliveInterval=5",
                                  "-o",  "ServerAliveCountMax=3",
                                  "-o",  "ForwardAgent=no",
                                  "-o",  "ForwardX11=no",
                                  "-o",  "ClearAllForwardings=yes"};
  if (!ssh.identity.empty()) {
    out.insert(out.end(), {"-i", ssh.identity, "-o", "IdentitiesOnly=yes"});
  }
  // ssh splits the value at blanks; a quoted one may hold them.
  if (!ssh.known_hosts.empty())
    out.insert(out.end(), {"-o", fmt::format("UserKnownHostsFile=\"{}\"", ssh.known_hosts)});
  out.insert(out.end(), {"-p", std::to_string(ssh.port)});
  return out;
}

std::vector<std::string> rsync_command(const MirrorConfig& mirror, const SshConfig& ssh,
                                       const RsyncPlan& plan) {
  std::string shell;
  for (const std::string& word : ssh_command(ssh)) shell += (shell.empty() ? "" : " ") + rsh_word(word);
  // With --stderr=all the target's rsync says why it fails by itself: what it sends through the connection
  // can get lost when it ends. Nanoseconds count in the comparison of times (--modify-window=-1): a file that
  // was rewritten with the same size within the same second is seen. Parents of a root are not touched
  // (--no-implied-dirs).
  std::vector<std::string> out = {"rsync",
                                  "-aHAXS",
                                  "--numeric-ids",
                                  "--fsync",
                                  "--relative",
                                  "--no-implied-dirs",
                                  "--modify-window=-1",
                                  "--timeout=120",
                                  "--itemize-changes",
                                  "--stderr=all",
                                  fmt::format("--out-format={}", kOutFormat),
                                  "-e",
                                  shell};
  if (mirror.remove) out.push_back("--delete");
  out.push_back(mirror.whole_file ? "--whole-file" : "--no-whole-file");
  if (mirror.compress) out.push_back("--compress");
  if (mirror.bandwidth > 0)
    out.push_back(fmt::format("--bwlimit={}", std::max<uint64_t>(1, mirror.bandwidth / 1024)));
  for (const auto& pattern : mirror.exclude) out.push_back("--exclude=" + pattern);
  for (const auto& pattern : plan.more_excludes) out.push_back("--exclude=" + pattern);
  if (!sabotaged(Canary::kBackupSkipped) && !plan.backup_dir.empty())
    out.insert(out.end(), {"--backup", "--backup-dir=" + plan.backup_dir});
  if (!plan.receive.empty()) out.push_back("--rsync-path=" + plan.receive);
  if (plan.make_path) out.push_back("--mkpath");
  out.push_back("--");
  out.insert(out.end(), plan.roots.begin(), plan.roots.end());
  out.push_back(plan.destination);
  return out;
}

std::string rsync_destination(const std::string& user, const IpAddress& host) {
  return fmt::format("{}@{}:/", user, host.is_v4() ? host.text() : "[" + host.text() + "]");
}

Result<std::string> offsite_destination(const std::string& to) {
  const size_t bracket = to.find("]:");
  const size_t colon = bracket != std::string::npos ? bracket + 1 : to.find(':');
  const std::string host = to.substr(0, colon);
  const bool plain = std::all_of(host.begin(), host.end(), [](char c) {
    return is_alnum(c) || c == '-' || c == '_' || c == '.' || c == '@' || c == '[' || c == ']' || c == ':';
  });
  if (colon == std::string::npos || colon == 0 || host[0] == '-' || !plain ||
      to.compare(colon, 2, ":/") != 0 || host.back() == '@' || host.find("@-") != std::string::npos) {
    return fail(Code::kConfig,
                fmt::format("\"{}\" is no off-site target; write it as user@host:/path/", escape(to)));
  }
  return to.back() == '/' ? to : to + "/";
}

std::string receive_command(const ReceiveOptions& options) {
  std::string out = fmt::format("clusterd-mirror receive --service {} --mirror {} --epoch {}",
                                options.service, options.mirror, options.epoch);
  if (!options.backup_set.empty()) out += " --backup-set " + options.backup_set;
  if (options.confirmed) out += " --confirmed";
  return out + " --";
}

Result<void> check_server_options(const std::vector<std::string>& options, bool remove_allowed,
                                  const std::string& backup_dir) {
  auto refuse = [](std::string_view what) {
    mark(Mark::kServerOptionRefused);
    return fail(Code::kRefused,
                fmt::format("rsync option \"{}\" is not part of a mirror run", escape(what.substr(0, 200))));
  };
  const size_t n = options.size();
  if (n < 3 || options[0] != "--server")
    return fail(Code::kRefused, "this is not the remote side of an rsync");
  if (options[n - 2] != "." || options[n - 1] != "/") return refuse(options[n - 1]);
  bool has_backup_dir = false;
  for (size_t i = 1; i + 2 < n; ++i) {
    const std::string& option = options[i];
    if (is_delete(option)) {
      if (!remove_allowed) return refuse(option);
    } else if (option == "--backup-dir" || starts_with(option, "--backup-dir=")) {
      const bool apart = option == "--backup-dir";
      if (apart && i + 3 >= n) return refuse(option);
      const std::string value = apart ? options[++i] : option.substr(13);
      if (backup_dir.empty() || value != backup_dir) return refuse("--backup-dir=" + value);
      has_backup_dir = true;
    } else if (!bundle_allowed(option) && !long_option_allowed(option)) {
      return refuse(option);
    }
  }
  if (!backup_dir.empty() && !has_backup_dir) {
    return fail(Code::kRefused,
                "a resync has to keep what it overwrites, but rsync was given no backup folder");
  }
  return {};
}

Result<std::vector<std::string>> split_command(std::string_view line) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == ' ') {
      if (in_word) words.push_back(std::move(word));
      word.clear();
      in_word = false;
    } else if (c == '\\') {
      if (++i == line.size() || line[i] == '\n')
        return fail(Code::kRefused, "the command ends in a backslash");
      word += line[i];
      in_word = true;
    } else if (c == '\'') {
      const size_t end = line.find('\'', i + 1);
      if (end == std::string_view::npos) return fail(Code::kRefused, "the command has an open quote");
      word.append(line, i + 1, end - i - 1);
      in_word = true;
      i = end;
    } else if (static_cast<unsigned char>(c) < 0x20 ||
               std::string_view("\"$`;&|<>()*?[]{}~#!").find(c) != std::string_view::npos) {
      mark(Mark::kCommandRefused);
      return fail(Code::kRefused, fmt::format("the command holds \"{}\", which a shell would interpret",
                                              escape(std::string_view(&c, 1))));
    } else {
      word += c;
      in_word = true;
    }
  }
  if (in_word) words.push_back(std::move(word));
  return words;
}

}  // namespace clusterd::mirror
