// A resource agent (UnitConfig::Kind::kOcf); ocf_agent.hpp says how it is called.
//
// Started means: `start` ended with success and `monitor` says that it runs. A first `monitor` finds what
// runs already (a restarted daemon's unit goes on undisturbed) and what is half up, which is stopped before
// it is started. While it runs, `monitor` is asked again and again: "does not run" or a failure is a crash;
// no answer proves nothing once, and twice in a row is a crash, too.
//
// Stopped means: `stop` ended with success and `monitor` says 7. What was never started here (no <stem>.ocf
// tells so) is only asked: 7 means stopped then, and so do the codes of an agent that cannot be used at all
// (2 to 6: "not installed" and the like), and an agent that is not there. A kill ends the action under way
// with its process group and asks for `stop` once more: what else could end it, only the agent knows.
//
// Exit codes 2 to 5 say that trying again on this node is no use, 6 that it is not on the other one either:
// the core is told so.
//
// Success with a warning (190, 191) is success; the warning is told when it begins.
#pragma once

#include <memory>
#include <string>

#include "linux/units/ocf_agent.hpp"
#include "linux/units/unit_driver.hpp"

namespace clusterd {

class OcfUnit final : public UnitDriver {
 public:
  explicit OcfUnit(UnitContext context);
  void start() override;
  void stop(bool kill) override;

 private:
  enum class State { kIdle, kStarting, kRunning, kStopping };
  using Step = void (OcfUnit::*)(const ChildResult&);

  void launch(ChildSpec spec, Step step);
  void act(const char* action, Duration limit, Step step);
  void ask(bool first, unsigned depth, Step step);
  void after(Duration wait, void (OcfUnit::*what)());

  void before_start(const ChildResult& result);
  void clear_done(const ChildResult& result);
  void run_start();
  void start_done(const ChildResult& result);
  void verify_start();
  void start_verified(const ChildResult& result);
  void now_running(const std::string& detail);
  void start_failed(const std::string& detail, UnitReport::Again again = UnitReport::Again::kHere);

  void poll();
  void polled(const ChildResult& result);
  void warn_of(const ChildResult& result);
  void gone(const std::string& detail, UnitReport::Again again);

  void before_stop(const ChildResult& result);
  void run_stop();
  void stop_done(const ChildResult& result);
  void verify_stop();
  void stop_verified(const ChildResult& result);
  void stopped();
  void stop_failed(const std::string& detail);

  [[nodiscard]] bool touched() const;  // a start was tried, by this daemon or one before it
  bool touch() const;
  [[nodiscard]] const OcfConfig& agent() const { return context_.config.ocf; }

  UnitContext context_;
  State state_ = State::kIdle;
  bool warned_ = false;
  unsigned unanswered_ = 0;               // monitors in a row
  std::unique_ptr<ChildProcess> action_;  // one at a time
  std::unique_ptr<Timer> timer_;
  Instant deadline_{};   // of the verification under way
  std::string outcome_;  // of the stop, if it was no success
};

}  // namespace clusterd
