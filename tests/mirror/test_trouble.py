"""Targets that cannot take what they get, ends that are killed: nothing is skipped in silence, nothing is torn."""
import concurrent.futures
import contextlib
import itertools
import os
import random
import subprocess
import threading
import time

import judge
import pytest
from grounds import Ground, NotHere
from mutator import Mutator
from pair import PairError, Pairs
from tree import FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, Tree, noise

PATIENCE = 60


def kinds(metafunc):
    return [kind for kind in metafunc.config.getoption("filesystems").split(",") if kind != "here"] or ["ext4"]


def pytest_generate_tests(metafunc):
    if "ground" in metafunc.fixturenames:
        metafunc.parametrize("ground", kinds(metafunc), indirect=True, scope="module")
    elif "kind" in metafunc.fixturenames:
        metafunc.parametrize("kind", kinds(metafunc))
    if "seed" in metafunc.fixturenames:
        first, end = metafunc.config.getoption("seeds").split(":")
        metafunc.parametrize("seed", range(int(first), int(end)))


@pytest.fixture(name="pair")
def _pair(pairs):
    pair = pairs.new()
    Tree(pair.source).plant("tree")
    pair.start()
    pair.resync()
    judge.assert_equal(pair.source, pair.target)
    return pair


def test_a_source_that_cannot_be_followed_is_compared_again_and_again(request):
    """overlayfs takes marks, but no handle of it opens again: every hint would seem to be of something gone."""
    try:
        ground = Ground("overlay", target_kind="tmpfs")
    except NotHere as why:
        pytest.skip(str(why))
    pairs = Pairs(ground, request.config.getoption("pair"))
    try:
        pair = pairs.new()
        tree = Tree(pair.source)
        tree.plant("tree")
        pair.start()
        pair.resync()
        tree.write("later", b"1")
        pair.flush()
        judge.assert_equal(pair.source, pair.target)
        tree.write("later", b"2")
        tree.write("by itself", b"no order is given")
        tree.remove("tree")
        end = time.monotonic() + PATIENCE
        while judge.differences(pair.source, pair.target):
            assert time.monotonic() < end, judge.differences(pair.source, pair.target)
            time.sleep(0.2)
    finally:
        pairs.close()
        ground.close()


def must_not_be_content(pair, what):
    """Neither a flush nor a run may say that all is well."""
    for order in (pair.flush, pair.run):
        with pytest.raises(PairError):
            order()
            pytest.fail(f"{order.__name__} is content although {what}")


def becomes_equal(pair):
    """Runs until one is content; a run that finds the trouble gone has to be."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            pair.run()
            break
        except PairError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
    judge.assert_equal(pair.source, pair.target)


@pytest.fixture(name="small")
def _small(kind, request):
    """A mirror whose target has little room."""
    try:
        ground = Ground(kind, megabytes=1024, target_megabytes={"xfs": 310, "btrfs": 128}.get(kind, 48))
    except NotHere as why:
        pytest.skip(str(why))
    pairs = Pairs(ground, request.config.getoption("pair"))
    pair = pairs.new()
    yield pair
    pairs.close()
    ground.close()


def test_full_disk(small):
    """What does not fit waits, the old version stays whole, what fits is not held up, and later all is equal."""
    source, target = Tree(small.source), Tree(small.target)
    source.write("large", b"the version before")
    source.plant("tree")
    small.start()
    small.resync()
    # No megabyte twice: what occurs again takes no room where extents can be shared.
    source.replace("large", b"".join(noise(1 << 20, seed) for seed in range(400)))
    must_not_be_content(small, "the disk is full")
    assert target.read("large") == b"the version before"
    source.write("tree/folder0/file0", b"small changes go on")
    source.unlink("tree/folder1/file1")
    must_not_be_content(small, "the disk is full")
    assert target.read("tree/folder0/file0") == b"small changes go on"
    assert not target.exists("tree/folder1/file1")
    source.truncate("large", 1000)
    becomes_equal(small)


def test_disk_full_of_somebody_elses_files(small):
    source = Tree(small.source)
    source.plant("tree")
    small.start()
    small.resync()
    ballast = os.path.join(os.path.dirname(small.target), "ballast")
    with open(ballast, "wb", buffering=0) as file:
        with pytest.raises(OSError):
            while True:
                file.write(bytes(65536))
    for number in range(50):
        source.write(f"tree/more{number}", noise(50_000, number + 1))
    must_not_be_content(small, "the disk is full")
    os.unlink(ballast)
    becomes_equal(small)


def test_immutable_names_at_the_target_are_no_obstacle(pair):
    """The flag is part of what is mirrored: the source does not have it, and the target loses it."""
    source, target = Tree(pair.source), Tree(pair.target)
    try:
        target.flags("tree/folder0/file0", 0x10)
        target.flags("tree/folder1", 0x10)
    except OSError:
        pytest.skip("this file system has no such flag")
    source.write("tree/folder0/file0", b"written there all the same")
    source.write("tree/folder1/new", b"and this")
    source.unlink("tree/folder1/file0")
    pair.flush()
    pair.run()
    judge.assert_equal(pair.source, pair.target)


def test_read_only_target(small):
    """As after an error of the disk."""
    source, target = Tree(small.source), Tree(small.target)
    source.plant("tree")
    small.start()
    small.resync()
    place = os.path.dirname(small.target)
    remount(place, "ro")
    try:
        source.write("tree/folder0/file0", b"cannot be written there")
        source.rmtree("tree/folder1")
        must_not_be_content(small, "the target is read-only")
    finally:
        remount(place, "rw")
    assert target.exists("tree/folder1/file1")
    becomes_equal(small)


def remount(place, how):
    """Waits while somebody has a file open for writing there."""
    end = time.monotonic() + PATIENCE
    while subprocess.run(["mount", "-o", f"remount,{how}", place], check=False, capture_output=True).returncode != 0:
        assert time.monotonic() < end, f"{place} stays busy"
        time.sleep(0.1)


def test_changes_made_on_the_standby_are_found_by_a_run(pair):
    """A mistake on the standby: each kind of it is undone by the next compare."""
    target = Tree(pair.target)
    target.write("tree/folder0/file0", b"changed")
    before = target.mtime("tree/folder0/file1")
    target.patch("tree/folder0/file1", 0, b"same size")
    target.mtime("tree/folder0/file1", before)
    target.unlink("tree/folder1/file0")
    target.write("tree/new", b"new")
    target.rename("tree/folder1/file2", "tree/renamed")
    target.chmod("tree/folder2", 0o700)
    target.chown("tree/folder2/file0", 7)
    target.xattr("tree/folder2/file1", "user.x", b"1")
    target.unlink("tree/folder2/file2")
    target.mkdir("tree/folder2/file2")
    pair.run()
    judge.assert_equal(pair.source, pair.target)


@pytest.mark.parametrize("who", ["source", "target"])
def test_killed_in_the_middle(pairs, who):
    """Killed while much is under way: what is on the target then is whole, and the next run makes all equal."""
    pair = pairs.new()
    source = Tree(pair.source)
    source.plant("tree", folders=20, files=50, size=20_000)
    pair.start()
    pair.resync()
    for turn in range(3):
        for folder in range(20):
            for file in range(0, 50, 3):
                source.replace(f"tree/folder{folder}/file{file}", noise(20_000, turn * 7 + folder))
            if folder == 3 + turn * 6:
                pair.kill(who)
        if who == "source":
            pair.start()
        assert_whole(pair.target, 20_000)
        pair.run()
        judge.assert_equal(pair.source, pair.target)


def assert_whole(root, size):
    """Each file has one of the contents that were ever written there."""
    for folder, _, names in os.walk(os.path.join(root, "tree")):
        for name in names:
            if name.startswith("file") and not name.endswith(".new"):
                assert os.path.getsize(os.path.join(folder, name)) == size, f"{folder}/{name} is torn"


def test_killed_during_the_first_copy(pairs):
    pair = pairs.new()
    Tree(pair.source).plant("tree", folders=40, files=50, size=30_000)
    pair.start()

    def copy():
        with contextlib.suppress(PairError):
            pair.command("resync")
    for _ in range(2):
        worker = threading.Thread(target=copy)
        before = files_below(pair.target)
        worker.start()
        while worker.is_alive() and files_below(pair.target) <= before:
            time.sleep(0.001)
        pair.kill("target")
        worker.join()
    becomes_equal_by_resync(pair)


def files_below(root):
    return sum(len(names) for _, _, names in os.walk(root))


def becomes_equal_by_resync(pair):
    pair.resync()
    judge.assert_equal(pair.source, pair.target)


def test_no_torn_file_is_ever_seen(pair):
    """A reader on the target, all the time: each file is one of the versions that were renamed into place."""
    source, target, stop, torn = Tree(pair.source), Tree(pair.target), threading.Event(), []
    names = [f"tree/folder0/version{number}" for number in range(5)]

    def version(number):
        return b"%08d" % number * (1000 + number % 7 * 5000)

    def read():
        while not stop.is_set():
            for name in names:
                try:
                    contents = target.read(name)
                except FileNotFoundError:
                    continue
                if contents != version(int(contents[:8] or b"0")):
                    torn.append((name, len(contents), contents[:16]))
    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(600):
            source.replace(names[number % 5], version(number))
        pair.flush()
    finally:
        stop.set()
        reader.join()
    assert not torn, torn[:3]
    judge.assert_equal(pair.source, pair.target)


def test_orders_end_while_writers_go_on(pair):
    """What had changed before a flush is on the target after it, and each order ends, although nobody pauses."""
    source, target, stop = Tree(pair.source), Tree(pair.target), threading.Event()

    def write(name):
        number = 0
        while not stop.is_set():
            number += 1
            source.replace(f"tree/{name}{number % 50}", noise(3000, number % 9 + 1))
            source.append(f"tree/{name}.log", b"a line\n")
    writers = [threading.Thread(target=write, args=(name,)) for name in ("one", "two")]
    for writer in writers:
        writer.start()
    try:
        for number in range(5):
            source.write("tree/marked", b"%d" % number)
            pair.flush()
            assert target.read("tree/marked") == b"%d" % number
        pair.run()
        pair.resync()
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    pair.flush()
    judge.assert_equal(pair.source, pair.target)


def test_a_flush_ends_while_the_names_of_a_file_come_and_go(pair):
    """What had changed before it is sent once, not for each of two thousand names that is gone by then."""
    source, stop = Tree(pair.source), threading.Event()
    names = [f"named/{number}" for number in range(2000)]
    source.mkdir("named")
    source.write(names[0], b"one of many\n")
    for name in names[1:]:
        source.link(names[0], name)
    pair.flush()

    def churn():
        for name in itertools.cycle(names[1:]):
            if stop.is_set():
                return
            source.unlink(name)
            source.append(names[0], b"more\n")
            source.link(names[0], name)
    writer = threading.Thread(target=churn)
    writer.start()
    try:
        for _ in range(3):
            pair.flush()
    finally:
        stop.set()
        writer.join()
    pair.flush()
    judge.assert_equal(pair.source, pair.target)


def test_a_large_file_that_is_written_without_a_pause(pair):
    """What the target has of it is built upon, although it was never at rest when it was read."""
    source = Tree(pair.source)
    source.write("database", noise(6 << 20, 1))
    pair.flush()

    def write(seed):
        draw = random.Random(seed)
        size = 6 << 20
        for _ in range(600):
            place, kind = draw.randrange(size), draw.randrange(30)
            if kind == 0:
                size = draw.randrange(4 << 20, 8 << 20)
                source.truncate("database", size)
            elif kind == 1:
                source.fallocate("database", FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, place, min(200_000, size - place))
            elif kind == 2:
                source.append("database", noise(draw.randrange(20_000), draw.random()))
                size = os.path.getsize(source("database"))
            elif kind == 3:  # a part of it moves
                source.patch("database", place // 2, source.read("database")[place // 2 + 7:place // 2 + 500_000])
            else:
                source.patch("database", place - place % 8192, noise(8192, draw.random()))

    for seed in range(5):
        with concurrent.futures.ThreadPoolExecutor() as pool:
            writer = pool.submit(write, seed)
            while not writer.done():
                pair.flush()
            writer.result()
        pair.flush()
        judge.assert_equal(pair.source, pair.target, f"after the writes of seed {seed}")


def test_temporary_names_do_not_stay(pair):
    """After a kill in the middle of a large file, the next run leaves nothing but what the source has."""
    source = Tree(pair.source)
    source.write("large", noise(150_000_000))
    time.sleep(0.15)
    pair.kill("target")
    pair.run()
    judge.assert_equal(pair.source, pair.target)


def test_random_changes(pairs, seed, request):
    """The mutator, while the mirror follows, is broken, and is down. --whole: longer."""
    operations = 8000 if request.config.getoption("whole") else 1500
    pair = pairs.new()
    mutator = Mutator(pair.source, seed, entries=500, largest=100_000)
    mutator.run(operations=500)
    pair.start()
    pair.resync()
    for turn, (before, after) in enumerate(((lambda: None, pair.flush), (pair.break_channel, pair.run),
                                            (lambda: None, pair.flush), (pair.quit, None))):
        before()
        mutator.run(operations=mutator.steps + operations)
        if after is None:
            pair.start()
            after = pair.run
        after()
        judge.assert_equal(pair.source, pair.target, f"in turn {turn} of seed {seed}")
