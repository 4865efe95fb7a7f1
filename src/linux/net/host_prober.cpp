#include "linux/net/host_prober.hpp"

#include <utility>

#include "linux/net/echo_prober.hpp"
#include "linux/net/neighbour_prober.hpp"
#include "linux/net/probe_context.hpp"
#include "linux/net/tcp_prober.hpp"

namespace clusterd {

class HostProber::Impl {
 public:
  Impl(EventLoop& loop, const Config& config, EventSink sink)
      : context_{loop,
                 config,
                 std::move(sink),
                 std::vector<ProberStats>(config.hosts.size()),
                 std::vector<unsigned>(config.links.size()),
                 0},
        echo_(context_),
        neighbour_(context_),
        tcp_(context_) {}

  void probe(const SendProbe& order) {
    switch (context_.config.host(order.host).kind) {
      case ProbeKind::kIcmp:
        echo_.probe(order);
        return;
      case ProbeKind::kArp:
        neighbour_.probe(order);
        return;
      case ProbeKind::kTcp:
        tcp_.probe(order);
        return;
    }
  }

  [[nodiscard]] const net::ProbeContext& context() const { return context_; }

 private:
  net::ProbeContext context_;
  net::EchoProber echo_;
  net::NeighbourProber neighbour_;
  net::TcpProber tcp_;
};

HostProber::HostProber(EventLoop& loop, const Config& config, EventSink sink)
    : impl_(std::make_unique<Impl>(loop, config, std::move(sink))) {}
HostProber::~HostProber() = default;

void HostProber::probe(const SendProbe& order) { impl_->probe(order); }

std::vector<ProberStats> HostProber::stats() const { return impl_->context().stats; }
uint64_t HostProber::strangers() const { return impl_->context().strangers; }

}  // namespace clusterd
