#include "config/load.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "config/draft.hpp"

namespace clusterd {

namespace {

namespace fs = std::filesystem;
using config::ClusterDraft;
using config::Place;
using config::Problems;
using config::ServiceDraft;
using config::Value;

const std::string kMainFile = "cluster.toml";
const std::string kServices = "services/";
const std::string kSuffix = ".toml";

// Nothing but a regular file of a sane size, which not everybody may write, is even opened: a fifo would
// block, and the commands in the files run as root.
bool may_be_read(const std::string& file, Problems& problems) {
  const Place place{file, 0, 0};
  std::error_code error;
  const fs::file_status status = fs::status(file, error);
  if (status.type() == fs::file_type::not_found) {
    const bool link = fs::is_symlink(fs::symlink_status(file, error));
    problems.error(place, link ? "is a symbolic link to a file that does not exist" : "does not exist",
                   link ? fmt::format("correct or remove the link (`ls -l {}` shows it)", file)
                        : "create it; docs/configuration.md has an example");
  } else if (error) {
    problems.error(place, fmt::format("cannot be looked at: {}", error.message()),
                   fmt::format("check the permissions, and where symbolic links lead: `namei -l {}`", file));
  } else if (status.type() != fs::file_type::regular) {
    problems.error(place,
                   status.type() == fs::file_type::directory ? "is a directory" : "is not a regular file",
                   "replace it with a file, or remove it");
  } else if ((status.permissions() & fs::perms::others_write) != fs::perms::none) {
    problems.error(place, "may be written by everybody, and names commands that root runs",
                   fmt::format("chmod o-w {}", file));
  } else if (const auto bytes = fs::file_size(file, error); error || bytes > kMaxConfigFileBytes) {
    problems.error(place, fmt::format("is longer than {} bytes", kMaxConfigFileBytes), "shorten it");
  } else {
    return true;
  }
  return false;
}

std::optional<std::string> read_text(const std::string& file, Problems& problems) {
  if (!may_be_read(file, problems)) return std::nullopt;
  errno = 0;
  std::ifstream stream(file, std::ios::binary);
  std::string content;
  std::array<char, 16384> buffer;
  while (stream && content.size() <= kMaxConfigFileBytes) {
    stream.read(buffer.data(), buffer.size());
    content.append(buffer.data(), static_cast<size_t>(stream.gcount()));
  }
  if (!stream.is_open() || stream.bad()) {
    problems.error({file, 0, 0}, fmt::format("cannot be read: {}", std::generic_category().message(errno)),
                   "check its permissions; clusterd runs as root");
    return std::nullopt;
  }
  return content;
}

std::optional<Value> read_tree(const ConfigTexts& texts, const std::string& dir, const std::string& name,
                               Problems& problems) {
  const auto text = texts.find(name);
  if (text == texts.end()) return std::nullopt;  // already reported
  auto tree = config::parse_toml(text->second, dir + "/" + name);
  if (!tree) {
    const ConfigProblem& problem = tree.error();
    problems.error({problem.file, problem.line, problem.column}, problem.text, problem.remedy);
    return std::nullopt;
  }
  return std::move(*tree);
}

bool ends_with(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// Names of the services: the files NAME.toml, sorted. What editors leave behind is passed over.
std::vector<std::string> service_names(const std::string& folder, Problems& problems) {
  std::vector<std::string> names;
  const Place place{folder, 0, 0};
  std::error_code error;
  if (!fs::exists(folder, error) && !error) {
    problems.warning(place, "does not exist: there are no services",
                     "create it, with one file NAME.toml per service");
    return names;
  }
  size_t files = 0;
  fs::directory_iterator entry(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    if (++files > kMaxConfigFiles) {
      problems.error(place, fmt::format("holds more than {} files", kMaxConfigFiles),
                     "remove what is no service");
      return {};
    }
    const std::string name = entry->path().filename().string();
    if (name.front() == '.' || name.back() == '~' || ends_with(name, ".bak")) continue;
    if (ends_with(name, ".toml")) {
      names.push_back(name.substr(0, name.size() - 5));
    } else {
      problems.warning({folder + "/" + name, 0, 0}, "is not read: its name does not end in .toml",
                       "rename it to NAME.toml, or move it away");
    }
  }
  if (error)
    problems.error(place, fmt::format("cannot be read: {}", error.message()), "check its permissions");
  else if (names.empty())
    problems.warning(place, "holds no service", "add one file NAME.toml per service");
  std::sort(names.begin(), names.end());
  return names;
}

void choose_self(const std::string& file, const std::string& self_name, ClusterDraft& draft,
                 Problems& problems) {
  if (draft.config.nodes[0].name.empty()) return;  // already reported
  std::vector<std::string> names, flags;
  for (size_t n = 0; n < kNodes; ++n) {
    names.push_back(draft.config.nodes.at(n).name);
    flags.push_back("--node " + names.back());
    if (names.back() == self_name) draft.config.self = NodeId(n);
  }
  if (self_name == kAnyNode) draft.config.self = NodeId(0);
  if (!draft.config.self.valid())
    problems.error({file, 0, 0},
                   fmt::format("this node is called \"{:.80}\", which is none of its nodes {}", self_name,
                               config::listed(names)),
                   fmt::format("start with {} or {}, or name the table after the host: [node.{:.80}]",
                               flags[0], flags[1], self_name));
}

ConfigTexts read_texts(const std::string& dir, Problems& problems) {
  ConfigTexts texts;
  std::vector<std::string> names{kMainFile};
  for (const std::string& name : service_names(dir + "/services", problems))
    names.push_back(kServices + name + kSuffix);
  for (const std::string& name : names) {
    if (auto text = read_text(dir + "/" + name, problems)) texts.emplace(name, std::move(*text));
  }
  return texts;
}

tl::expected<Config, std::vector<ConfigProblem>> understand(const ConfigTexts& texts, const std::string& dir,
                                                            const std::string& self_name, Problems& problems,
                                                            std::vector<ConfigProblem>* warnings) {
  ClusterDraft cluster;
  std::vector<ServiceDraft> services;
  if (const auto tree = read_tree(texts, dir, kMainFile, problems)) {
    config::read_cluster(*tree, dir, cluster, problems);
    choose_self(dir + "/" + kMainFile, self_name, cluster, problems);
  }
  std::vector<std::string> names;  // sorted as names, without the suffix: the order of the services
  for (const auto& [file, text] : texts) {
    if (file.compare(0, kServices.size(), kServices) != 0 || !ends_with(file, kSuffix)) continue;
    names.push_back(file.substr(kServices.size(), file.size() - kServices.size() - kSuffix.size()));
  }
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    const auto tree = read_tree(texts, dir, kServices + name + kSuffix, problems);
    if (tree)
      config::read_service(*tree, name, cluster, services.emplace_back(), problems);
    else
      cluster.services_known = false;
  }
  config::check_across(cluster, services, problems);
  if (warnings != nullptr) *warnings = problems.take_warnings();
  if (problems.any()) return tl::unexpected(problems.take_errors());
  config::fingerprint(cluster.config);
  return std::move(cluster.config);
}

}  // namespace

tl::expected<Config, std::vector<ConfigProblem>> load_config(const std::string& dir,
                                                             const std::string& self_name,
                                                             std::vector<ConfigProblem>* warnings,
                                                             ConfigTexts* texts) {
  Problems problems;
  ConfigTexts read = read_texts(dir, problems);
  auto config = understand(read, dir, self_name, problems, warnings);
  if (texts != nullptr) *texts = std::move(read);
  return config;
}

tl::expected<Config, std::vector<ConfigProblem>> parse_config(const ConfigTexts& texts,
                                                              const std::string& dir,
                                                              const std::string& self_name,
                                                              std::vector<ConfigProblem>* warnings) {
  Problems problems;
  const Place place{dir + "/" + kMainFile, 0, 0};
  if (texts.find(kMainFile) == texts.end())
    problems.error(place, "does not exist", "create it; docs/configuration.md has an example");
  return understand(texts, dir, self_name, problems, warnings);
}

}  // namespace clusterd
