#include "linux/address/link_reaper.hpp"

#include <cstdio>

namespace clusterd {

void* LinkReaper::work(void* self) {
  auto& reaper = *static_cast<LinkReaper*>(self);
  if (auto done = reaper.kernel_.delete_link(reaper.ifindex_); !done)
    std::fprintf(stderr, "<3>addresses: macvlan cannot be removed: %s\n", done.error().text.c_str());
  return nullptr;
}

void LinkReaper::remove(int ifindex) {
  wait();
  ifindex_ = ifindex;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  constexpr size_t kStack = 256 * 1024;  // netlink's receive buffer is thread-local and lies in it
  pthread_attr_setstacksize(&attributes, kStack);
  pthread_t thread{};
  if (::pthread_create(&thread, &attributes, work, this) == 0)
    worker_ = thread;
  else
    work(this);
  pthread_attr_destroy(&attributes);
}

void LinkReaper::wait() {
  if (!worker_) return;
  ::pthread_join(*worker_, nullptr);
  worker_.reset();
}

}  // namespace clusterd
