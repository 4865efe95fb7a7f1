"""Lab tests: real daemons on two hosts in network namespaces, and an observer on their LAN.

Every test builds its own cluster with `make_cluster` (or takes the ready one, `cluster`); everything is gone at
its end. No test asserts how long something took: machines stall. What must not happen (two nodes answering for
the service address, a packet of a node without a lease) is asserted; what must happen is awaited.
"""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from story import Cluster  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes a minute or more; only with CLUSTERD_LONG=1")


def pytest_collection_modifyitems(config, items):
    share = os.environ.get("CLUSTERD_SHARE")  # "0,1/5": two fifths of the tests, for workers beside each other
    if share:
        numbers, parts = share.split("/")
        mine = {int(number) for number in numbers.split(",")}
        rest = [item for index, item in enumerate(items) if index % int(parts) not in mine]
        items[:] = [item for index, item in enumerate(items) if index % int(parts) in mine]
        config.hook.pytest_deselected(items=rest)
    if os.environ.get("CLUSTERD_LONG"):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="slow: set CLUSTERD_LONG=1"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed:
        for cluster in getattr(item, "clusters", []):
            report.sections.append(("the cluster", cluster.describe()))


@pytest.fixture
def make_cluster(request):
    """make_cluster(...) → a booted Cluster with its daemons started; see story.Cluster."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    clusters = request.node.clusters = []

    def make(**options):
        start = options.pop("start", True)
        cluster = Cluster(**options)
        clusters.append(cluster)
        cluster.up()
        if start:
            cluster.start()
        return cluster

    yield make
    for cluster in clusters:
        cluster.down()


@pytest.fixture
def cluster(make_cluster):
    """web is active on serv1, serv2 is a ready standby, the client is answered."""
    return make_cluster()
