"""Contents of files: written, rewritten, appended, cut, mapped."""
import mmap
import os

from tree import noise

from . import case


@case(quick=True)
def create(tree):
    tree.write("there")
    yield
    tree.write("small", b"x")
    tree.write("empty", b"")
    tree.write("large", noise(3_000_000))


@case(quick=True)
def rewrite(tree):
    tree.write("file", b"first version")
    yield
    tree.write("file", b"the second version is longer")
    yield
    tree.write("file", b"shorter")


@case(quick=True)
def atomic_replace(tree):
    tree.write("file", b"one")
    yield
    tree.replace("file", b"two")
    yield
    for number in range(50):
        tree.replace("file", b"%d" % number)


@case(quick=True)
def same_size_rewrite_within_a_second(tree):
    tree.write("file", b"AAAA")
    tree.write("other", b"AAAA")
    yield
    tree.write("file", b"BBBB")
    tree.patch("other", 1, b"B")
    yield
    tree.patch("other", 1, b"C")


@case(quick=True)
def same_size_rewrite_with_old_mtime_put_back(tree):
    tree.write("file", b"AAAA")
    before = tree.mtime("file")
    yield
    tree.write("file", b"BBBB")
    tree.mtime("file", before)


@case()
def atomic_replace_with_same_size_and_mtime(tree):
    """As `install -p` of a rebuilt file, or a restored backup: only the inode tells."""
    tree.write("file", b"AAAA")
    before = tree.mtime("file")
    yield
    tree.write("new", b"BBBB")
    tree.mtime("new", before)
    tree.rename("new", "file")


@case()
def mtime_alone(tree):
    tree.write("file")
    tree.mkdir("folder")
    yield
    tree.mtime("file", 1_000_000_000_123_456_789)
    tree.mtime("folder", 1_100_000_000_000_000_001)


@case(quick=True)
def append(tree):
    tree.write("log", noise(5000))
    tree.write("long", noise(2_000_000))
    yield
    for number in range(20):
        tree.append("log", b"line %d\n" % number)
    tree.append("long", b"the end")


@case(quick=True)
def append_while_open(tree):
    """A log: opened once, never closed, and read by nobody else."""
    with open(tree("log"), "ab", buffering=0) as log:
        log.write(b"begin\n")
        yield
        for number in range(200):
            log.write(b"line %d\n" % number)
        yield
        log.write(b"end\n")
        yield


@case(quick=True)
def truncate_both_ways(tree):
    tree.write("shorter", noise(100_000))
    tree.write("longer", noise(1000))
    tree.write("empty", noise(1000))
    yield
    tree.truncate("shorter", 50_001)
    tree.truncate("longer", 1_000_003)
    tree.truncate("empty", 0)
    yield
    tree.truncate("shorter", 100_000)
    tree.truncate("longer", 3)


@case()
def truncate_and_write_again(tree):
    """What was cut off must not shine through after growth."""
    tree.write("file", noise(300_000))
    yield
    tree.truncate("file", 10)
    tree.truncate("file", 300_000)
    tree.patch("file", 200_000, b"island")


@case(quick=True)
def patch_in_a_large_file(tree):
    tree.write("database", noise(8_000_000))
    yield
    tree.patch("database", 4_000_000, b"4 KiB that change" * 240)
    yield
    tree.patch("database", 0, b"first")
    tree.patch("database", 7_999_990, b"last")


@case()
def insert_at_the_front_of_a_large_file(tree):
    tree.write("file", noise(3_000_000, 5))
    yield
    tree.replace("file", b"inserted" + noise(3_000_000, 5))
    yield
    tree.replace("file", noise(3_000_000, 5)[100_000:])


@case(seen_live=False)
def mapped_stores(tree):
    """Stores through mmap give no event before the file is closed."""
    tree.write("file", bytes(100_000))
    yield
    with open(tree("file"), "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        memory[5000:5005] = b"store"
        memory.flush()
        yield
        memory[90_000:90_005] = b"again"
        memory.flush()


@case()
def mapped_stores_of_a_process_that_closed_the_file(tree):
    tree.write("file", bytes(100_000))
    yield
    descriptor = os.open(tree("file"), os.O_RDWR)
    memory = mmap.mmap(descriptor, 0)
    os.close(descriptor)
    memory[70_000:70_005] = b"store"
    memory.flush()
    memory.close()
