"""Hard links and symbolic links."""
import os

from tree import noise

from . import case, cases


@case(quick=True)
def hard_links_made(tree):
    tree.write("one", noise(100_000))
    yield
    tree.link("one", "two")
    tree.mkdir("folder")
    tree.link("one", "folder/three")
    yield
    tree.patch("two", 5, b"seen by all names")


@case(quick=True)
def hard_links_broken(tree):
    tree.write("one")
    tree.link("one", "two")
    tree.link("one", "three")
    yield
    tree.replace("two", b"alone now")
    yield
    tree.unlink("one")


@case(quick=True)
def hard_links_from_the_start(tree):
    tree.mkdir("a/b")
    tree.write("a/one", noise(10_000))
    tree.link("a/one", "two")
    tree.link("a/one", "a/b/three")
    yield
    tree.append("a/b/three", b"more")
    yield
    tree.chmod("two", 0o600)
    yield
    tree.unlink("a/one")
    yield
    tree.append("two", b"more again")


@case()
def hard_link_broken_into_equal_copies(tree):
    tree.write("one", b"AAAA")
    tree.mtime("one", 1_000_000_000)
    tree.link("one", "two")
    yield
    tree.write("copy", b"AAAA")
    tree.mtime("copy", 1_000_000_000)
    tree.rename("copy", "two")
    yield
    tree.unlink("two")
    tree.link("one", "two")


@case()
def hard_links_regrouped(tree):
    for name in ("a", "b"):
        tree.write(name, name.encode() * 100)
        tree.link(name, name + "2")
    yield
    tree.exchange("a2", "b2")
    yield
    tree.unlink("a2")
    tree.link("a", "c")
    tree.rename("c", "a2")


@case()
def hard_link_renamed_onto_itself(tree):
    """rename() of one name of a file to another name of it does nothing, and removes nothing."""
    tree.write("one")
    tree.link("one", "two")
    yield
    tree.rename("one", "two")
    assert tree.exists("one")


@case()
def hard_link_in_folder_that_moves(tree):
    tree.plant("folder")
    tree.link("folder/folder0/file0", "outside")
    tree.link("folder/folder0/file1", "folder/folder2/twin")
    yield
    tree.rename("folder", "moved")
    tree.append("outside", b"more")
    yield
    tree.rmtree("moved/folder0")


@case(outside=True)
def hard_link_with_a_name_outside_of_the_root(tree, outside):
    """A write through the other name gives no event below the root."""
    tree.write("inside", b"AAAA")
    os.link(tree("inside"), outside("outside"))
    yield
    tree.append("inside", b"BBBB")
    yield
    os.unlink(outside("outside"))


@case(outside=True, seen_live=False)
def write_through_a_name_outside_of_the_root(tree, outside):
    tree.write("inside", b"AAAA")
    os.link(tree("inside"), outside("outside"))
    yield
    outside.append("outside", b"BBBB")


@case()
def hard_links_of_other_types(tree):
    tree.symlink("target", "symlink")
    tree.fifo("fifo")
    tree.device("device")
    yield
    for name in ("symlink", "fifo", "device"):
        tree.link(name, name + ".2")
    yield
    tree.unlink("symlink")
    tree.chmod("fifo.2", 0o640)


@case()
def a_hundred_hard_links(tree):
    tree.write("0", noise(2000))
    yield
    for number in range(1, 100):
        tree.link("0", f"{number}")
    yield
    tree.append("50", b"more")
    yield
    for number in range(0, 100, 2):
        tree.unlink(f"{number}")


SYMLINKS = {
    "relative": b"file", "dangling": b"nowhere", "absolute": b"/etc/passwd", "up": b"../../..",
    "to itself": b"symlink", "to a folder": b"folder", "long": b"x/" * 2000 + b"end", "odd bytes": b"\xff\n \\", "4095 bytes": b"t" * 4095,
    "60 bytes": b"s" * 60, "59 bytes": b"s" * 59,
}


@cases(SYMLINKS, "symlink", only=("ext4", "btrfs", "tmpfs", "xfs"))
def _symlinks(tree, value):
    target = SYMLINKS[value]
    if len(target) > 1023 and os.pathconf(tree(), "PC_NAME_MAX") and not _takes(tree, target):
        target = target[:1023]
    tree.write("file")
    tree.mkdir("folder")
    yield
    tree.symlink(target, "symlink")
    yield
    tree.chown("symlink", 12, 34)
    tree.mtime("symlink", 1_234_567_890_123_456_789)
    yield
    tree.unlink("symlink")
    tree.symlink(b"another", "symlink")
    yield
    tree.unlink("symlink")
    tree.write("symlink", b"a file")


def _takes(tree, target):
    """xfs takes 1024 bytes, ext4 and btrfs about a block."""
    try:
        tree.symlink(target, "trial")
        tree.unlink("trial")
        return True
    except OSError:
        return False


@case()
def symlink_replaced_with_the_same_length(tree):
    tree.symlink("AAAA", "symlink")
    tree.mtime("symlink", 1_000_000_000)
    yield
    tree.unlink("symlink")
    tree.symlink("BBBB", "symlink")
    tree.mtime("symlink", 1_000_000_000)


@case(quick=True)
def folder_replaced_by_a_symlink_to_it(tree):
    tree.plant("folder")
    yield
    tree.rename("folder", "real")
    tree.symlink("real", "folder")
    tree.write("folder/folder0/file0", b"written through the symlink")
    yield
    tree.unlink("folder")
    tree.rename("real", "folder")
