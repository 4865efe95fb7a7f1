#include "ctl/check_units.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <optional>
#include <system_error>

#include "config/passwords.hpp"
#include "ctl/ocf_metadata.hpp"
#include "ctl/shell.hpp"
#include "ctl/table.hpp"
#include "linux/event_loop.hpp"
#include "linux/units/ocf_agent.hpp"

namespace clusterd::ctl {

namespace {

constexpr Duration kAgentTimeout = std::chrono::seconds(20);

struct Answer {
  ChildResult result;
  std::string out;
};

class Checker {
 public:
  explicit Checker(const Config& config) : config_(config) {}

  std::vector<Finding> run() {
    for (const ServiceConfig& service : config_.services) {
      for (const UnitConfig& unit : service.units) {
        if (unit.kind == UnitConfig::Kind::kSystemd) check_systemd(service, unit);
        if (unit.kind == UnitConfig::Kind::kOcf) check_ocf(service, unit);
        if (unit.kind == UnitConfig::Kind::kLsb) check_lsb(service, unit);
        if (unit.kind == UnitConfig::Kind::kMount) check_mount(service, unit);
      }
    }
    return std::move(findings_);
  }

 private:
  void add(Level level, std::string topic, std::string text, std::string remedy) {
    findings_.push_back({level, std::move(topic), std::move(text), std::move(remedy), ""});
  }
  void ok(std::string topic, std::string text) { add(Level::kOk, std::move(topic), std::move(text), ""); }
  static std::string file_of(const ServiceConfig& service) { return "services/" + service.name + ".toml"; }

  // A unit that the system starts at boot runs whether or not this node is active.
  void check_systemd(const ServiceConfig& service, const UnitConfig& unit) {
    if (service.hot || !program_exists("systemctl")) return;
    const std::string state = printable(unit_file_state(unit.name));
    if (state == "enabled" || state == "enabled-runtime") {
      add(Level::kError, "boot",
          fmt::format("{} ({}) is started at boot, active or not", unit.name, service.name),
          "systemctl disable " + unit.name + ": clusterd starts it where it belongs");
    } else if (state.empty() || state == "not-found") {
      add(Level::kError, "boot", fmt::format("{} ({}): systemd knows no such unit", unit.name, service.name),
          "install it on this node, or correct " + file_of(service));
    } else {
      ok("boot", fmt::format("{} is not started at boot ({})", unit.name, state));
    }
  }

  void check_lsb(const ServiceConfig& service, const UnitConfig& unit) {
    const std::string named = fmt::format("{} ({})", unit.script, service.name);
    if (::access(unit.script.c_str(), F_OK) != 0)
      return add(Level::kError, "init script", named + " does not exist on this node",
                 "install it on this node, or correct lsb in " + file_of(service));
    if (::access(unit.script.c_str(), X_OK) != 0)
      return add(Level::kError, "init script", named + " may not be executed", "chmod +x " + unit.script);
    ok("init script", named + " is there");
    const std::string prefix = "/etc/init.d/";
    if (service.hot || !unit.script.starts_with(prefix)) return;
    const std::string name = unit.script.substr(prefix.size());
    if (boot_links(name))
      add(Level::kError, "boot",
          fmt::format("{} ({}) is started at boot, active or not", unit.script, service.name),
          "update-rc.d " + name + " disable: clusterd starts it where it belongs");
  }

  // S..NAME below /etc/rc?.d: what update-rc.d makes.
  static bool boot_links(const std::string& name) {
    for (const char level : {'2', '3', '4', '5'}) {
      std::error_code error;
      for (const auto& entry :
           std::filesystem::directory_iterator(std::string("/etc/rc") + level + ".d", error)) {
        const std::string link = entry.path().filename().string();
        if (link.size() > 3 && link.front() == 'S' && link.substr(3) == name) return true;
      }
    }
    return false;
  }

  void check_mount(const ServiceConfig& service, const UnitConfig& unit) {
    const MountConfig& mount = unit.mount;
    const std::string named = fmt::format("{} ({})", unit.name, service.name);
    std::error_code error;
    const size_t before = findings_.size();
    if (!std::filesystem::is_directory(mount.where, error))
      add(Level::kError, "mount", fmt::format("{}: {} is no folder on this node", named, mount.where),
          "mkdir -p " + mount.where);
    if (mount.what.starts_with("/") && !std::filesystem::exists(mount.what, error))
      add(Level::kError, "mount", fmt::format("{}: {} does not exist on this node", named, mount.what),
          "connect the storage, or correct what in " + file_of(service));
    if (!program_exists("mount") || !program_exists("findmnt"))
      add(Level::kError, "mount", named + ": mount or findmnt is missing", "apt install mount util-linux");
    if (!program_exists("fuser"))
      add(Level::kWarning, "mount",
          fmt::format("{}: fuser is missing: a mount that is in use cannot be ended by force", named),
          "apt install psmisc");
    if ((mount.type == "nfs" || mount.type == "nfs4" || mount.type == "cifs") &&
        !program_exists("mount." + mount.type))
      add(Level::kError, "mount", fmt::format("{}: mount.{} is missing", named, mount.type),
          mount.type == "cifs" ? "apt install cifs-utils" : "apt install nfs-common");
    if (findings_.size() == before)
      ok("mount", fmt::format("{}: {} can be mounted on {}", named, mount.what, mount.where));
  }

  // An action that changes nothing: meta-data or validate-all.
  static Answer ask(const ServiceConfig& service, const UnitConfig& unit, const std::string& action) {
    EventLoop loop;
    OcfCall call;
    call.action = action;
    call.timeout = kAgentTimeout;
    Answer answer;
    bool done = false;
    ChildSpec spec = ocf_command(unit.ocf, service.name, unit.name, call);
    spec.timeout = kAgentTimeout;
    spec.on_stdout = [&answer](std::string_view text) {
      if (answer.out.size() <= kMaxMetadataBytes) answer.out += text;
    };
    const auto child = run_child(loop, std::move(spec), [&](const ChildResult& result) {
      answer.result = result;
      done = true;
    });
    loop.run_until([&] { return done; }, kAgentTimeout + std::chrono::seconds(10));
    answer.result.output = hide_passwords(unit.ocf.parameters, std::move(answer.result.output));
    return answer;
  }

  void check_ocf(const ServiceConfig& service, const UnitConfig& unit) {
    const std::string topic = "agent";
    const std::string named = fmt::format("{} ({}, {})", unit.name, unit.ocf.text(), service.name);
    if (const std::string why = ocf_obstacle(unit.ocf); !why.empty())
      return add(Level::kError, topic, fmt::format("{}: {}", named, why), "see above, on this node");
    const Answer told = ask(service, unit, "meta-data");
    const auto metadata = parse_ocf_metadata(told.out);
    if (!told.result.ok() || !metadata) {
      add(Level::kWarning, topic,
          fmt::format("{}: its parameters cannot be checked: meta-data: {}", named,
                      told.result.ok() ? metadata.error() : ocf_text(told.result)),
          ocf_path(unit.ocf) + " meta-data");
    } else {
      const auto seen = judge_ocf(unit, *metadata, topic, file_of(service));
      findings_.insert(findings_.end(), seen.begin(), seen.end());
      for (const Finding& finding : seen) {
        if (finding.level == Level::kError) return;  // it would only say the same again, less clearly
      }
    }
    const Answer valid = ask(service, unit, "validate-all");
    if (valid.result.exit_code == static_cast<int>(OcfCode::kUnimplemented))
      return ok(topic, named + " is installed");
    if (ocf_meaning(valid.result) == OcfMeaning::kGood) return ok(topic, named + " accepts its parameters");
    add(Level::kError, topic, fmt::format("{}: validate-all: {}", named, printable(ocf_text(valid.result))),
        valid.result.exit_code == static_cast<int>(OcfCode::kNotInstalled)
            ? "install what it needs on this node"
            : "correct its parameters in " + file_of(service));
  }

  const Config& config_;
  std::vector<Finding> findings_;
};

}  // namespace

std::vector<Finding> check_units(const Config& config) { return Checker(config).run(); }

}  // namespace clusterd::ctl
