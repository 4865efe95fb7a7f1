"""Every type, and every type replaced by every other."""
from tree import KINDS

from . import case, cases


@cases([kind for kind in KINDS if kind not in ("file", "full folder", "hard link")], "made")
def _made(tree, value):
    tree.write("kept")  # an empty root would not be mirrored (S10)
    yield
    tree.make(value, "entry")
    yield
    tree.rename("entry", "renamed")
    yield
    tree.remove("renamed")


@case(only=("ext4", "btrfs", "tmpfs"))
def device_with_large_numbers(tree):
    yield
    tree.device("large number", 4095, 262_143)


@case(quick=True)
def special_files(tree):
    tree.fifo("fifo from the start")
    yield
    tree.fifo("fifo")
    tree.socket("socket")
    tree.device("null")
    tree.device("block", 7, 255, block=True)
    yield
    tree.chmod("fifo", 0o620)
    tree.chown("null", 9, 9)
    tree.unlink("block")
    tree.device("block", 7, 254, block=True)
    yield
    tree.unlink("socket")


@cases([(one, other) for one in KINDS for other in KINDS if one != other], "replaced")
def _replaced(tree, value):
    tree.write("kept")  # an empty root would not be mirrored (S10)
    tree.make(value[0], "entry")
    yield
    tree.remove("entry")
    if tree.exists("entry.first"):
        tree.unlink("entry.first")
    tree.make(value[1], "entry")


@case(quick=True)
def every_type_replaced_by_the_next(tree):
    for place, kind in enumerate(KINDS):
        tree.make(kind, f"entry{place}")
    for step in (1, 4):
        yield
        for place in range(len(KINDS)):
            tree.remove(f"entry{place}")
            if tree.exists(f"entry{place}.first"):
                tree.unlink(f"entry{place}.first")
            tree.make(KINDS[(place + step) % len(KINDS)], f"entry{place}")
