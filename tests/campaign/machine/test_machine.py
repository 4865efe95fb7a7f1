"""The parts of the virtual machines that need no machine: the disk that forgets, and the judge of the mirror."""
import contextlib
import os
import random
import socket
import struct
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
from machine.disk import Disk, SECTOR  # noqa: E402
from machine import mirror_target  # noqa: E402
from machine.mirror_target import MirrorTarget, mtime, size, source_tree  # noqa: E402

OLD, NEW, NEWER = b"o" * SECTOR, b"n" * SECTOR, b"N" * SECTOR


class Guest:
    """Speaks NBD with the disk, as QEMU does."""

    def __init__(self, disk):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(30)
        self._socket.connect(disk.path)
        self._stream = self._socket.makefile("rb")
        self._stream.read(18)
        self._socket.sendall(struct.pack(">I", 3) + struct.pack(">QII", 0x49484156454F5054, 7, 0))
        for _ in range(2):
            _, _, _, length = struct.unpack(">QIII", self._stream.read(20))
            self._stream.read(length)

    def ask(self, kind, sector=0, data=b"", length=0, flags=0):
        self._socket.sendall(struct.pack(">IHHQQI", 0x25609513, flags, kind, 1, sector * SECTOR, length or len(data)))
        self._socket.sendall(data)
        head = self._stream.read(16)
        return self._stream.read(length) if len(head) == 16 else None

    def read(self, sector):
        return self.ask(0, sector, length=SECTOR)

    def write(self, sector, data, forced=False):
        return self.ask(1, sector, data, flags=1 if forced else 0)

    def flush(self):
        return self.ask(3)

    def die(self):
        self._stream.close()
        self._socket.close()


@pytest.fixture(name="image")
def image_file(tmp_path):
    path = tmp_path / "image"
    path.write_bytes(OLD * 64)
    return str(path)


@pytest.fixture(name="disk")
def forgetful_disk(image):
    disk = Disk(image, image + ".sock")
    yield disk
    disk.close()


def cut(disk, guest, how, seed=1):
    disk.power_off()
    guest.die()
    disk.cut(random.Random(seed), how)
    return Guest(disk)


def test_what_was_not_flushed_is_lost(disk):
    guest = Guest(disk)
    guest.write(0, NEW)
    guest.flush()
    guest.write(1, NEW)
    assert guest.read(1) == NEW
    guest = cut(disk, guest, "all")
    assert [guest.read(0), guest.read(1)] == [NEW, OLD]
    guest.die()


def test_a_forced_write_is_kept_and_an_older_one_does_not_come_over_it(disk):
    guest = Guest(disk)
    guest.write(5, NEW)
    guest.write(5, NEWER, forced=True)
    guest = cut(disk, guest, "none")
    assert guest.read(5) == NEWER
    guest.die()


def test_sectors_are_lost_one_by_one_but_never_torn(disk):
    torn = False
    for seed in range(20):
        guest = Guest(disk)
        guest.write(0, OLD * 8)
        guest.flush()
        guest.write(0, NEW * 8)
        guest = cut(disk, guest, "sectors", seed)
        found = {guest.read(sector) for sector in range(8)}
        assert found <= {OLD, NEW}
        torn |= len(found) == 2
        guest.die()
    assert torn


def test_nothing_is_answered_after_the_power_went_off(disk, image):
    disk.power_off_after(2)
    guest = Guest(disk)
    guest.write(0, NEW)
    guest.write(1, NEW)
    assert disk.off.is_set()
    with contextlib.suppress(BrokenPipeError):
        assert guest.flush() in (None, b"")
    guest = cut(disk, guest, "all")
    with open(image, "rb") as file:
        assert file.read() == OLD * 64
    assert guest.write(2, NEW) == b""
    guest.die()


def test_a_disk_that_lies_forgets_what_was_flushed(image):
    disk = Disk(image, image + ".sock", lies=True)
    guest = Guest(disk)
    guest.write(0, NEW, forced=True)
    guest.flush()
    guest = cut(disk, guest, "all")
    assert guest.read(0) == OLD
    guest.die()
    disk.close()


@pytest.fixture(name="judge")
def mirror_judge(monkeypatch, tmp_path):
    monkeypatch.setattr(mirror_target.disks, "make_image", lambda *_: None)
    judge = MirrorTarget(str(tmp_path), "", "ext4", 1)
    judge.parameters(None)
    for line in ("up", "scan", "no-manifest", "scanned", "begin 1 resync", "done 1 0 ", "begin 2 run"):
        judge.line(line)
    assert not judge.findings
    return judge


def scan(judge, files, manifest, more=()):
    judge.parameters(None)
    for line in ["up", "scan",
                 *(f"file {mtime(entry)} {path} source {entry[0]} {entry[1]}" for path, entry in files.items()),
                 *more, *(f"agreed {mtime(entry)} {path} {size(entry)}" for path, entry in manifest.items()), "scanned"]:
        judge.line(line)
    return judge.findings


def test_the_last_reported_run_and_the_one_that_had_begun_are_both_right(judge):
    assert source_tree(1) != source_tree(2)
    assert not scan(judge, source_tree(1), source_tree(1))
    assert not scan(judge, source_tree(2), source_tree(1))
    assert not scan(judge, source_tree(2), source_tree(2))


def test_a_file_that_was_reported_and_is_gone_is_found(judge):
    files = source_tree(1)
    files.pop("e1/g")
    assert len(scan(judge, files, source_tree(1))) == 1


def test_files_that_are_older_than_their_manifest_are_found(judge):
    assert scan(judge, source_tree(1), source_tree(2))


def test_torn_files_and_files_under_a_wrong_time_are_found(judge):
    files = source_tree(1)
    first, second = sorted(files)[:2]
    odd = [f"file {mtime(files.pop(first))} {first} torn somewhere",
           f"file 17 {second} source {' '.join(map(str, files.pop(second)))}"]
    assert len(scan(judge, files, source_tree(1), odd)) == 2


def test_what_the_service_wrote_must_be_somewhere(judge):
    judge.line("done 2 0 ")
    for line in ("epoch 9", "local 7 d0/f0", "local-end 8", "begin 3 resync"):
        judge.line(line)
    files = source_tree(3)
    assert len(scan(judge, files, source_tree(3))) == 1
    judge.findings.clear()
    here = {path: entry for path, entry in source_tree(2).items() if path != "d0/f0"}
    assert not scan(judge, here, source_tree(2), ["file 1 d0/f0 local 7"])
    kept = ["set S-e9-data open 0", "kept S-e9-data 1 d0/f0 local 7"]
    assert not scan(judge, files, source_tree(3), kept)
    # As soon as the resync was reported: in a complete set, and in its report.
    judge.line("done 3 1 S-e9-data")
    assert len(scan(judge, files, source_tree(3), kept)) == 2
    judge.findings.clear()
    complete = ["set S-e9-data complete 1", kept[1], "lost S-e9-data changed d0/f0"]
    assert not scan(judge, files, source_tree(3), complete)
    # A complete set does not change.
    assert scan(judge, files, source_tree(3), [complete[0], complete[2]])
