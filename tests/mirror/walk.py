"""A walk that believes nobody: what a tree is, entry by entry, read with plain system calls.

Every name is reached through the descriptor of its directory, so that paths may be longer than the kernel's
limit. What is compared: type, mode, owner, size, mtime in nanoseconds, device numbers, symlink targets, extended
attributes (POSIX ACLs and capabilities are attributes to the kernel), which names are links of one file, where
the file has holes, its contents, and whether it is immutable or append-only. Not compared: atime, ctime, inode numbers, sizes of folders.
"""
import errno
import fcntl
import hashlib
import os
import stat
import struct

BLOCK = 4096
PIECE = 1 << 16
FS_IOC_GETFLAGS = 0x80086601
FLAGS = {0x10: "immutable", 0x20: "append-only"}
TYPES = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "symlink", stat.S_IFIFO: "fifo",
         stat.S_IFSOCK: "socket", stat.S_IFCHR: "character device", stat.S_IFBLK: "block device"}


class Entry:
    """One name. `inode` tells links of one file from each other's copies, within one tree."""

    def __init__(self, status):
        self.type = TYPES[stat.S_IFMT(status.st_mode)]
        self.mode = stat.S_IMODE(status.st_mode)
        self.owner = (status.st_uid, status.st_gid)
        self.mtime = status.st_mtime_ns
        self.size = status.st_size if self.type == "file" else 0
        self.device = status.st_rdev if "device" in self.type else 0
        self.inode = (status.st_dev, status.st_ino)
        self.links = status.st_nlink
        self.blocks = status.st_blocks
        self.target = None
        self.attributes = {}
        self.contents = None
        self.data = []
        self.flags = ()


def attributes_of(path):
    """{name: value}; empty where the file system or the type has none."""
    found = {}
    try:
        for name in os.listxattr(path, follow_symlinks=False):
            found[name] = os.getxattr(path, name, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.ENOTSUP, errno.EPERM):
            raise
    return found


def flags_of(descriptor):
    """("immutable", …); empty where the file system has no such flags."""
    value = bytearray(8)
    try:
        fcntl.ioctl(descriptor, FS_IOC_GETFLAGS, value)
    except OSError:
        return ()
    flags = struct.unpack("l", value)[0]
    return tuple(name for flag, name in FLAGS.items() if flags & flag)


def data_ranges(descriptor, size):
    """[(first, end), …] of the ranges that hold data, by SEEK_DATA and SEEK_HOLE."""
    ranges, place = [], 0
    while place < size:
        try:
            first = os.lseek(descriptor, place, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break
            raise
        place = min(os.lseek(descriptor, first, os.SEEK_HOLE), size)
        ranges.append((first, place))
    return ranges


def contents_of(descriptor, ranges):
    """A digest of the bytes that are not zero and of where they are: the same whether zeros are written or a
    hole, and without reading holes."""
    digest, following = hashlib.blake2b(digest_size=16), 0
    for first, last in ranges:
        for number in range(max(first // PIECE, following), (last + PIECE - 1) // PIECE):
            piece = os.pread(descriptor, PIECE, number * PIECE).rstrip(b"\0")
            if piece:
                digest.update(b"%d:%d:" % (number, len(piece)))
                digest.update(piece)
            following = number + 1
    return digest.hexdigest()


def read_entry(folder, name, contents=True):
    entry = Entry(os.lstat(name, dir_fd=folder))
    path = b"/proc/self/fd/%d/%s" % (folder, name)
    entry.attributes = attributes_of(path)
    if entry.type == "symlink":
        entry.target = os.readlink(name, dir_fd=folder)
    if entry.type == "file" and contents:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NOATIME, dir_fd=folder)
        try:
            entry.flags = flags_of(descriptor)
            entry.data = data_ranges(descriptor, entry.size)
            entry.contents = contents_of(descriptor, entry.data)
        finally:
            os.close(descriptor)
    elif entry.type == "folder":
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY, dir_fd=folder)
        try:
            entry.flags = flags_of(descriptor)
        finally:
            os.close(descriptor)
    return entry


def walk(root, contents=True, exclude=()):
    """{path below root: Entry}; the root itself is b"". Goes as deep as the tree is, without recursion and with
    one descriptor at a time: each folder is opened from its parent, and the way back is `..`."""
    exclude = {os.fsencode(one) for one in exclude}
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = {b"": read_entry(folder, b".", contents)}
        names = iter(sorted(os.fsencode(name) for name in os.listdir(folder)))
        above, path = [], b""
        while True:
            name = next(names, None)
            if name is None:
                if not above:
                    return found
                path, names = above.pop()
                folder = _step(folder, b"..")
                continue
            inside = path + b"/" + name if path else name
            if inside in exclude:
                continue
            entry = found[inside] = read_entry(folder, name, contents)
            if entry.type == "folder":
                above.append((path, names))
                path, folder = inside, _step(folder, name)
                names = iter(sorted(os.fsencode(one) for one in os.listdir(folder)))
    finally:
        os.close(folder)


def _step(folder, name):
    """Into `name`, with the descriptor that is given up closed."""
    following = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
    os.close(folder)
    return following


def link_groups(tree):
    """{path: all names of the same file}, for files that have several names within the tree."""
    names = {}
    for path, entry in tree.items():
        if entry.type != "folder" and entry.links > 1:
            names.setdefault(entry.inode, []).append(path)
    return {path: tuple(sorted(group)) for group in names.values() if len(group) > 1 for path in group}


def filled_holes(source, target, size, grain=BLOCK):
    """Bytes in which the target has data although the source has a hole there. Borders may lie up to `grain` bytes
    apart, since a file system maps whole blocks."""
    filled, end = 0, 0
    for first, last in source + [(size, size)]:
        low, high = end + grain if end else 0, first - grain if first < size else size
        for begin, stop in target:
            filled += max(0, min(stop, high) - max(begin, low))
        end = last
    return filled


def differences(source, target, ignore=(), grain=BLOCK):
    """What is wrong with `target`, a line per finding; both are results of walk(). `grain`: of its holes."""
    lines = []
    groups, other_groups = link_groups(source), link_groups(target)
    for path in sorted(source.keys() | target.keys()):
        name = printable(path)
        if path not in target:
            lines.append(f"{name}: missing")
        elif path not in source:
            lines.append(f"{name}: too much")
        else:
            one, other = source[path], target[path]
            lines.extend(f"{name}: {line}" for kind, line in _entry_differences(one, other, grain) if kind not in ignore)
            if "links" not in ignore and groups.get(path) != other_groups.get(path):
                lines.append(f"{name}: links: {_names(groups.get(path))}, not {_names(other_groups.get(path))}")
    return lines


def _entry_differences(one, other, grain):
    if one.type != other.type:
        yield "type", f"type: {one.type}, not {other.type}"
        return
    if one.mode != other.mode:
        yield "mode", f"mode: {one.mode:o}, not {other.mode:o}"
    if one.owner != other.owner:
        yield "owner", f"owner: {one.owner}, not {other.owner}"
    if one.mtime != other.mtime:
        yield "mtime", f"mtime: {one.mtime}, not {other.mtime}"
    if one.size != other.size:
        yield "size", f"size: {one.size}, not {other.size}"
    if one.device != other.device:
        yield "device", f"device: {one.device}, not {other.device}"
    if one.target != other.target:
        yield "symlink", f"symlink to {printable(one.target)}, not {printable(other.target)}"
    if one.attributes != other.attributes:
        yield "attributes", f"attributes: {_values(one.attributes)}, not {_values(other.attributes)}"
    if one.flags != other.flags:
        yield "flags", f"flags: {one.flags}, not {other.flags}"
    if one.contents != other.contents:
        yield "contents", f"contents differ ({one.size} bytes)"
    # What is allocated and never written reads as a hole until somebody has read it: only space counts.
    filled = filled_holes(one.data, other.data, one.size, grain) if one.size == other.size else 0
    if filled and other.blocks > one.blocks:
        yield "holes", f"holes: {filled} bytes are filled; {_ranges(one.data)}, not {_ranges(other.data)}"


def _values(attributes):
    return {name: printable(value[:64]) for name, value in sorted(attributes.items())}


def _ranges(ranges):
    return f"{ranges[:8]}{' …' if len(ranges) > 8 else ''}"


def _names(group):
    return "alone" if group is None else f"one file of {[printable(name) for name in group][:6]}"


def printable(path):
    text = path if isinstance(path, str) else os.fsdecode(path)
    text = "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
    return text if len(text) <= 120 else f"{text[:80]}…({len(path)} bytes)"
