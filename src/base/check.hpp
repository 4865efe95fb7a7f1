// Assertions that stay on in every build. A dead daemon is a safe failover (its gate falls shut by itself);
// a daemon that goes on with a broken invariant is not.
#pragma once

#include <cstdio>
#include <cstdlib>

#define CLUSTERD_CHECK(condition, what)                                                             \
  do {                                                                                              \
    if (!(condition)) [[unlikely]] {                                                                \
      std::fprintf(stderr, "<2>clusterd: invariant broken at %s:%d: %s (%s)\n", __FILE__, __LINE__, \
                   #condition, what);                                                               \
      std::abort();                                                                                 \
    }                                                                                               \
  } while (false)
