// The letters of an entry's type (mirror/manifest.hpp), and what stat(2) and mknod(2) call it.
#pragma once

#include <sys/stat.h>

namespace clusterd {

[[nodiscard]] inline char type_of(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return 'f';
    case S_IFDIR:
      return 'd';
    case S_IFLNK:
      return 'l';
    case S_IFIFO:
      return 'p';
    case S_IFSOCK:
      return 's';
    case S_IFBLK:
      return 'b';
    default:
      return 'c';
  }
}

// Of what mknod(2) makes: fifos, sockets and devices.
[[nodiscard]] inline mode_t type_bits(char type) {
  switch (type) {
    case 'p':
      return S_IFIFO;
    case 's':
      return S_IFSOCK;
    case 'b':
      return S_IFBLK;
    default:
      return S_IFCHR;
  }
}

}  // namespace clusterd
