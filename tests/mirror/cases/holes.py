"""Sparse files: holes made, filled and punched."""
import subprocess

from tree import (FALLOC_COLLAPSE_RANGE, FALLOC_INSERT_RANGE, FALLOC_KEEP_SIZE, 
                  FALLOC_PUNCH_HOLE, FALLOC_ZERO_RANGE, noise)

from . import case


@case(quick=True)
def sparse(tree):
    yield
    tree.write("all hole", b"")
    tree.truncate("all hole", 50_000_000)
    tree.write("islands", b"begin")
    tree.patch("islands", 10_000_000, b"middle")
    tree.patch("islands", 30_000_000, noise(100_000))
    tree.truncate("islands", 40_000_000)
    yield
    tree.patch("all hole", 20_000_000, b"an island")


@case(rsync=False)
def a_terabyte_of_hole(tree):
    yield
    tree.write("file", b"begin")
    tree.truncate("file", 1 << 40)


@case(quick=True)
def punched(tree):
    tree.write("file", noise(4_000_000))
    tree.write("whole", noise(200_000))
    yield
    tree.fallocate("file", FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, 1 << 20, 1 << 20)
    tree.fallocate("whole", FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, 0, 200_000)
    yield
    tree.patch("file", (1 << 20) + 65536, b"filled again in one place")


@case()
def preallocated(tree):
    yield
    tree.fallocate("space", 0, 0, 3_000_000)
    tree.write("kept size", b"short")
    tree.fallocate("kept size", FALLOC_KEEP_SIZE, 0, 2_000_000)
    yield
    tree.patch("space", 1_000_000, b"used")


@case(only=("ext4", "xfs", "btrfs"))
def zeroed_range(tree):
    tree.write("file", noise(1_000_000))
    yield
    tree.fallocate("file", FALLOC_ZERO_RANGE, 262144, 262144)


@case(only=("ext4", "xfs"))
def collapsed_and_inserted_ranges(tree):
    tree.write("collapsed", noise(1_000_000))
    tree.write("inserted", noise(1_000_000))
    yield
    tree.fallocate("collapsed", FALLOC_COLLAPSE_RANGE, 262144, 262144)
    tree.fallocate("inserted", FALLOC_INSERT_RANGE, 262144, 262144)


@case()
def zeros_that_are_data(tree):
    yield
    tree.write("zeros", bytes(2_000_000))
    yield
    tree.patch("zeros", 1_000_000, b"x")


@case(only=("xfs", "btrfs"))
def reflinked(tree):
    tree.write("one", noise(2_000_000))
    yield
    subprocess.run([b"cp", b"--reflink=always", tree("one"), tree("two")], check=True)
    tree.patch("two", 100, b"apart")
