// The guard of one service's mirrors on this node: when the folders of mirrors with `guard = true` are
// read-only here for everybody but the mirror, and what has become of it (docs/decisions/0013-guard.md).
//
// They are guarded while this node stands by for the service, is not about to take it over, and none of the
// service's members runs here. They are free from the moment in which a claim is made, which is before the
// decision to activate, so that nothing has to be waited for then. Between the two (members that still stop,
// a release that may come back) everything stays as it is.
//
// A guard that cannot be had keeps nobody from anything: it is told, and the port goes on trying.
#pragma once

#include <vector>

#include "core/actions.hpp"
#include "core/config.hpp"
#include "core/status.hpp"

namespace clusterd {

class GuardRules {
 public:
  GuardRules(const Config& config, ServiceId id);

  enum class Wish : uint8_t { kAsItIs, kSet, kLift };
  // Orders what has changed. The first decision of a daemon's life is always ordered: what its predecessor
  // left in place is not known.
  void review(Wish wish, Actions& out);
  // False: the report is of an order that has been taken back since, and says nothing.
  bool on(const GuardReport& report);

  // Whether any mirror of the service has a guard; and whether all of them are in place.
  [[nodiscard]] bool any() const;
  [[nodiscard]] bool complete() const;
  [[nodiscard]] const MirrorGuard& of(MirrorId mirror) const { return guards_.at(mirror.at()); }
  void add_to(std::vector<MirrorStatus>& mirrors) const;

  // Everything that a snapshot of the node must hold (core/node_snapshot.cpp).
  template <class Archive>
  void fields(Archive& archive) {
    archive(ordered_, guards_);
    archive.same_size(guards_, service().mirrors);
  }

 private:
  [[nodiscard]] const ServiceConfig& service() const { return config_->service(id_); }

  const Config* config_;
  ServiceId id_;
  Wish ordered_ = Wish::kAsItIs;     // kAsItIs: nothing yet
  std::vector<MirrorGuard> guards_;  // one per mirror
};

}  // namespace clusterd
