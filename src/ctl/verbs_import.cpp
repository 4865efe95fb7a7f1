// clusterctl import: other systems' configurations as ours.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>

#include "config/draft.hpp"
#include "ctl/exit_codes.hpp"
#include "ctl/folder.hpp"
#include "ctl/verbs.hpp"
#include "import/import.hpp"
#include "linux/host/look.hpp"

namespace clusterd::ctl {

namespace {

namespace fs = std::filesystem;

struct ImportFlags {
  std::string from, to, cluster;
  std::vector<std::string> paths, nodes, hosts;
  bool force = false;
};

bool read_source(const fs::path& path, const std::string& name, imports::SourceFiles& files) {
  std::error_code error;
  if (files.size() >= imports::kMaxSourceFiles || !fs::is_regular_file(path, error)) return true;
  std::ifstream stream(path, std::ios::binary);
  std::string text(imports::kMaxSourceBytes + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(std::max<std::streamsize>(stream.gcount(), 0)));
  if (text.size() > imports::kMaxSourceBytes) {
    complain(fmt::format("{} is longer than {} bytes", path.string(), imports::kMaxSourceBytes), kExitFailed);
    return false;
  }
  files.push_back({name, std::move(text)});
  return true;
}

// A file, or all files of a folder and its folders. False after a complaint.
bool read_sources(const std::vector<std::string>& paths, imports::SourceFiles& files) {
  for (const std::string& path : paths) {
    std::error_code error;
    if (fs::is_directory(path, error)) {
      std::vector<fs::path> found;
      for (fs::recursive_directory_iterator entry(path, error), end;
           !error && entry != end && found.size() < imports::kMaxSourceFiles; entry.increment(error)) {
        if (entry.depth() > 3) entry.disable_recursion_pending();
        found.push_back(entry->path());
      }
      std::sort(found.begin(), found.end());
      for (const fs::path& file : found) {
        if (!read_source(file, fs::relative(file, path, error).string(), files)) return false;
      }
    } else if (fs::is_regular_file(path, error)) {
      if (!read_source(path, fs::path(path).filename().string(), files)) return false;
    } else {
      complain(setup::comment_text(path) +
                   ": there is no such file or folder\n  which ones are read:  clusterctl import --help",
               kExitFailed);
      return false;
    }
  }
  return true;
}

// "serv1:service=eth0,192.168.1.11/24". False after a complaint.
bool take_node(const std::string& text, setup::Sketch& sketch) {
  const size_t colon = text.find(':');
  const size_t equals = text.find('=', colon == std::string::npos ? 0 : colon);
  const size_t comma = text.find(',', equals == std::string::npos ? 0 : equals);
  if (colon == std::string::npos || equals == std::string::npos || comma == std::string::npos) {
    complain(fmt::format("--node {}: write it as --node serv1:service=eth0,192.168.1.11/24",
                         setup::comment_text(text)),
             kExitUsage);
    return false;
  }
  const std::string name = text.substr(0, colon);
  const std::string link = text.substr(colon + 1, equals - colon - 1);
  if (!config::is_name(name, ".-_", 63) || !config::is_name(link, "_-", 32)) {
    complain(fmt::format("--node {}: the name of a node and of a link are needed", setup::comment_text(text)),
             kExitUsage);
    return false;
  }
  setup::NodeSketch* node = sketch.node(name);
  if (node == nullptr) {
    node = &sketch.nodes.emplace_back();
    node->name = name;
  }
  const setup::EndSketch end{link, text.substr(equals + 1, comma - equals - 1), text.substr(comma + 1)};
  if (setup::EndSketch* known = node->end(link)) {
    *known = end;
  } else {
    node->ends.push_back(end);
  }
  return true;
}

// What this machine knows of itself, if it is one of the nodes.
void fill_in_own(setup::Sketch& sketch) {
  const auto machine = look_at_machine();
  if (!machine) return;
  setup::NodeSketch* node = sketch.node(machine->name);
  if (node == nullptr) return;
  for (setup::EndSketch& end : node->ends) {
    for (const setup::MachineNic& nic : machine->nics) {
      if (end.address.empty() && nic.name == end.nic && !nic.addresses.empty())
        end.address = nic.addresses[0].text();
    }
  }
}

int write(const ImportFlags& flags, const ConfigTexts& texts) {
  std::error_code error;
  for (const auto& [name, text] : texts) {
    if (flags.force || !fs::exists(flags.to + "/" + name, error)) continue;
    return complain(
        fmt::format("{}/{} exists, and nothing was written. --force writes over it; --to writes elsewhere",
                    flags.to, name),
        kExitFailed);
  }
  auto staged = Staged::stage(flags.to, texts);
  if (!staged)
    return complain(staged.error() + (::geteuid() == 0 ? "" : " (run it as root, or with --to)"),
                    kExitFailed);
  if (auto kept = staged->keep(); !kept) return complain(kept.error(), kExitFailed);
  for (const auto& [name, text] : texts) std::printf("wrote %s/%s\n", flags.to.c_str(), name.c_str());
  return kExitOk;
}

int import(const ImportFlags& flags) {
  const auto& formats = imports::formats();
  const auto format =
      std::find_if(formats.begin(), formats.end(), [&](const auto& one) { return one.name == flags.from; });
  imports::SourceFiles files;
  if (!read_sources(flags.paths, files)) return kExitFailed;
  imports::Imported imported = format->import(files);
  setup::Sketch& sketch = imported.sketch;
  if (!flags.cluster.empty()) sketch.cluster = flags.cluster;
  for (const std::string& host : flags.hosts) sketch.reference_hosts.push_back(host);
  for (const std::string& node : flags.nodes) {
    if (!take_node(node, sketch)) return kExitUsage;
  }
  fill_in_own(sketch);
  if (!imported.left.empty()) {
    std::fputs(imports::told(imported.left).c_str(), stdout);
    std::printf("\n%zu things are not expressed as they were\n", imported.left.size());
  }
  if (sketch.services.empty())
    return complain(
        fmt::format("nothing was found that could be a service; {} reads {}", flags.from, format->reads),
        kExitFailed);
  if (const setup::Lines missing = setup::missing(sketch); !missing.empty())
    return complain(fmt::format("not written: the old files do not say\n  {}", fmt::join(missing, "\n  ")),
                    kExitFailed);
  setup::settle(sketch);
  const bool mirrors =
      std::any_of(sketch.services.begin(), sketch.services.end(),
                  [](const setup::ServiceSketch& service) { return !service.mirrors.empty(); });
  if (mirrors) {  // `clusterctl pair` makes them
    sketch.ssh_identity = flags.to + "/mirror_key";
    sketch.ssh_known_hosts = flags.to + "/known_hosts";
  }
  const ConfigTexts texts = setup::written(sketch);
  std::vector<ConfigProblem> warnings;
  const auto config = judge(texts, flags.to, kAnyNode, &warnings);
  for (const ConfigProblem& warning : warnings) std::printf("warning: %s\n", describe(warning).c_str());
  if (!config) {
    std::string all = "not written: what it would be has errors";
    for (const ConfigProblem& problem : config.error()) all += "\n" + describe(problem);
    return complain(all, kExitConfig);
  }
  if (const int code = write(flags, texts); code != kExitOk) return code;
  std::printf("%zu nodes, %zu services. Read them, then:  clusterctl pair\n", config->nodes.size(),
              config->services.size());
  return kExitOk;
}

}  // namespace

void add_import_verbs(CLI::App& app, Globals& globals, Chosen& chosen) {
  auto flags = std::make_shared<ImportFlags>();
  CLI::App* verb = app.add_subcommand(
      "import", "Translate the configuration of another system, and list what has no counterpart");
  std::vector<std::string> names;
  std::string footer = "What is read:\n";
  for (const imports::Format& format : imports::formats()) {
    names.emplace_back(format.name);
    footer += fmt::format("  {:<14} {}\n", format.name, format.reads);
  }
  verb->add_option("--from", flags->from, "Which system")->required()->check(CLI::IsMember(names));
  verb->add_option("paths", flags->paths, "Files, or folders with them")->required();
  verb->add_option("--to", flags->to, "Folder to write (default: the configuration of the cluster)");
  verb->add_option("--node", flags->nodes, "What the old files do not say: NODE:LINK=NIC,ADDRESS/LENGTH");
  verb->add_option("--reference-host", flags->hosts, "Hosts that both nodes normally reach");
  verb->add_option("--cluster", flags->cluster, "Name of the cluster");
  verb->add_flag("--force", flags->force, "Write over files that are there");
  verb->footer(
      footer +
      "Example: clusterctl import --from keepalived lb1.conf lb2.conf --node "
      "lb1:service=eth0,192.168.1.11/24 \\\n"
      "             --node lb2:service=eth0,192.168.1.12/24 --reference-host 192.168.1.1 --to /tmp/new");
  verb->callback([&, flags] {
    chosen = [&, flags] {
      if (flags->to.empty()) flags->to = globals.config_dir;
      return import(*flags);
    };
  });
}

}  // namespace clusterd::ctl
