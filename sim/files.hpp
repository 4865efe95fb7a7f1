// The simulated files of the services: what clients have written on which node, what the mirrors have carried
// over, and the judge of S8-S10, which knows every version that was ever acknowledged to a client.
//
// A file is a number, and its content the number of the write that made it; a deletion is a version too. The
// runs follow the steps of the real mirror (src/linux/mirror), and ask the production mirror core
// (src/mirror) what it decides: when a mirror halts, what a returning node had that its peer never got, and
// what of it was lost.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/actions.hpp"
#include "core/config.hpp"
#include "mirror/halt.hpp"
#include "mirror/loss.hpp"

namespace clusterd::sim {

struct Version {
  uint64_t write = 0;
  bool exists = true;
  bool operator==(const Version&) const = default;
};
using Tree = std::map<uint32_t, Version>;

// What has become of a mirror's root on one node.
enum class RootFault : uint8_t {
  kNone,
  kNotMounted,
  kEmptied,
  kRefilled  // emptied, and written to since
};

// One run on its way.
struct Transfer {
  uint64_t id = 0;
  NodeId source, target;
  MirrorOrder order;
  uint64_t source_life = 0;                  // of the daemon that ordered it
  RootFault source_root = RootFault::kNone;  // when the run began
  bool answered = false;
  bool resync = false;
  bool backs_up = false;  // rsync is told to keep what it overwrites
  std::vector<uint32_t> todo;
  uint64_t listed = 0;  // files at the source when the run began
  std::vector<mirror::Candidate> candidates;
  std::set<uint64_t> overwritten;  // unseen versions that this run has replaced
  std::set<uint64_t> kept;         // … and put into the backup set
  MirrorReport report;
};

class Files {
 public:
  using Accuse = std::function<void(const std::string&)>;  // a rule was broken

  Files(const Config& config, Accuse accuse);

  // A client's write was acknowledged. False: it could not be written (the root is not there).
  bool write(ServiceId service, NodeId node, uint32_t file, bool remove);
  void set_root(ServiceId service, NodeId node, RootFault fault);
  [[nodiscard]] RootFault root(ServiceId service, NodeId node) const { return side(service, node).fault; }
  // The state directory is lost: manifests, not the files.
  void forget_manifests(NodeId node);
  // The state file is lost, and with it which mirrors had halted (A3): a root that was refilled meanwhile is
  // a folder like any other from now on.
  void forget_halts(NodeId node);
  // An administrator has let the mirror go on, and this order says so.
  void confirmed(const MirrorOrder& order, NodeId source);
  void booted(NodeId node) { ++boots_.at(node.at()); }

  // These files were written to at this epoch: what has become of them since is their own history.
  void served(ServiceId service, NodeId node, Epoch epoch) {
    side(service, node).history.insert(epoch.value);
  }
  // The daemon has ended, and its disk knows of no later epoch. Whether it served at one that the peer has
  // not met either, nobody can tell: what was written then is kept and reported like all that the peer never
  // had, but no divergence is told.
  void forgot(ServiceId service, NodeId node, Epoch known) {
    const auto& met = side(service, NodeId(1 - node.at())).history;
    std::erase_if(side(service, node).history, [&](uint64_t epoch) {
      return epoch > known.value && epoch % kNodes == node.at() && !met.contains(epoch);
    });
  }
  // The peer has let go of the service for this node, with what its mirrors have brought: no divergence.
  void handed_over(ServiceId service, NodeId to) {
    const auto& from = side(service, NodeId(1 - to.at())).history;
    side(service, to).history.insert(from.begin(), from.end());
  }
  // A run has met files that were served at an epoch from which the source's do not descend (S9).
  [[nodiscard]] bool diverged(ServiceId service) const { return services_.at(service.at()).diverged; }

  // The source looks at its roots: why it halts, if it does.
  [[nodiscard]] std::optional<std::string> source_halt(const Transfer& run) const;
  // The target has agreed: what is to be done. A reason: it halts.
  [[nodiscard]] std::optional<std::string> open(Transfer& run);
  // A run has broken off: the target may have all that it began with (linux/mirror/broken_run.hpp).
  void broke_off(const Transfer& run);
  // Carries up to `count` files over; true when nothing is left.
  bool carry(Transfer& run, size_t count);
  // A live mirror that follows: brings over what differs now, up to `count` files, and notes that it is
  // agreed on. Returns how many files that were.
  size_t follow(Transfer& run, size_t count);
  // Everything has arrived: manifests and loss report.
  void finish(Transfer& run);

  // Every mirror has brought the node files of this epoch or a later one.
  [[nodiscard]] bool complete(ServiceId service, NodeId node, Epoch epoch) const;
  [[nodiscard]] bool equal(ServiceId service) const;
  [[nodiscard]] std::string difference(ServiceId service) const;
  // Changes that clients were told of, and that are on no node, in no backup set, and named in no report.
  void judge_losses(ServiceId service) const;

 private:
  struct Manifest {
    mirror::ManifestHeader header;
    std::map<uint32_t, uint64_t> files;
    std::set<uint32_t> in_doubt;  // of these: the peer may have deleted them (mirror::unproven)
  };
  struct Side {
    Tree tree;
    RootFault fault = RootFault::kNone;
    uint64_t refilled_from = 0;    // kRefilled: the first write that is there
    bool halts_forgotten = false;  // kRefilled: nobody can know any more that it had been emptied
    // Mirrors of which an administrator has confirmed the fault. The run that this was good for may have
    // broken off: what is still empty asks again then, and what was refilled does not.
    std::set<size_t> let_go;
    std::map<size_t, Manifest> manifests;  // per mirror
    std::set<uint64_t> backups;
    std::set<uint64_t> named;          // in a loss report
    std::map<size_t, Epoch> received;  // per mirror: of the last run that came to its end
    std::set<uint64_t> history;        // epochs at which these files, or those they descend from, were served
  };
  struct Write {
    uint32_t file = 0;
    bool exists = true;
    bool seen = false;  // a client has replaced it knowingly, on a node that had it
  };
  struct Service {
    std::array<Side, kNodes> sides;
    bool diverged = false;
  };

  [[nodiscard]] Side& side(ServiceId s, NodeId n) { return services_.at(s.at()).sides.at(n.at()); }
  [[nodiscard]] const Side& side(ServiceId s, NodeId n) const {
    return services_.at(s.at()).sides.at(n.at());
  }
  // No other file of its mirror exists.
  [[nodiscard]] static bool is_last(const Side& here, uint32_t file, size_t mirrors);
  // A file that was never there is as one that was deleted.
  [[nodiscard]] static Version held(const Side& here, uint32_t file);
  // What the root's fault hides from whoever looks at it.
  [[nodiscard]] static bool hidden(const Side& side, const Version& version) {
    return side.fault != RootFault::kNone &&
           !(side.fault == RootFault::kRefilled && version.write >= side.refilled_from);
  }
  [[nodiscard]] bool belongs(uint32_t file, const Transfer& run) const;
  [[nodiscard]] mirror::RootsNow look(ServiceId service, NodeId node, MirrorId mirror) const;
  [[nodiscard]] mirror::ManifestHeader header(ServiceId service, NodeId node, const Transfer& run,
                                              mirror::ManifestHeader::Role role) const;
  void doubt_what_is_gone(const Transfer& run);
  void find_candidates(Transfer& run);
  void replace(Transfer& run, uint32_t file);
  [[nodiscard]] std::set<uint32_t> files_of(const Transfer& run) const;
  void record(Transfer& run);
  void report_losses(Transfer& run);

  const Config& config_;
  Accuse accuse_;
  std::vector<Service> services_;
  std::vector<Write> writes_{1};
  std::array<uint64_t, kNodes> boots_{};
};

}  // namespace clusterd::sim
