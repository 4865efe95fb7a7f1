"""A disk with a volatile write cache, for a virtual machine: what was not flushed is lost when the power is cut.

Killing an emulator loses nothing that the guest has handed to its disk: an image file lives on in the host's page
cache. So this disk is a server of its own (NBD, which QEMU speaks), and keeps two pictures:

- the *view*, what the guest reads: every write at once;
- the *image* file, what is on the platters: writes reach it when the guest flushes (or asks for FUA).

`cut` is the power failure. What has not been flushed since is lost, wholly or in parts: a real drive writes its
cache back in any order, and a request of several sectors may be half done. One sector is never torn; a file system may rely on that. A sector has 1024 bytes
here: ext4's superblock has that size, and a file system of which half a superblock was written cannot be mounted any
more (tried, with 512), whatever was stored in it.

A flush takes a while (`flush_seconds`, the mean), as it does on a real drive: that is when most cuts come.

Threads: one per connection; all methods are for the owner's thread. `power_off` comes before the emulator is killed
and `cut` after it: what the drive does in between, the guest cannot have believed.
"""
import contextlib
import mmap
import os
import random
import socket
import struct
import subprocess
import threading
import time

SECTOR = 1024

_MAGIC = 0x4E42444D41474943
_OPTION_MAGIC = 0x49484156454F5054
_REPLY_MAGIC = 0x3E889045565A9
_REQUEST_MAGIC = 0x25609513
_ANSWER_MAGIC = 0x67446698

_OPT_EXPORT_NAME, _OPT_ABORT, _OPT_INFO, _OPT_GO = 1, 2, 6, 7
_REP_ACK, _REP_INFO, _REP_UNSUPPORTED = 1, 3, 0x80000001
_READ, _WRITE, _DISCONNECT, _FLUSH = 0, 1, 2, 3
_FUA = 1
_FLAGS = 1 | 4 | 8  # has flags, flush, FUA
_INVALID = 22

CUTS = ("all", "tail", "writes", "sectors", "none")


class Disk:
    """`lies`: a drive that acknowledges a flush without doing it, to see that a campaign notices."""

    def __init__(self, image, socket_path, lies=False):
        self._file = open(image, "r+b")  # pylint: disable=consider-using-with
        self._size = os.fstat(self._file.fileno()).st_size
        self._image = mmap.mmap(self._file.fileno(), self._size)
        self._view = bytearray(self._image)
        self._cache = []  # (offset, bytes, FUA), oldest first: written, not flushed
        self._lies = lies
        self._lock = threading.Lock()
        self._off = False
        self._writes_left = None
        self.off = threading.Event()  # it has gone off by itself
        self.flush_seconds = 0.0
        with contextlib.suppress(FileNotFoundError):
            os.unlink(socket_path)
        self.path = socket_path
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(socket_path)
        self._listener.listen(1)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def power_off_after(self, writes):
        """Goes off by itself in the middle of the guest's writing: with that many more requests taken in."""
        with self._lock:
            self._writes_left = writes

    def power_off(self):
        """From now on nothing is taken in, done or answered."""
        with self._lock:
            self._off = True

    def cut(self, rng, how=None):
        """What the power failure leaves: (how, sectors that were not flushed, of which lost). The disk is on again."""
        for thread in self._threads[1:]:
            thread.join()
        how = how or rng.choice(CUTS)
        unflushed = lost = 0
        with self._lock:
            keep_first = rng.randint(0, len(self._cache))
            chance = rng.random()
            for number, (offset, data, forced) in enumerate(self._cache):
                if forced:
                    self._image[offset:offset + len(data)] = data
                    continue
                if how == "tail":
                    survives = number < keep_first
                elif how == "writes":
                    survives = rng.random() < chance
                else:
                    survives = how == "none"
                for at in range(0, len(data), SECTOR):
                    unflushed += 1
                    if how == "sectors":
                        survives = rng.random() < chance
                    if survives:
                        self._image[offset + at:offset + at + SECTOR] = data[at:at + SECTOR]
                    else:
                        lost += 1
            self._cache.clear()
            self._view[:] = self._image
            self._off = False
            self._writes_left = None
            self.off.clear()
            del self._threads[1:]
        return how, unflushed, lost

    def close(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()
        self._image.close()
        self._file.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def _flush(self):
        if self._lies:
            return
        for offset, data, _ in self._cache:
            self._image[offset:offset + len(data)] = data
        self._cache.clear()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection):
        with connection, connection.makefile("rb") as stream, contextlib.suppress(OSError, struct.error):
            if self._negotiate(connection, stream):
                while self._answer(connection, stream):
                    pass

    def _negotiate(self, connection, stream):
        connection.sendall(struct.pack(">QQH", _MAGIC, _OPTION_MAGIC, 3))
        _take(stream, 4)
        while True:
            _, option, length = struct.unpack(">QII", _take(stream, 16))
            _take(stream, length)
            if option == _OPT_EXPORT_NAME:
                connection.sendall(struct.pack(">QH", self._size, _FLAGS))
                return True

            def reply(kind, data=b"", option=option):
                connection.sendall(struct.pack(">QIII", _REPLY_MAGIC, option, kind, len(data)) + data)

            if option in (_OPT_GO, _OPT_INFO):
                reply(_REP_INFO, struct.pack(">HQH", 0, self._size, _FLAGS))
                reply(_REP_ACK)
                if option == _OPT_GO:
                    return True
            elif option == _OPT_ABORT:
                reply(_REP_ACK)
                return False
            else:
                reply(_REP_UNSUPPORTED)

    def _answer(self, connection, stream):
        magic, flags, kind, handle, offset, length = struct.unpack(">IHHQQI", _take(stream, 28))
        if magic != _REQUEST_MAGIC or kind == _DISCONNECT:
            return False
        error, body = 0, b""
        data = _take(stream, length) if kind == _WRITE else b""
        if kind == _FLUSH and self.flush_seconds:
            time.sleep(random.expovariate(1 / self.flush_seconds))
        with self._lock:
            if self._off:
                return False
            if kind in (_READ, _WRITE) and offset + length > self._size:
                error = _INVALID
            elif kind == _READ:
                body = bytes(self._view[offset:offset + length])
            elif kind == _WRITE:
                self._view[offset:offset + length] = data
                self._cache.append((offset, data, bool(flags & _FUA) and not self._lies))
                if self._writes_left is not None:
                    self._writes_left -= 1
                    if self._writes_left <= 0:
                        self._off = True
                        self.off.set()
                        return False
            elif kind == _FLUSH:
                self._flush()
            else:
                error = _INVALID
        connection.sendall(struct.pack(">IIQ", _ANSWER_MAGIC, error, handle) + body)
        return True


def _take(stream, size):
    data = stream.read(size)
    if len(data) != size:
        raise ConnectionResetError
    return data


FILE_SYSTEMS = {
    "ext4": (64, ["mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0"]),
    "xfs": (320, ["mkfs.xfs", "-q", "-b", "size=4096"]),
}


def make_image(path, filesystem):
    """A file with an empty file system in it."""
    megabytes, command = FILE_SYSTEMS[filesystem]
    with open(path, "wb") as file:
        file.truncate(megabytes << 20)
    subprocess.run([*command, path], check=True)
