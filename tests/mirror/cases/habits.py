"""What programs do, and few people think of."""
import os
import time

from tree import noise

from . import case


@case()
def temporary_file_given_a_name(tree):
    """O_TMPFILE and linkat: no event before the link."""
    yield
    descriptor = os.open(tree(), os.O_WRONLY | os.O_TMPFILE, 0o644)
    os.write(descriptor, b"written without a name")
    os.link(f"/proc/self/fd/{descriptor}", tree("named"), src_dir_fd=0, follow_symlinks=True)
    os.write(descriptor, b", and after it had one")
    os.close(descriptor)


@case()
def written_after_it_was_unlinked(tree):
    tree.write("file", b"first")
    yield
    with open(tree("file"), "ab", buffering=0) as file:
        tree.unlink("file")
        file.write(b"nobody sees this")
        tree.write("file", b"another file")
    yield


@case()
def written_through_a_descriptor_after_a_rename(tree):
    tree.write("file", b"first")
    tree.mkdir("folder")
    yield
    with open(tree("file"), "ab", buffering=0) as file:
        tree.rename("file", "folder/moved")
        tree.write("file", b"another file")
        file.write(b" and more")


@case()
def copied_within_the_kernel(tree):
    tree.write("one", noise(500_000))
    yield
    source, target = os.open(tree("one"), os.O_RDONLY), os.open(tree("two"), os.O_WRONLY | os.O_CREAT, 0o600)
    os.copy_file_range(source, target, 400_000)
    os.close(source)
    os.close(target)


@case()
def written_slowly(tree):
    yield
    with open(tree("file"), "wb", buffering=0) as file:
        for number in range(30):
            file.write(b"%d" % number * 1000)
            time.sleep(0.01)


@case()
def lock_file_and_journal(tree):
    """As SQLite works: a journal made, written, and removed around each change of the database."""
    tree.write("base", bytes(65536))
    yield
    for number in range(30):
        tree.write("base-journal", noise(4096, number + 1))
        tree.patch("base", number * 1024, noise(512, number + 7))
        tree.unlink("base-journal")


@case()
def folder_without_rights_gets_files(tree):
    tree.mkdir("folder")
    yield
    tree.chmod("folder", 0o555)
    tree.write("folder/file")
    tree.chown("folder", 1000, 1000)


@case()
def nothing(tree):
    """A compare of equal trees leaves them equal."""
    tree.plant("tree")
    yield
    yield
