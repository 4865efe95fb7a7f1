"""Options and fixtures of the tests of the live mirror (docs/testing.md)."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from grounds import Ground, NotHere, keep_private  # noqa: E402
from pair import Pairs  # noqa: E402


def pytest_addoption(parser):
    group = parser.getgroup("mirror")
    group.addoption("--whole", action="store_true", help="every case in every way, not only the quick ones")
    group.addoption("--filesystems", default="ext4", help="ext4,xfs,btrfs,tmpfs, or here: the machine's own")
    group.addoption("--ways", default="", help="live,run,resync,broken")
    group.addoption("--seeds", default="1:4", help="of the random changes: first:end")
    group.addoption("--pair", default="mirror", help="what is tested: mirror, guarded (a mirror with guard = true), or rsync as a control")


def pytest_configure():
    keep_private()


@pytest.fixture(name="ground", scope="module")
def _ground(request):
    try:
        ground = Ground(request.param)
    except NotHere as why:
        pytest.skip(str(why))
    yield ground
    ground.close()


@pytest.fixture(name="pairs")
def _pairs(ground, request):
    pairs = Pairs(ground, request.config.getoption("pair"))
    yield pairs
    pairs.close()




@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows what both ends said."""
    outcome = yield
    report = outcome.get_result()
    if report.failed and call.when == "call":
        pairs = item.funcargs.get("pairs") if hasattr(item, "funcargs") else None
        for pair in pairs.made if pairs else []:
            report.sections.append((f"log of {pair.source}", pair.log()))
