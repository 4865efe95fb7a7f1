"""Names: made, removed, renamed, swapped, moved in and out, and what a name can be."""
import os

from tree import noise

from . import case, cases


@case(quick=True)
def unlink(tree):
    for number in range(5):
        tree.write(f"file{number}")
    yield
    for number in range(4):
        tree.unlink(f"file{number}")


@case(quick=True)
def remove_tree(tree):
    tree.plant("gone")
    tree.plant("stays")
    yield
    tree.rmtree("gone")
    tree.rmtree("stays/folder1")


@case()
def empty_the_root(tree):
    """All but one file: an empty root would be a disaster that is not mirrored (S10)."""
    tree.plant("one")
    tree.plant("two")
    tree.write("kept")
    yield
    tree.rmtree("one")
    tree.rmtree("two")


@case(quick=True)
def rename(tree):
    tree.write("old", noise(500_000))
    tree.mkdir("folder")
    yield
    tree.rename("old", "new")
    yield
    tree.rename("new", "folder/inside")
    yield
    tree.rename("folder/inside", "old")


@case()
def rename_over_another(tree):
    tree.write("one", b"one")
    tree.write("two", b"two")
    tree.mkdir("empty")
    tree.plant("full")
    yield
    tree.rename("one", "two")
    tree.rename("full", "empty")


@case(quick=True)
def rename_chain(tree):
    for number in range(6):
        tree.write(f"log.{number}", b"log %d" % number)
    yield
    for number in reversed(range(6)):
        tree.rename(f"log.{number}", f"log.{number + 1}")
    tree.write("log.0", b"log new")
    yield
    for number in reversed(range(7)):
        tree.rename(f"log.{number}", f"log.{number + 1}")


@case(quick=True)
def swap_files(tree):
    """Same size, same time: to size and mtime nothing has happened."""
    tree.write("one", b"AAAA")
    tree.write("two", b"BBBB")
    tree.mtime("one", 1_000_000_000)
    tree.mtime("two", 1_000_000_000)
    yield
    tree.rename("one", "middle")
    tree.rename("two", "one")
    tree.rename("middle", "two")
    yield
    tree.exchange("one", "two")


@case()
def rotate_three_files(tree):
    for name in "abc":
        tree.write(name, name.encode() * 10)
        tree.mtime(name, 1_000_000_000)
    yield
    tree.rename("a", "free")
    for old, new in (("b", "a"), ("c", "b"), ("free", "c")):
        tree.rename(old, new)


@case(quick=True)
def swap_folders(tree):
    tree.plant("one")
    tree.plant("two", folders=2, files=3, size=200)
    yield
    tree.exchange("one", "two")
    yield
    tree.rename("one", "middle")
    tree.rename("two", "one")
    tree.rename("middle", "two")


@case()
def swap_a_file_and_a_folder(tree):
    tree.write("one")
    tree.plant("two")
    yield
    tree.exchange("one", "two")


@case()
def swap_a_folder_with_one_inside_another(tree):
    tree.plant("one")
    tree.plant("two/below")
    yield
    tree.exchange("one", "two/below")


@case()
def parent_and_child_change_places(tree):
    tree.plant("parent/child")
    yield
    tree.rename("parent/child", "child")
    tree.rename("parent", "child/parent")


@case(quick=True)
def rename_folder(tree):
    tree.plant("old", folders=5, files=10)
    yield
    tree.rename("old", "new")


@case(quick=True)
def rename_folder_change_inside_and_use_its_name_again(tree):
    tree.plant("folder")
    yield
    tree.rename("folder", "moved")
    tree.write("moved/folder0/file0", b"changed inside")
    tree.unlink("moved/folder1/file1")
    tree.mkdir("folder")
    tree.write("folder/file", b"a new one under the old name")
    yield
    tree.rename("moved", "folder/back")
    tree.write("folder/back/folder2/more", b"more")


@case()
def change_a_file_and_rename_its_folder(tree):
    tree.plant("a/b/c")
    yield
    tree.write("a/b/c/folder0/file0", b"changed before")
    tree.rename("a", "z")
    tree.write("z/b/c/folder0/file1", b"changed after")
    tree.rename("z/b", "z/y")
    tree.write("z/y/c/folder1/file1", b"changed last")


@case(quick=True)
def folder_removed_and_made_again(tree):
    tree.plant("folder")
    yield
    for number in range(10):
        tree.rmtree("folder")
        tree.mkdir("folder/again")
        tree.write("folder/again/file%d" % number)


@case(quick=True)
def deep_write_and_a_rename_above(tree):
    tree.mkdir("there")
    yield
    for number in range(30):
        tree.mkdir(f"made{number}/a/b/c")
        tree.write(f"made{number}/a/b/c/file", noise(5000, number + 1))
        tree.rename(f"made{number}", f"there/moved{number}")


@case()
def rename_back_and_forth(tree):
    tree.plant("one")
    yield
    for _ in range(30):
        tree.rename("one", "two")
        tree.rename("two", "one")
    tree.write("one/folder0/file0", b"in between")
    tree.rename("one", "two")


@case(outside=True, quick=True)
def trees_moved_in_and_out(tree, outside):
    outside.plant("in")
    tree.plant("out")
    yield
    os.rename(outside("in"), tree("in"))
    os.rename(tree("out"), outside("out"))
    yield
    outside.write("out/folder0/file0", b"changed outside")
    os.rename(outside("out"), tree("out"))
    os.rename(tree("in/folder1"), outside("folder1"))


@case(outside=True)
def files_moved_in_and_out(tree, outside):
    outside.write("in", b"from outside")
    tree.write("out", b"to the outside")
    tree.write("in2", b"will be replaced")
    outside.write("in2", b"the replacement")
    yield
    os.rename(outside("in"), tree("in"))
    os.rename(tree("out"), outside("out"))
    os.rename(outside("in2"), tree("in2"))


@case(quick=True)
def fast_deep_mkdir_and_write(tree):
    """Folders are made faster than anybody could start to watch them."""
    yield
    for number in range(20):
        tree.mkdir(f"deep{number}/a/b/c/d/e/f")
        tree.write(f"deep{number}/a/b/c/d/e/f/file", b"at the bottom")
        tree.write(f"deep{number}/a/b/file", b"in the middle")


@case(quick=True)
def made_and_deleted_at_once(tree):
    tree.write("stays")
    yield
    for number in range(100):
        tree.write(f"short{number}")
        tree.unlink(f"short{number}")
        tree.mkdir(f"folder{number}/below")
        tree.rmtree(f"folder{number}")
    tree.write("stays", b"changed")


@case()
def deleted_and_made_again_with_another_type(tree):
    tree.write("one")
    tree.mkdir("two")
    yield
    for _ in range(20):
        tree.unlink("one")
        tree.mkdir("one")
        tree.write("one/file")
        tree.rmtree("one")
        tree.write("one", b"a file again")
        tree.rmdir("two")
        tree.symlink("one", "two")
        tree.unlink("two")
        tree.mkdir("two")


@case(quick=True)
def empty_folders(tree):
    tree.mkdir("empty/below")
    yield
    tree.mkdir("another/one/below")
    tree.rmdir("empty/below")


@case()
def many_files_in_one_folder(tree):
    tree.mkdir("folder")
    yield
    for number in range(3000):
        tree.write(f"folder/{number}", b"%d" % number)
    yield
    for number in range(0, 3000, 2):
        tree.unlink(f"folder/{number}")
    for number in range(1, 3000, 4):
        tree.rename(f"folder/{number}", f"folder/moved{number}")


NAMES = {
    "newline": b"new\nline", "tab and escape": b"\t\x1b[31m\x07", "invalid UTF-8": b"\xff\xfe\x80",
    "glob": b"*?[a-z]{x,y}", "255 bytes": b"n" * 255, "255 bytes of UTF-8": "ü".encode() * 127,
    "spaces": b"  lead and trail  ", "backslash": b"back\\slash",
    "quotes": b"\"'`$(x)", "dash": b"-rf", "three dots": b"...", "hash": b"#file#", "one byte 0x01": b"\x01",
    "tilde": b"~", "a name like ours": b".clusterd-1", "temporary of rsync": b".file.AbCdEf",
}


@cases(NAMES, "name")
def _names(tree, value):
    name = NAMES[value]
    tree.write("first")
    yield
    tree.write(name, b"contents")
    tree.mkdir(b"folder/" + name)
    tree.write(b"folder/" + name + b"/" + name, b"below")
    tree.symlink(name, "symlink")
    yield
    tree.write(name, b"contents changed")
    tree.rename(b"folder/" + name, b"folder/other")
    tree.rename(b"folder/other/" + name, name[:250] + b".2" if len(name) < 250 else b"m" * 255)
    yield
    tree.unlink(name)


@case(quick=True)
def names_like_our_own(tree):
    """A temporary name that the mirror uses may be somebody's file."""
    for number in range(1, 60):
        tree.write(f".~clusterd.{number}", b"ours? %d" % number)
        tree.write(f"file{number}")
    yield
    for number in range(1, 60):
        tree.write(f"file{number}", b"rewritten")
        tree.symlink("target", f"symlink{number}")
        tree.link(f"file{number}", f"link{number}")
    yield
    for number in range(1, 60, 2):
        tree.unlink(f".~clusterd.{number}")


@case(quick=True)
def names_that_differ_in_normal_form_or_case(tree):
    yield
    for number, name in enumerate(("ä", "a\u0308", "Ä", "File", "file", "FILE", "ﬁle", "ß", "ẞ", "ss")):
        tree.write(name, b"%d" % number)
    yield
    tree.write("ä", b"composed")
    tree.unlink("a\u0308")


def _deep(tree, base, levels):
    """A descriptor of the folder at the end of a path longer than the kernel takes."""
    folder = os.open(tree(base) if base else tree(), os.O_RDONLY)
    for level in range(levels):
        name = b"%03d-" % level + b"d" * 196
        try:
            os.mkdir(name, dir_fd=folder)
        except FileExistsError:
            pass
        inner = os.open(name, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    return folder


def _deep_write(folder, name, contents):
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644, dir_fd=folder)
    os.write(descriptor, contents)
    os.close(descriptor)


@case(rsync=False)
def paths_longer_than_4096_bytes(tree):
    tree.mkdir("before")
    folder = _deep(tree, "before", 25)
    _deep_write(folder, "file", b"there from the start")
    yield
    _deep_write(folder, "file", b"rewritten")
    _deep_write(folder, "more", b"another")
    os.close(folder)
    folder = _deep(tree, b"", 30)
    _deep_write(folder, "file", b"deeper")
    yield
    os.rename("file", "renamed", src_dir_fd=folder, dst_dir_fd=folder)
    os.symlink("renamed", "symlink", dir_fd=folder)
    os.close(folder)
    yield
    tree.rename("before", "moved")


@case(rsync=False)
def five_hundred_folders_deep(tree):
    yield
    tree.mkdir("/".join(["d"] * 500))
    tree.write("/".join(["d"] * 500) + "/file", b"bottom")
    yield
    tree.rename("d/d/d", "d/e")
