// Deletes links without holding up the reactor: the kernel waits for its own readers (10-40 ms) before a
// macvlan is gone. By then it has neither address nor open gate, so nobody hears of it meanwhile.
//
// Threading: one caller. The worker has a netlink socket of the network namespace in which this was made, and
// a small stack, because the daemon locks its memory.
#pragma once

#include <pthread.h>

#include <optional>

#include "linux/address/kernel_tables.hpp"

namespace clusterd {

class LinkReaper {
 public:
  LinkReaper() = default;
  ~LinkReaper() { wait(); }
  LinkReaper(const LinkReaper&) = delete;
  LinkReaper& operator=(const LinkReaper&) = delete;

  // Waits for the one before. Without a thread to be had it deletes at once.
  void remove(int ifindex);
  // Until the last deletion is done: before the same name is used again.
  void wait();

 private:
  static void* work(void* self);
  KernelTables kernel_;
  std::optional<pthread_t> worker_;
  int ifindex_ = 0;
};

}  // namespace clusterd
