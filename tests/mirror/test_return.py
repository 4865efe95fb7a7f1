"""A node comes back after it was the source: what it had and the mirror takes back is in the backup set (S9)."""
import hashlib
import os
import threading
import time

import judge
import pytest
from pair import PairError
from tree import Tree


def pytest_generate_tests(metafunc):
    kinds = metafunc.config.getoption("filesystems").split(",")
    metafunc.parametrize("ground", kinds, indirect=True, scope="module")


def contents_below(folder):
    """Digests of all plain files, whatever they are called."""
    found = set()
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as file:
                    found.add(hashlib.sha256(file.read()).hexdigest())
    return found


@pytest.fixture(name="pair")
def _pair(pairs):
    pair = pairs.new()
    tree = Tree(pair.source)
    tree.plant("tree", folders=4, files=6)
    tree.write("tree/swapped1", b"AAAA")
    tree.write("tree/swapped2", b"BBBB")
    tree.link("tree/folder0/file5", "tree/linked")
    pair.start()
    pair.resync()
    pair.quit()
    return pair


def returned(pair):
    """What the target did while it was active, and nobody mirrored."""
    target = Tree(pair.target)
    target.write("tree/folder0/file0", b"rewritten while it served")
    target.write("tree/new", b"made while it served")
    target.mkdir("tree/new folder/below")
    target.write("tree/new folder/below/file", b"made below a new folder")
    before = target.mtime("tree/folder0/file1")
    target.write("tree/folder0/file1", target.read("tree/folder0/file1")[::-1])
    target.mtime("tree/folder0/file1", before)
    target.replace("tree/folder1/file0", b"replaced while it served")
    target.rename("tree/folder1/file1", "tree/renamed while it served")
    target.append("tree/folder1/file2", b"appended while it served")
    target.append("tree/linked", b"appended through a link")
    target.unlink("tree/folder2/file0")
    target.mkdir("tree/folder2/file0")
    target.write("tree/folder2/file0/inside", b"a folder took its place")
    target.exchange("tree/swapped1", "tree/swapped2")
    target.rename("tree/folder3", "tree/folder3 moved")
    target.write("tree/folder3 moved/file0", b"changed in a moved folder")


def test_whatever_is_taken_back_is_kept(pair):
    before = contents_below(pair.target)
    returned(pair)
    had = contents_below(pair.target) - before
    pair.start()
    pair.resync()
    judge.assert_equal(pair.source, pair.target)
    kept = contents_below(pair.backups())
    assert len(had) >= 9 and not had - kept, f"{len(had - kept)} of {len(had)} versions are gone"


def test_what_both_changed_is_the_sources_and_the_other_version_is_kept(pair):
    returned(pair)
    had = contents_below(pair.target)
    source = Tree(pair.source)
    for name in ("tree/folder0/file0", "tree/folder1/file2", "tree/new"):
        source.write(name, b"the new source's version")
    source.rmtree("tree/folder3")
    pair.start()
    pair.resync()
    judge.assert_equal(pair.source, pair.target)
    lost = had - contents_below(pair.target) - contents_below(pair.backups())
    assert not lost, f"{len(lost)} versions are gone"


def test_a_resync_that_is_killed_loses_nothing(pair):
    """Killed twice on the way: what it took back by then is kept, and the end is the same."""
    before = contents_below(pair.target)
    returned(pair)
    target = Tree(pair.target)
    for number in range(300):
        target.write(f"tree/folder0/more{number}", b"%d, made while it served\n" % number * 500)
    had = contents_below(pair.target) - before
    pair.start()
    for pause in (0.02, 0.1):
        worker = threading.Thread(target=lambda: _try(pair.resync))
        worker.start()
        time.sleep(pause)
        pair.kill("target")
        worker.join()
        lost = had - contents_below(pair.target) - contents_below(pair.backups())
        assert not lost, f"{len(lost)} versions are gone"
    pair.resync()
    judge.assert_equal(pair.source, pair.target)
    assert not had - contents_below(pair.backups())


def _try(function):
    try:
        function()
    except PairError:
        pass


def test_a_resync_of_equal_trees_leaves_no_backup_set(pair):
    pair.start()
    pair.resync()
    assert not contents_below(pair.backups())
