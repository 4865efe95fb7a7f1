#include "linux/fence/fence_agent.hpp"

#include <utility>

#include "config/passwords.hpp"

namespace clusterd {

namespace {
constexpr int kOff = 2;
}  // namespace

std::string agent_input(const FenceConfig& config, const std::string& action) {
  std::string out = "action=" + action + "\n";
  for (const auto& [name, value] : config.parameters) out += name + "=" + value + "\n";
  return out;
}

std::string without_secrets(const FenceConfig& config, std::string text) {
  return hide_passwords(config.parameters, std::move(text));
}

std::unique_ptr<ChildProcess> run_agent(EventLoop& loop, const FenceConfig& config, const std::string& action,
                                        AgentDone done) {
  ChildSpec spec;
  spec.argv = {config.agent};
  spec.environment = {{"LC_ALL", "C"}};
  spec.input = agent_input(config, action);
  spec.timeout = config.timeout;
  spec.kill_after = std::chrono::seconds(1);
  return run_child(loop, std::move(spec),
                   [config, action, done = std::move(done)](const ChildResult& result) {
                     AgentAnswer answer;
                     const bool ended = result.started && !result.timed_out && result.signal == 0;
                     answer.done = ended && result.exit_code == 0;
                     answer.off = ended && result.exit_code == kOff && action == "status";
                     if (answer.done) {
                       answer.text = action == "status" ? "on" : "done";
                     } else {
                       answer.text = answer.off ? "off" : action + ": " + result.text();
                     }
                     answer.text = without_secrets(config, answer.text);
                     done(answer);
                   });
}

}  // namespace clusterd
