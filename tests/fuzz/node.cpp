// A node whose peer says whatever it likes, in well-formed heartbeats, and whose own host answers late,
// wrongly or not at all. Each byte of the input is a choice.
//
// A peer with the cluster's secret can do harm (assumption A4), but a daemon that dies, spins or loses its
// way in numbers because of an odd heartbeat would be a second failure at the worst time.
#include "core/node.hpp"

#include <algorithm>
#include <boost/json.hpp>
#include <vector>

#include "ctl/render.hpp"
#include "daemon/status_json.hpp"
#include "sample_config.hpp"
#include "targets.hpp"

namespace clusterd::fuzz {

namespace {

class World {
 public:
  explicit World(Feed& feed) : feed_(feed), config_(sample_config()), node_(config_, PersistedState{}) {
    Started started;
    started.boot = BootId{50};
    started.host_rebooted = feed_.coin();
    step(started);
  }

  void turn() {
    switch (feed_.byte() % 12) {
      case 0:
      case 1:
      case 2:
      case 3:
        return hear();
      case 4:
        return wait();
      case 5:
        return step(ProbeAnswered{HostId(feed_.below(config_.hosts.size())), now_ - some_span(10)});
      case 6:
        return step(Persisted{version_, feed_.coin(), "no space"});
      case 7:
        return step(UnitReport{a_service(), UnitId(0), static_cast<UnitReport::Outcome>(feed_.below(5)), ""});
      case 8:
        return step(AddressReport{a_service(), feed_.coin(), ""});
      case 9:
        return command();
      case 10:
        return mirror_report();
      default:
        return step(NicChanged{feed_.coin() ? "eth0" : "eth1", feed_.coin(), "no carrier"});
    }
  }

  // What anybody may ask for at any time.
  void look() {
    DaemonFacts facts;
    facts.now = now_;
    facts.wall = WallTime(std::chrono::hours(24 * 365 * 50));
    facts.gate_deadlines.assign(config_.services.size(), kLongAgo);
    const std::string json = status_json(config_, node_.status(), facts);
    boost::system::error_code error;
    require(boost::json::parse(json, error).is_object() && !error, "the status is JSON");
    (void)ctl::render_status(json, {});
    require(boost::json::parse(check_json(config_, node_.status(), facts), error).is_object() && !error,
            "so is the check");
  }

 private:
  ServiceId a_service() { return ServiceId(feed_.below(config_.services.size())); }

  Duration some_span(size_t choices) {
    constexpr int64_t kMs[] = {0, 1, 20, 100, 130, 600, 700, 1500, 5000, 61'000, 3'700'000};
    return std::chrono::milliseconds(kMs[feed_.below(std::min(choices, std::size(kMs)))]);
  }

  // Numbers that matter, and any other.
  uint64_t number() {
    switch (feed_.byte() % 8) {
      case 0:
        return 0;
      case 1:
        return own_.sequence;
      case 2:
        return own_.boot.value;
      case 3:
        return peer_.sequence + 1;
      case 4:
        return UINT64_MAX - feed_.below(4);
      case 5:
        return feed_.number(8);
      case 6:
        return epoch_ + feed_.below(4);
      default:
        return feed_.byte();
    }
  }

  void hear() {
    peer_.from = NodeId(feed_.below(8) == 0 ? 1 : 0);
    ++peer_.sequence;
    peer_.ack = {own_.boot, own_.sequence};
    if (peer_.boot.value == 0) peer_.boot = BootId{100};
    if (peer_.config_hash == 0) peer_.config_hash = config_.hash;
    for (size_t changes = feed_.below(6); changes > 0; --changes) change();
    // Whatever it is has to have come through the decoder.
    const auto decoded = decode(encode(peer_));
    require(decoded.has_value(), "what can be encoded can be decoded");
    HeartbeatReceived event{std::nullopt, std::nullopt, *decoded};
    if (feed_.below(4) == 0) {
      event.relay = HostId(feed_.below(config_.hosts.size()));
    } else {
      event.link = LinkId(feed_.below(config_.links.size()));
    }
    step(event);
  }

  void change() {
    switch (feed_.byte() % 14) {
      case 0:
        peer_.boot.value = number();
        break;
      case 1:
        peer_.sequence = number();
        break;
      case 2:
        peer_.ack = {BootId{number()}, number()};
        break;
      case 3:
        peer_.config_hash = feed_.coin() ? config_.hash : number();
        break;
      case 4:
        peer_.wall = WallTime(Duration(static_cast<int64_t>(number())));
        break;
      case 5: {
        const unsigned bits = feed_.byte();
        peer_.locked = (bits & 1U) != 0;
        peer_.lock_peer = (bits & 2U) != 0;
        peer_.leaving = (bits & 4U) != 0;
        peer_.promise_wanted = (bits & 8U) != 0;
        peer_.promise_given = (bits & 16U) != 0;
        peer_.service_nic_up = (bits & 32U) != 0;
        peer_.watchdog = (bits & 64U) != 0;
        break;
      }
      case 6:
        peer_.promise = Duration(static_cast<int64_t>(number()));
        break;
      case 7:
        peer_.hosts.resize(feed_.below(4) == 0 ? feed_.below(kMaxHosts + 1) : config_.hosts.size());
        for (CountedState& host : peer_.hosts) {
          const unsigned bits = feed_.byte();
          host = {(bits & 1U) != 0, (bits & 2U) != 0, (bits & 4U) != 0, (bits & 8U) != 0, (bits & 16U) != 0};
        }
        break;
      case 8:
      case 9:
        peer_.services.resize(feed_.below(8) == 0 ? feed_.below(kMaxServices + 1) : config_.services.size());
        for (ServiceReport& service : peer_.services) {
          if (feed_.coin()) change(service);
        }
        break;
      case 10:
        peer_.lineage_of = static_cast<uint16_t>(number());
        break;
      case 11:
        peer_.lineage.resize(feed_.below(kMaxLineage + 1));
        for (Epoch& epoch : peer_.lineage) epoch.value = number();
        break;
      case 12:
        peer_.request = {static_cast<Request::Kind>(feed_.below(6)), number(),
                         static_cast<uint16_t>(number())};
        break;
      default:
        peer_.answer.id = number();
        peer_.answer.outcome = static_cast<RequestAnswer::Outcome>(feed_.below(3));
        peer_.answer.reason = feed_.text(feed_.below(130));
    }
    peer_.links_up = feed_.byte();
  }

  void change(ServiceReport& service) {
    service.role = static_cast<Role>(feed_.below(7));
    service.epoch.value = number();
    service.data_epoch.value = feed_.coin() ? service.epoch.value : number();
    const unsigned bits = feed_.byte();
    service.ready = (bits & 1U) != 0;
    service.peer_synced = (bits & 2U) != 0;
    service.diverged = (bits & 4U) != 0;
    service.blocked = (bits & 8U) != 0;
    service.may_run = (bits & 16U) != 0;
  }

  void command() {
    Command command;
    command.kind = static_cast<Command::Kind>(feed_.below(10));  // a daemon that ends is of no interest
    command.id = ++commands_;
    command.service = a_service();
    command.node = NodeId(feed_.below(kNodes));
    command.text = feed_.coin() ? "data" : "nothing";
    command.epoch.value = number();
    step(command);
  }

  void mirror_report() {
    MirrorReport report;
    report.service = a_service();
    report.mirror = MirrorId(0);
    report.epoch.value = number();
    report.outcome = static_cast<MirrorReport::Outcome>(feed_.below(4));
    report.kind = static_cast<MirrorReport::Kind>(feed_.below(3));
    report.lost = number();
    step(report);
  }

  void wait() {
    const Instant end = now_ + some_span(11);
    // Not every tick of an hour: being late is allowed.
    for (int ticks = 0; node_.next_deadline() <= end && ticks < 6; ++ticks) {
      now_ = std::max(now_, node_.next_deadline());
      step(Tick{wall()});
      int again = 0;
      while (node_.next_deadline() <= now_) {
        require(++again < 5, "a node whose time has come does not spin");
        step(Tick{wall()});
      }
    }
    now_ = std::max(now_, end);
    step(Tick{wall()});
  }

  [[nodiscard]] WallTime wall() const { return WallTime(now_.time_since_epoch()); }

  void step(const Event& event) {
    const Actions actions = node_.step(now_, event);
    for (const SetGate& gate : actions.set_gates)
      require(gate.deadline <= now_ + std::chrono::seconds(6), "no lease outlasts a promise");
    for (const SendHeartbeat& send : actions.heartbeats) {
      const auto sent = decode(encode(send.heartbeat));
      require(sent.has_value(), "what is sent can be read");
      for (size_t i = 0; i < own_.services.size(); ++i)
        require(send.heartbeat.services.at(i).epoch >= own_.services.at(i).epoch, "epochs never go back");
      own_ = send.heartbeat;
      for (const ServiceReport& service : own_.services) epoch_ = std::max(epoch_, service.epoch.value);
    }
    if (actions.persist) version_ = actions.persist_version;
    if (actions.persist) {
      require(actions.persist->takeovers.size() < 1000 && actions.persist->services.size() == 2,
              "bounded state");
      for (const PersistedService& service : actions.persist->services)
        require(service.lineage.size() <= kMaxLineage, "bounded lineage");
    }
    for (const MirrorOrder& order : actions.mirror_orders)
      require(order.mirror.at() < config_.service(order.service).mirrors.size(), "a mirror of the service");
  }

  Feed& feed_;
  const Config config_;
  Node node_;
  Instant now_{std::chrono::hours(1)};
  Heartbeat own_, peer_;
  uint64_t version_ = 0, epoch_ = 0, commands_ = 0;
};

}  // namespace

void fuzz_node(Bytes input) {
  Feed feed(input);
  World world(feed);
  for (int turns = 0; turns < 60 && !feed.empty(); ++turns) world.turn();
  world.look();
}

}  // namespace clusterd::fuzz
