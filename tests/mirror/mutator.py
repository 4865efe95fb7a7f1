#!/usr/bin/python3
"""Changes a tree at random, thousands of times a second: mutator.py ROOT [--seed N] [--seconds S | --operations N] [--rate R]

One seed makes one sequence of changes, if nobody else writes there. Several mutators in one tree get in each
other's way; what fails then is none of their business. Prints how many operations of which kind came about.
"""
import argparse
import collections
import errno
import itertools
import os
import random
import stat
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from tree import (FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, KINDS, Tree, noise)  # noqa: E402

RESCAN = 1000
EXPECTED = {errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, errno.EINVAL, errno.ELOOP,
            errno.EPERM, errno.EMLINK, errno.ENOSPC, errno.ENXIO, errno.ENOTSUP, errno.EBUSY, errno.ETXTBSY,
            errno.ENAMETOOLONG, errno.EFBIG, errno.ENODATA, errno.ESTALE, errno.EDQUOT, errno.EADDRINUSE}
NOISE = noise(1 << 20, 3)


class Mutator:
    def __init__(self, root, seed, entries=3000, largest=400_000):
        self.tree = Tree(root)
        self.dice = random.Random(seed)
        self.entries, self.largest = entries, largest
        self.names, self.folders, self.files = 0, [b""], []
        self.held = []
        self.done = collections.Counter()
        self.operations = [getattr(self, name) for name in WEIGHTS]
        self.weights = list(itertools.accumulate(WEIGHTS.values()))

    # --- choices ---
    def scan(self):
        """What is there now. Sorted: a seed draws the same from the same tree."""
        self.folders, self.files = [b""], []
        root = self.tree()
        for folder, inner, outer in os.walk(root):
            inner.sort()
            below = folder[len(root) + 1:]
            for name in inner:
                path = below + b"/" + name if below else name
                (self.files if os.path.islink(self.tree(path)) else self.folders).append(path)
            self.files.extend(below + b"/" + name if below else name for name in sorted(outer))

    def folder(self):
        return min(self.dice.choices(self.folders, k=2), key=lambda path: path.count(b"/"))

    def file(self):
        return self.dice.choice(self.files) if self.files else self.new()

    def plain(self):
        """A plain file: nobody opens a fifo, a device, or what a symlink names."""
        path = self.file()
        if not stat.S_ISREG(os.lstat(self.tree(path)).st_mode):
            raise OSError(errno.ENXIO, "not a plain file")
        return path

    def any(self):
        return self.dice.choice(self.files) if self.files and self.dice.random() < 0.8 else self.some_folder()

    def some_folder(self):
        """Any but the root."""
        return self.dice.choice(self.folders[1:]) if len(self.folders) > 1 else b"nothing"

    def new(self):
        """A name that was not used lately, or one that was: names come again."""
        folder = self.folder()
        name = b"n%d" % self.dice.randrange(60) if self.dice.random() < 0.5 else b"f%d" % self.names
        self.names += 1
        if self.dice.random() < 0.01:
            name += b"\xff\n*"
        return folder + b"/" + name if folder else name

    def bytes(self):
        size = self.dice.choice((0, 1, 10, 100, 1000, 4096, 5000, 20_000, self.dice.randrange(self.largest)))
        begin = self.dice.randrange(len(NOISE) - size) if size < len(NOISE) else 0
        return NOISE[begin:begin + size]

    # --- operations ---
    def create(self):
        path = self.new()
        descriptor = os.open(self.tree(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            os.write(descriptor, self.bytes())
        finally:
            os.close(descriptor)
        self.files.append(path)

    def rewrite(self):
        self.tree.write(self.plain(), self.bytes())

    def rewrite_same_size_and_time(self):
        path = self.plain()
        status = os.lstat(self.tree(path))
        if status.st_size < self.largest:
            self.tree.write(path, NOISE[self.dice.randrange(1000):][:status.st_size])
            self.tree.mtime(path, status.st_mtime_ns)

    def replace(self):
        path = self.plain()
        self.tree.replace(path, self.bytes())

    def append(self):
        self.tree.append(self.plain(), self.bytes())

    def patch(self):
        self.tree.patch(self.plain(), self.dice.randrange(self.largest), self.bytes()[:5000])

    def truncate(self):
        self.tree.truncate(self.plain(), self.dice.choice((0, 1, 4096, self.dice.randrange(self.largest * 3))))

    def punch(self):
        self.tree.fallocate(self.plain(), FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, self.dice.randrange(self.largest),
                            self.dice.choice((4096, 65536, 200_000)))

    def unlink(self):
        path = self.file()
        self.tree.unlink(path)
        if path in self.files:
            self.files.remove(path)

    def mkdir(self):
        path = self.new()
        os.mkdir(self.tree(path))
        self.folders.append(path)

    def deep_mkdir(self):
        path = self.new() + b"/a/b/c/d"
        self.tree.mkdir(path)  # fails where it leads through a symlink to nowhere
        self.tree.write(path + b"/file", self.bytes())
        self.files.append(path + b"/file")

    def rmdir(self):
        self.tree.rmdir(self.some_folder())

    def rmtree(self):
        path = self.some_folder()
        if not stat.S_ISDIR(os.lstat(self.tree(path)).st_mode):
            raise OSError(errno.ENOTDIR, "not a folder any more")
        if sum(1 for name in self.files if name.startswith(path + b"/")) < 60:
            self.tree.rmtree(path)

    def rename(self):
        old, new = self.file(), self.new()
        self.tree.rename(old, new)
        self.files[self.files.index(old)] = new

    def rename_over(self):
        self.tree.rename(self.file(), self.file())

    def rename_folder(self):
        old, new = self.some_folder(), self.new()
        self.tree.rename(old, new)
        self.folders[self.folders.index(old)] = new

    def exchange(self):
        self.tree.exchange(self.any(), self.any())

    def rename_away_and_remake(self):
        old, new = self.some_folder(), self.new()
        self.tree.rename(old, new)
        self.tree.mkdir(old)
        self.tree.write(old + b"/again", self.bytes())
        self.folders.append(new)

    def link(self):
        new = self.new()
        self.tree.link(self.file(), new)
        self.files.append(new)

    def symlink(self):
        new = self.new()
        target = self.dice.choice((self.any(), b"/dev/null/nowhere", b"x" * self.dice.randrange(1, 900)))
        self.tree.symlink(target, new)
        self.files.append(new)

    def special(self):
        path = self.new()
        self.tree.make(self.dice.choice(("fifo", "socket", "character device", "block device")), path)
        self.files.append(path)

    def change_type(self):
        path = self.any()
        if path in self.files or not os.listdir(self.tree(path)):
            self.tree.remove(path)
            self.tree.make(self.dice.choice(KINDS), path)

    def chmod(self):
        path = self.any()
        if not os.path.islink(self.tree(path)):
            self.tree.chmod(path, self.dice.choice((0o600, 0o644, 0o755, 0o4755, 0o2644, 0, 0o1777)))

    def chown(self):
        self.tree.chown(self.any(), self.dice.randrange(5), self.dice.randrange(5))

    def mtime(self):
        self.tree.mtime(self.any(), self.dice.randrange(-10 ** 18, 4 * 10 ** 18))

    def xattr(self):
        path, name = self.any(), f"trusted.{self.dice.randrange(4)}"
        self.tree.xattr(path, name, None if self.dice.random() < 0.3 else NOISE[:self.dice.randrange(200)])

    def acl(self):
        """An access ACL: owner, one user, group, mask, others."""
        rights = [self.dice.randrange(8) for _ in range(5)]
        tags = ((1, -1), (2, self.dice.randrange(2000)), (4, -1), (16, -1), (32, -1))
        value = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", tag, right, who)
                                                for (tag, who), right in zip(tags, rights))
        path = self.any()
        if not os.path.islink(self.tree(path)):
            self.tree.xattr(path, "system.posix_acl_access", value)

    def hold(self):
        """Opens a file and keeps it open, as a log or a database is."""
        if len(self.held) > 8:
            os.close(self.held.pop(self.dice.randrange(len(self.held))))
        self.held.append(os.open(self.tree(self.plain()), os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK))

    def write_held(self):
        if self.held:
            os.pwrite(self.dice.choice(self.held), self.bytes()[:3000], self.dice.randrange(self.largest))

    # --- running ---
    def step(self):
        operation = self.dice.choices(self.operations, cum_weights=self.weights)[0]
        if len(self.files) + len(self.folders) > self.entries and operation.__name__ in GROWING:
            operation = self.dice.choice((self.unlink, self.unlink, self.rmtree))
        try:
            operation()
            self.done[operation.__name__] += 1
        except OSError as error:
            if error.errno not in EXPECTED:
                raise
            self.done["failed"] += 1
        except ValueError:  # a name that is known under another one by now
            pass
        if self.steps % RESCAN == 0:
            self.scan()
        self.steps += 1

    steps = 1

    def close(self):
        for descriptor in self.held:
            os.close(descriptor)
        self.held = []

    def run(self, operations=None, seconds=None, rate=None):
        self.scan()
        begin = time.monotonic()
        end = begin + seconds if seconds else None
        while (operations is None or self.steps <= operations) and (end is None or time.monotonic() < end):
            self.step()
            # In bursts: what it is late for is made up for.
            if rate and self.steps % 50 == 0:
                time.sleep(max(0, begin + self.steps / rate - time.monotonic()))
        self.close()
        return self.done


WEIGHTS = {"create": 16, "rewrite": 8, "rewrite_same_size_and_time": 3, "replace": 6, "append": 6, "patch": 5,
           "truncate": 3, "punch": 2, "unlink": 8, "mkdir": 5, "deep_mkdir": 1, "rmdir": 3, "rmtree": 1, "rename": 8,
           "rename_over": 3, "rename_folder": 4, "exchange": 3, "rename_away_and_remake": 1, "link": 4, "symlink": 3,
           "special": 1, "change_type": 2, "chmod": 3, "chown": 3, "mtime": 3, "xattr": 3, "acl": 2, "hold": 1,
           "write_held": 4}
GROWING = {"create", "mkdir", "deep_mkdir", "link", "symlink", "special", "rename_away_and_remake"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--operations", type=int)
    parser.add_argument("--entries", type=int, default=3000)
    parser.add_argument("--rate", type=float, help="operations a second at most")
    options = parser.parse_args()
    if not options.seconds and not options.operations:
        options.operations = 10_000
    begin = time.monotonic()
    mutator = Mutator(options.root, options.seed, options.entries)
    done = mutator.run(options.operations, options.seconds, options.rate)
    rate = mutator.steps / (time.monotonic() - begin)
    print(f"seed {options.seed}: {mutator.steps - 1} operations, {rate:.0f} a second")
    print(", ".join(f"{count} {name}" for name, count in sorted(done.items())))


if __name__ == "__main__":
    main()
