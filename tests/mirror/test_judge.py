"""The judges find each kind of difference, and nothing where there is none: a judge that cannot say no proves
nothing."""
import os
import socket
import stat
import subprocess

import judge
import pytest
import walk
from tree import Tree


def plant(root):
    """A tree with one of everything."""
    os.makedirs(f"{root}/folder/below")
    os.makedirs(f"{root}/empty")
    for name, size in (("file", 5000), ("folder/inside", 10), ("folder/below/deep", 0), ("one", 100)):
        with open(f"{root}/{name}", "wb") as file:
            file.write(bytes(range(256)) * (size // 256) + b"x" * (size % 256))
    os.link(f"{root}/one", f"{root}/two")
    os.symlink("file", f"{root}/symlink")
    os.mkfifo(f"{root}/fifo")
    os.mknod(f"{root}/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as one:
        here = os.getcwd()
        os.chdir(root)
        one.bind("socket")
        os.chdir(here)
    with open(f"{root}/sparse", "wb") as file:
        file.write(b"begin")
        file.seek(1 << 20)
        file.write(b"end")
    os.setxattr(f"{root}/file", "user.colour", b"blue")
    os.setxattr(f"{root}/symlink", "trusted.colour", b"red", follow_symlinks=False)
    subprocess.run(["setfacl", "-m", "u:1234:r", f"{root}/file"], check=True)
    with open(os.fsencode(root) + b"/\xff\nname", "wb"):
        pass


@pytest.fixture(name="pair")
def _pair(tmp_path):
    source, target = str(tmp_path / "source"), str(tmp_path / "target")
    plant(source)
    subprocess.run(["cp", "-a", "--sparse=always", source, target], check=True)
    os.sync()
    return source, target


def test_a_copy_is_equal(pair):
    assert judge.differences(*pair) == []


def keep_times(path, change):
    """`change` with the times of the file and of its folder put back, so that nothing but the change shows."""
    places = [path, os.path.dirname(path)]
    times = [os.lstat(place if os.path.lexists(place) else places[1]) for place in places]
    change()
    for place, time in zip(places, times):
        if os.path.lexists(place):
            os.utime(place, ns=(time.st_atime_ns, time.st_mtime_ns), follow_symlinks=False)


def other_type(make):
    def change(path):
        os.rename(path, path + ".away")
        make(path)
        os.chmod(path, 0o644)
        os.unlink(path + ".away")
    return change


def overwrite(path):
    with open(path, "r+b") as file:
        file.seek(4000)
        file.write(b"!")


def fill_hole(path):
    with open(path, "r+b") as file:
        file.seek(122 * 4096)
        file.write(bytes(65536))
    os.sync()


def break_link(path):
    with open(path, "rb") as file:
        contents = file.read()
    os.unlink(path)
    with open(path, "wb") as file:
        file.write(contents)


def symlink_again(path):
    os.unlink(path)
    os.symlink("other", path)
    os.setxattr(path, "trusted.colour", b"red", follow_symlinks=False)


def device_again(path):
    os.unlink(path)
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    os.chmod(path, 0o666)


# name of the test: (path, change, what the walk says, whether rsync sees it too)
CHANGES = {
    "missing file": ("file", os.unlink, "missing", True),
    "missing folder": ("empty", os.rmdir, "missing", True),
    "too much": ("more", lambda path: open(path, "wb").close(), "too much", True),
    "type": ("fifo", other_type(lambda path: open(path, "wb").close()), "type: fifo, not file", True),
    "socket": ("socket", other_type(os.mkfifo), "type: socket, not fifo", True),
    "mode": ("file", lambda path: os.chmod(path, 0o600), "mode", True),
    "mode, setuid": ("folder/inside", lambda path: os.chmod(path, 0o4644), "mode", True),
    "mode of a folder": ("folder", lambda path: os.chmod(path, 0o700), "mode", True),
    "owner": ("file", lambda path: os.chown(path, 7, -1), "owner", True),
    "group of a symlink": ("symlink", lambda path: os.lchown(path, -1, 7), "owner", True),
    "size": ("file", lambda path: os.truncate(path, 4999), "size", True),
    "contents alone": ("file", overwrite, "contents differ", True),
    "symlink": ("symlink", symlink_again, "symlink to file, not other", True),
    "device": ("null", device_again, "device", True),
    "attribute changed": ("file", lambda path: os.setxattr(path, "user.colour", b"grey"), "attributes", True),
    "attribute gone": ("file", lambda path: os.removexattr(path, "user.colour"), "attributes", True),
    "ACL": ("file", lambda path: Tree("/").acl(path, "-m", "u:1234:w"), "attributes", True),
    "default ACL": ("folder", lambda path: Tree("/").acl(path, "-d", "-m", "u:1:r"), "attributes", True),
    "link broken": ("two", break_link, "links", False),
    "hole filled": ("sparse", fill_hole, "holes: 65536", False),
}


@pytest.mark.parametrize("name", CHANGES)
def test_finds(pair, name):
    path, change, told, rsync_too = CHANGES[name]
    place = os.path.join(pair[1], path)
    keep_times(place, lambda: change(place))
    found = walk.differences(walk.walk(pair[0]), walk.walk(pair[1]))
    assert [line for line in found if line.startswith(path) and told in line], found
    assert not [line for line in found if not line.startswith((path, "one:" if path == "two" else path))], found
    if rsync_too:
        assert judge.rsync_differences(*pair)


def test_finds_a_nanosecond(pair):
    place = os.path.join(pair[1], "file")
    status = os.lstat(place)
    os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns ^ 1))
    assert [line for line in judge.own_differences(*pair) if line.startswith("file: mtime")]


def test_finds_an_attribute_of_a_symlink(pair):
    os.setxattr(os.path.join(pair[1], "symlink"), "trusted.colour", b"grey", follow_symlinks=False)
    assert [line for line in judge.own_differences(*pair) if line.startswith("symlink: attributes")]


def test_finds_two_files_that_should_be_one_and_one_that_should_be_two(pair):
    os.unlink(os.path.join(pair[1], "folder/inside"))
    os.link(os.path.join(pair[1], "file"), os.path.join(pair[1], "folder/inside"))
    told = "\n".join(judge.own_differences(*pair, ignore=("contents", "size", "mode", "attributes")))
    assert "folder/inside: links: alone, not one file of ['file', 'folder/inside']" in told


def test_finds_flags(pair):
    for name in ("file", "empty"):
        place = os.path.join(pair[1], name)
        if subprocess.run(["chattr", "+i", place], check=False, stderr=subprocess.DEVNULL).returncode != 0:
            pytest.skip("this file system has no such flag")
        try:
            found = judge.own_differences(*pair)
        finally:
            subprocess.run(["chattr", "-i", place], check=True)
        assert found == [f"{name}: flags: (), not ('immutable',)"]


def test_the_root_itself_is_judged(pair):
    os.chmod(pair[1], 0o700)
    assert [line for line in judge.own_differences(*pair) if line.startswith(": mode")]


def test_a_hole_that_the_source_does_not_have_is_no_finding():
    assert walk.filled_holes([(0, 1 << 20)], [(0, 4096)], 1 << 20) == 0


def test_borders_of_holes_may_lie_a_block_apart():
    mega = 1 << 20
    assert walk.filled_holes([(0, 5000), (mega, 2 * mega)], [(0, 8192), (mega - 4096, 2 * mega)], 2 * mega) == 0
    assert walk.filled_holes([], [(0, 4096)], 1 << 20) == 4096
    assert walk.filled_holes([(4096, 8192)], [(4096, 1 << 20)], 1 << 20) == (1 << 20) - 3 * 4096


def test_paths_beyond_the_kernels_limit_are_walked(tmp_path):
    name = "d" * 200
    roots = []
    for side, contents in (("source", b"here"), ("target", b"else")):
        root = str(tmp_path / side)
        os.mkdir(root)
        roots.append(root)
        folder = os.open(root, os.O_RDONLY)
        for _ in range(30):
            os.mkdir(name, dir_fd=folder)
            inner = os.open(name, os.O_RDONLY, dir_fd=folder)
            os.close(folder)
            folder = inner
        descriptor = os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=folder)
        os.write(descriptor, contents)
        os.close(descriptor)
        os.close(folder)
    found = judge.own_differences(*roots, ignore=("mtime",))
    assert len(found) == 1 and "contents differ" in found[0]


def test_excluded_names_are_not_judged(pair):
    os.chmod(os.path.join(pair[1], "folder"), 0o700)
    assert judge.differences(*pair, exclude=("folder",)) == []


def test_rsync_that_cannot_read_is_a_finding(pair):
    assert judge.rsync_differences(pair[0] + "-absent", pair[1])
