"""Modes, owners, times, extended attributes and ACLs, changed alone or together."""
from . import case, cases

YEAR = 365 * 86400 * 10 ** 9


@case(quick=True)
def chmod_alone(tree):
    tree.write("file")
    tree.mkdir("folder")
    yield
    tree.chmod("file", 0o400)
    tree.chmod("folder", 0o750)
    yield
    tree.chmod("file", 0)
    tree.chmod("folder", 0o1777)


@case(quick=True)
def chown_alone(tree):
    for name in ("file", "both"):
        tree.write(name)
    tree.mkdir("folder")
    yield
    tree.chown("file", 1234)
    tree.chown("folder", -1, 4321)
    tree.chown("both", 4_000_000_000, 4_000_000_001)


@case(quick=True)
def setuid(tree):
    """chown clears the bits; who sets the mode first loses them."""
    tree.write("file")
    tree.mkdir("folder")
    yield
    tree.chown("file", 12, 34)
    tree.chmod("file", 0o6755)
    tree.chmod("folder", 0o3775)
    yield
    tree.chown("file", 0, 0)
    tree.chmod("file", 0o4711)
    yield
    tree.patch("file", 0, b"written")
    tree.chmod("file", 0o4711)


@case(quick=True)
def xattr_alone(tree):
    tree.write("file")
    tree.mkdir("folder")
    tree.symlink("file", "symlink")
    yield
    for name in ("file", "folder"):
        tree.xattr(name, "user.one", b"1")
        tree.xattr(name, "trusted.two", b"\x00\xff binary")
        tree.xattr(name, "user.empty", b"")
    tree.xattr("symlink", "trusted.three", b"3")
    yield
    tree.xattr("file", "user.one", b"2")
    tree.xattr("folder", "user.one", None)
    tree.xattr("symlink", "trusted.three", None)


@case()
def many_and_large_xattrs(tree):
    tree.write("file")
    yield
    for number in range(20):
        tree.xattr("file", f"user.{number}", b"v" * 100)
    yield
    for number in range(20):
        tree.xattr("file", f"user.{number}", None)
    tree.xattr("file", "user.large", b"v" * 3000)


@case(quick=True)
def capability_alone(tree):
    tree.write("program")
    yield
    tree.chmod("program", 0o755)
    tree.xattr("program", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
    yield
    tree.append("program", b"writing takes the capability away")


@case()
def capability_and_owner(tree):
    """chown takes capabilities away: they have to be set last."""
    tree.write("program")
    yield
    tree.chown("program", 12, 34)
    tree.xattr("program", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))


@case(quick=True)
def acl_alone(tree):
    tree.write("file")
    tree.mkdir("folder")
    yield
    tree.acl("file", "-m", "u:1234:rw,g:99:r")
    tree.acl("folder", "-m", "u:1234:rwx", "-d", "-m", "u:1234:rx,g:5:r")
    yield
    tree.write("folder/inherits")
    tree.mkdir("folder/below")
    yield
    tree.acl("file", "-b")
    tree.acl("folder", "-k")


@case()
def acl_mask_and_mode(tree):
    """With an ACL the group bits of the mode are the mask: who sets them in the wrong order changes the other."""
    tree.write("file")
    yield
    tree.acl("file", "-m", "u:1234:rwx,g::r,m::r")
    tree.chmod("file", 0o470)
    yield
    tree.chmod("file", 0o407)


@case()
def attributes_beside_contents(tree):
    tree.write("file")
    yield
    tree.write("file", b"new contents")
    tree.xattr("file", "user.one", b"1")
    tree.chown("file", 5, 6)
    tree.chmod("file", 0o2640)
    tree.acl("file", "-m", "u:7:r")
    tree.mtime("file", 999_999_999_999_999_999)


TIMES = {"1901": -2_147_483_648 * 10 ** 9, "1969 with nanoseconds": -1, "1970": 0, "one nanosecond": 1,
         "2038": 2_147_483_648 * 10 ** 9 + 123, "2106": 4_294_967_297 * 10 ** 9 + 999_999_999,
         "2400": 430 * YEAR + 1}


BEYOND = "2400"


@cases([name for name in TIMES if name != BEYOND], "time")
def _times(tree, value):
    tree.write("there")
    yield
    for entry in ("file", "there"):
        tree.write(entry)
        tree.mtime(entry, TIMES[value])
    tree.mkdir("folder")
    tree.mtime("folder", TIMES[value])
    tree.symlink("file", "symlink")
    tree.mtime("symlink", TIMES[value])


@case(limit="nanoseconds in 64 bits end in 2262")
def time_after_2262(tree):
    yield from _times(tree, BEYOND)


@case()
def mtime_of_a_folder_that_changes_inside(tree):
    tree.plant("folder")
    tree.mtime("folder", 1_000_000_000)
    tree.mtime("folder/folder0", 1_000_000_001)
    yield
    tree.write("folder/folder0/more")
    tree.mtime("folder/folder0", 1_000_000_001)
    tree.unlink("folder/folder1/file0")
    tree.mtime("folder/folder1", 2_000_000_002)
    tree.mtime("folder", 1_000_000_000)


@case()
def unreadable_by_mode(tree):
    tree.write("file", b"secret")
    tree.mkdir("folder")
    tree.write("folder/inside")
    yield
    tree.chmod("file", 0)
    tree.chmod("folder", 0)
    yield
    tree.write("folder/more")
    tree.append("file", b"more")


@case(only=("ext4", "xfs", "btrfs"), seen_live=False)
def immutable_and_append_only(tree):
    tree.write("file")
    tree.mkdir("folder")
    tree.write("folder/inside")
    yield
    tree.write("file", b"changed")
    tree.write("new", b"new")
    tree.write("log", b"append only")
    for name, flag in (("file", 0x10), ("new", 0x10), ("log", 0x20), ("folder", 0x10)):
        tree.flags(name, flag)
    yield
    tree.append("log", b", appended")
    tree.flags("folder", 0)
    tree.write("folder/more")
    tree.flags("file", 0)
    tree.write("file", b"changed again")
    yield
    for name in ("new", "log"):
        tree.flags(name, 0)
    tree.unlink("new")
    tree.rename("log", "moved")
