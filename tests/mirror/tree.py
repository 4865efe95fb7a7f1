"""What the cases do to a tree: plain system calls by name below one root, in as few words as can be."""
import ctypes
import fcntl
import os
import random
import shutil
import socket
import stat
import struct
import subprocess

_LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, RENAME_EXCHANGE = -100, 2
FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE = 1, 2
FALLOC_COLLAPSE_RANGE, FALLOC_ZERO_RANGE, FALLOC_INSERT_RANGE = 8, 16, 32
FS_IOC_GETFLAGS, FS_IOC_SETFLAGS = 0x80086601, 0x40086602
FS_IMMUTABLE_FL, FS_APPEND_FL = 0x10, 0x20


def noise(count, seed=1):
    """Bytes that do not compress; the same for the same seed."""
    block = random.Random(seed).randbytes(min(count, 1 << 20))
    return (block * (count // len(block) + 1))[:count] if block else b""


def at_once(name, flags):
    """An opener that does not wait at a fifo for somebody who reads it: there it fails with ENXIO."""
    return os.open(name, flags | os.O_NONBLOCK, 0o666)


class Tree:
    def __init__(self, root):
        self.root = os.fsencode(root)

    def __call__(self, name=b""):
        return os.path.join(self.root, os.fsencode(name)) if name else self.root

    # --- files ---
    def write(self, name, contents=b"contents\n"):
        with open(self(name), "wb", opener=at_once) as file:
            file.write(contents)

    def read(self, name):
        with open(self(name), "rb", opener=at_once) as file:
            return file.read()

    def append(self, name, contents):
        with open(self(name), "ab", opener=at_once) as file:
            file.write(contents)

    def patch(self, name, place, contents):
        with open(self(name), "r+b", opener=at_once) as file:
            file.seek(place)
            file.write(contents)

    def truncate(self, name, size):
        os.truncate(self(name), size)

    def replace(self, name, contents):
        """As editors and package managers do: a new file beside it, then renamed over it."""
        self.write(os.fsencode(name) + b".new", contents)
        self.rename(os.fsencode(name) + b".new", name)

    def fallocate(self, name, mode, place, count):
        descriptor = os.open(self(name), os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o644)
        try:
            if _LIBC.fallocate(descriptor, mode, ctypes.c_long(place), ctypes.c_long(count)) != 0:
                raise OSError(ctypes.get_errno(), "fallocate", self(name))
        finally:
            os.close(descriptor)

    # --- names ---
    def mkdir(self, name):
        os.makedirs(self(name))

    def rename(self, old, new):
        os.rename(self(old), self(new))

    def exchange(self, one, other):
        if _LIBC.renameat2(AT_FDCWD, self(one), AT_FDCWD, self(other), RENAME_EXCHANGE) != 0:
            raise OSError(ctypes.get_errno(), "renameat2", self(one))

    def link(self, old, new):
        os.link(self(old), self(new), follow_symlinks=False)

    def symlink(self, target, name):
        os.symlink(os.fsencode(target), self(name))

    def unlink(self, name):
        os.unlink(self(name))

    def rmdir(self, name):
        os.rmdir(self(name))

    def rmtree(self, name):
        shutil.rmtree(self(name))

    def remove(self, name):
        if stat.S_ISDIR(os.lstat(self(name)).st_mode):
            self.rmtree(name)
        else:
            self.unlink(name)

    def fifo(self, name):
        os.mkfifo(self(name))

    def socket(self, name):
        with socket.socket(socket.AF_UNIX) as one:
            folder = os.open(os.path.dirname(self(name)), os.O_RDONLY | os.O_DIRECTORY)
            try:
                one.bind(b"/proc/self/fd/%d/%s" % (folder, os.path.basename(self(name))))
            finally:
                os.close(folder)

    def device(self, name, major=1, minor=3, block=False):
        os.mknod(self(name), (stat.S_IFBLK if block else stat.S_IFCHR) | 0o600, os.makedev(major, minor))

    # --- attributes ---
    def chmod(self, name, mode):
        os.chmod(self(name), mode)

    def chown(self, name, user, group=-1):
        os.chown(self(name), user, group, follow_symlinks=False)

    def mtime(self, name, nanoseconds=None):
        """Sets the time, or says it."""
        if nanoseconds is None:
            return os.lstat(self(name)).st_mtime_ns
        os.utime(self(name), ns=(nanoseconds, nanoseconds), follow_symlinks=False)
        return nanoseconds

    def xattr(self, name, attribute, value):
        if value is None:
            os.removexattr(self(name), attribute, follow_symlinks=False)
        else:
            os.setxattr(self(name), attribute, value, follow_symlinks=False)

    def acl(self, name, *arguments):
        subprocess.run(["setfacl", *arguments, os.fsdecode(self(name))], check=True)

    def flags(self, name, flags):
        descriptor = os.open(self(name), os.O_RDONLY)
        try:
            value = bytearray(struct.pack("l", 0))
            fcntl.ioctl(descriptor, FS_IOC_GETFLAGS, value)
            now = struct.unpack("l", value)[0] & ~(FS_IMMUTABLE_FL | FS_APPEND_FL) | flags
            fcntl.ioctl(descriptor, FS_IOC_SETFLAGS, struct.pack("l", now))
        finally:
            os.close(descriptor)

    def exists(self, name):
        return os.path.lexists(self(name))

    # --- trees ---
    def plant(self, name, folders=3, files=4, size=300):
        """A small tree with something in each folder."""
        for folder in range(folders):
            self.mkdir(os.path.join(os.fsencode(name), b"folder%d" % folder))
            for file in range(files):
                self.write(os.path.join(os.fsencode(name), b"folder%d" % folder, b"file%d" % file),
                           noise(size, folder * files + file + 1))

    def make(self, kind, name):
        """An entry of any type."""
        {"file": lambda: self.write(name, b"a file\n"),
         "empty file": lambda: self.write(name, b""),
         "folder": lambda: self.mkdir(name),
         "full folder": lambda: self.plant(name, 2, 2),
         "symlink": lambda: self.symlink("anywhere", name),
         "symlink to a folder": lambda: self.symlink(".", name),
         "fifo": lambda: self.fifo(name),
         "socket": lambda: self.socket(name),
         "character device": lambda: self.device(name),
         "block device": lambda: self.device(name, 7, 200, block=True),
         "hard link": lambda: (self.write(os.fsencode(name) + b".first"),
                               self.link(os.fsencode(name) + b".first", name))}[kind]()


KINDS = ("file", "full folder", "symlink", "symlink to a folder", "fifo", "socket", "character device",
         "block device", "hard link", "folder")
