"""Services that act by other ways than their addresses: watchdogs and fences (S13).

The service's unit writes to storage that both nodes share. The file then tells in which order the nodes have
written; what must never be seen is that both did at a time.
"""
import json

from lab import config_files
from lab.power import AGENT, FakeWatchdog, PowerSwitch
from story import PATIENCE

TIMEOUT = 5  # s, of the watchdogs


def writer(path):
    """A unit that writes its node's name to `path` again and again."""
    return '{ name = "writer", run = "/bin/sh -c \'while :; do hostname >>' + path + '; sleep 0.02; done\'", ' \
           'stop_timeout = "1s" }'


class Story:
    """A cluster whose service writes to shared storage; with a power switch, watchdogs, or both."""

    def __init__(self, make_cluster, fence=False, watchdog=False, hosts=("192.168.1.1", "192.168.1.2"),
                 fence_timeout="20s"):
        self.cluster = cluster = make_cluster(start=False, client=False, hosts=hosts, service_extra='effects = "node"')
        self.shared = cluster.lab.shared + "/written"
        extra = ""
        self.power = PowerSwitch(cluster.lab) if fence else None
        if fence:
            extra += self.power.toml("serv1", fence_timeout) + self.power.toml("serv2", fence_timeout)
        self.dogs = {}
        if watchdog:
            extra += FakeWatchdog.toml(TIMEOUT)
            self.dogs = {node.name: FakeWatchdog(cluster.lab, node, TIMEOUT) for node in cluster.lab.nodes}
        cluster.setup.cluster["extra"] = extra
        cluster.setup.services["web"] = config_files.service_toml(units=[writer(self.shared)],
                                                                  extra='effects = "node"')
        cluster.setup.install()
        for node in cluster.lab.nodes:
            node.start_clusterd()
        cluster.await_active("serv1")
        cluster.await_ready("serv2")
        if hosts:
            for node in ("serv1", "serv2"):
                cluster.await_counted(node)
        cluster.until(lambda: "serv1" in self.written(), "serv1 writes")

    def written(self):
        """Names of the nodes as they have written one after the other, runs taken together."""
        try:
            with open(self.shared, encoding="ascii") as file:
                lines = file.read().split()
        except OSError:
            return []
        return [name for i, name in enumerate(lines) if i == 0 or lines[i - 1] != name]

    def lines(self):
        with open(self.shared, encoding="ascii") as file:
            return len(file.read().split())

    def taken_over(self, seconds=PATIENCE):
        self.cluster.await_active("serv2", seconds=seconds)
        self.cluster.until(lambda: self.written()[-1] == "serv2", "serv2 writes")
        assert self.written() == ["serv1", "serv2"]
        self.cluster.observer.never_dual("serv1", "serv2")


def test_a_frozen_node_is_fenced_before_its_service_is_taken_over(make_cluster):
    story = Story(make_cluster, fence=True)
    story.cluster.serv1.freeze()  # its unit writes on
    story.taken_over()
    assert not story.cluster.serv1.is_up()
    assert story.power.count("off", "serv1") == 1
    assert story.power.count("off", "serv2") == 0
    assert story.cluster.events("serv2", "fenced")
    status = story.cluster.status("serv2")
    assert status["mode"] == "reference" and "confirmed fence" in status["guarantee"]
    assert status["services"][0]["effects"] == "node"


def test_a_fence_that_fails_is_none_and_is_tried_again(make_cluster):
    story = Story(make_cluster, fence=True)
    story.power.faults["serv1"] = "fails"
    story.cluster.serv1.freeze()
    event = story.cluster.await_event("serv2", "fence-failed")
    assert "timed out" in event["text"]
    before = story.lines()
    story.cluster.until(lambda: story.lines() > before + 20, "serv1 writes on")
    assert story.written() == ["serv1"]
    story.power.faults.clear()
    story.taken_over(seconds=2 * PATIENCE)
    everything = json.dumps(story.cluster.events("serv2")) + story.cluster.serv2.log_text()
    assert "called with" in everything  # what the agent says is shown,
    assert PowerSwitch.PASSWORD not in everything  # without its password


def test_a_fence_that_hangs_is_killed_and_is_none(make_cluster):
    story = Story(make_cluster, fence=True, fence_timeout="2s")
    story.power.faults["serv1"] = "hangs"
    story.cluster.serv1.freeze()
    event = story.cluster.await_event("serv2", "fence-failed")
    assert "timed out" in event["text"]
    assert story.written() == ["serv1"]
    assert AGENT not in story.cluster.serv2.sh("ps -eo args")


def test_a_fence_whose_status_says_on_is_none(make_cluster):
    story = Story(make_cluster, fence=True, fence_timeout="3s")
    story.power.faults["serv1"] = "unverified"
    story.cluster.serv1.freeze()
    event = story.cluster.await_event("serv2", "fence-failed")
    assert "still says on" in event["text"]
    assert story.cluster.serv1.is_up()
    assert story.written() == ["serv1"]


def test_the_node_that_is_cut_off_does_not_shoot(make_cluster):
    story = Story(make_cluster, fence=True)
    story.cluster.serv1.unplug("eth0")
    story.cluster.serv1.unplug("eth1")
    story.taken_over()
    assert story.power.count("off", "serv2") == 0
    assert story.power.count("off", "serv1") == 1


def test_without_reference_hosts_a_fence_decides(make_cluster):
    story = Story(make_cluster, fence=True, hosts=())
    assert story.cluster.status("serv2")["mode"] == "fence"
    story.cluster.serv1.power_off()
    story.taken_over()
    assert story.power.count("off", "serv1") == 1


def test_a_frozen_node_is_reset_by_its_watchdog_before_its_service_is_taken_over(make_cluster):
    story = Story(make_cluster, watchdog=True)
    status = story.cluster.status("serv2")
    assert all(node["watchdog"] for node in status["nodes"].values())
    story.cluster.serv1.freeze()
    story.taken_over(seconds=2 * PATIENCE)
    assert story.dogs["serv1"].bitten is not None
    assert story.dogs["serv2"].bitten is None


def test_an_isolated_node_that_stops_its_units_is_not_reset(make_cluster):
    story = Story(make_cluster, watchdog=True)
    story.cluster.serv1.unplug("eth0")
    story.cluster.serv1.unplug("eth1")
    story.taken_over(seconds=2 * PATIENCE)
    assert story.dogs["serv1"].bitten is None
    story.cluster.serv1.plug("eth0")
    story.cluster.serv1.plug("eth1")
    story.cluster.await_ready("serv1")
    assert story.written() == ["serv1", "serv2"]


def test_a_restarted_daemon_goes_on_petting(make_cluster):
    story = Story(make_cluster, watchdog=True)
    epoch = story.cluster.epoch("serv1")
    story.cluster.serv1.restart_clusterd()
    story.cluster.await_active("serv1")
    pets = story.dogs["serv1"].pets
    story.cluster.until(lambda: story.dogs["serv1"].pets > pets + 2 * 4, "two timeouts have passed")
    assert story.dogs["serv1"].bitten is None
    story.cluster.nothing_moved("serv1", epoch)


def test_check_asks_the_agent_and_prints_the_bound(make_cluster):
    story = Story(make_cluster, fence=True, watchdog=True)
    said = story.cluster.serv1.ctl("check", "--local", check=False).stdout
    assert f"{story.power.agent} answers: on" in said
    assert PowerSwitch.PASSWORD not in said
    said = story.cluster.serv1.ctl("check", check=False, timeout=120).stdout
    assert "Effects of the node (S13): web." in said
    story.power.faults["serv2"] = "fails"
    said = story.cluster.serv1.ctl("check", "--local", check=False).stdout
    assert "does not answer" in said and PowerSwitch.PASSWORD not in said
    shown = story.cluster.serv1.ctl("status").stdout
    assert "guarantee: " in shown and "effects: node" in shown
