"""Each case of the table (cases.py), in each way in which a mirror can come to know of it, on each file system.

live     the mirror follows; after each step everything has to be durable on the target (flush)
run      both ends are down while it happens; then a run
resync   the same, with a resync: what it overwrites goes to a backup set
broken   the channel is broken while it happens, both ends live on; then a run
"""
import cases
import judge
import pytest
from tree import Tree

WAYS = ("live", "run", "resync", "broken")
QUICK_WAYS = ("live", "run")


def pytest_generate_tests(metafunc):
    if "one" not in metafunc.fixturenames:
        return
    whole = metafunc.config.getoption("whole")
    kinds = metafunc.config.getoption("filesystems").split(",")
    ways = metafunc.config.getoption("ways").split(",") if metafunc.config.getoption("ways") else (
        WAYS if whole else QUICK_WAYS)
    chosen = [(kind, way, one) for kind in kinds for way in ways for one in cases.CASES.values()
              if (whole or one.quick) and (not one.only or kind in one.only or kind == "here")]
    rows = [pytest.param(kind, way, one, id=f"{kind}-{way}-{one.name}",
                         marks=pytest.mark.xfail(strict=True, reason=one.limit) if one.limit else ())
            for kind, way, one in chosen]
    metafunc.parametrize("ground, way, one", rows, indirect=["ground"], scope="module")


def settle(pair, way, one):
    """Brings both sides to agree, as the way has it."""
    if way == "live":
        pair.flush()
        if not one.seen_live:
            pair.run()
    elif way == "resync":
        pair.resync()
    else:
        pair.run()


def assert_equal(pair, one, step):
    judge.assert_equal(pair.source, pair.target, f"after step {step} of {one.name}", rsync=one.rsync)


def test_case(pairs, way, one):
    pair = pairs.new()
    tree = Tree(pair.source)
    steps = one.steps(tree, Tree(pair.outside)) if one.outside else one.steps(tree)
    next(steps, None)
    pair.start()
    pair.resync()
    assert_equal(pair, one, 0)
    more, step = True, 0
    while more:
        step += 1
        if way in ("run", "resync"):
            pair.quit()
        elif way == "broken":
            pair.break_channel()
        more = next(steps, steps) is not steps
        if way in ("run", "resync"):
            pair.start()
        settle(pair, way, one)
        assert_equal(pair, one, step)
    pair.quit()
