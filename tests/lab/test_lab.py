"""The lab itself: its faults do what they say, its observer sees two nodes, and nothing is left behind."""
import os
import signal
import subprocess
import sys
import time

import pytest

from lab import Client, Lab, Observer, network
from story import ADDRESS

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture
def lab():
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with Lab(machines=network.default_machines()) as it:
        yield it


def reaches(host, address):
    return host.run("ping", "-c1", "-W1", address, check=False).returncode == 0


def comes_back(host, address):
    """Awaited, because a neighbour entry that failed is asked for again only after a second."""
    network.wait_for(lambda: reaches(host, address), 20, f"{address} is reached again")


def add_address(node):
    """With a MAC change of the client's entry, since nobody announces it."""
    node.run("ip", "address", "add", f"{ADDRESS}/24", "dev", "eth0")
    node.lab["c"].run("ip", "neigh", "replace", ADDRESS, "lladdr", network.mac_of(node.name, "eth0"), "dev", "eth0")


def test_a_power_cut_takes_everything_but_the_disk(lab):
    node = lab["serv1"]
    node.write("/etc/cluster.d/kept", "on the disk\n")
    node.write("/run/forgotten", "in memory\n")
    add_address(node)
    boot = node.boot_id()
    runs = node.spawn("sleep", "sleep", "1000")
    node.power_off()
    assert not runs.alive()
    node.power_on(start_clusterd=False)
    assert node.read("/etc/cluster.d/kept") == "on the disk\n"
    assert node.run("test", "-e", "/run/forgotten", check=False).returncode != 0
    assert f" {ADDRESS}/" not in node.sh("ip -o address")
    assert node.boot_id() != boot
    assert reaches(node, "192.168.1.12") and reaches(node, "192.168.111.2")


def test_cuts_and_drops_hit_only_what_they_name(lab):
    one = lab["serv1"]
    lab.cut_between_nodes()
    assert not reaches(one, "192.168.1.12") and not reaches(one, "192.168.111.2")
    assert reaches(one, "192.168.1.1") and reaches(lab["c"], "192.168.1.12")
    lab.join_nodes()
    comes_back(one, "192.168.1.12")
    comes_back(one, "192.168.111.2")
    lab.drop("serv1-eth0", "r1")
    assert not reaches(one, "192.168.1.1") and reaches(one, "192.168.1.2")
    lab.heal()
    comes_back(one, "192.168.1.1")
    lab.switch_down()
    assert "NO-CARRIER" in one.sh("ip link show eth0") and reaches(one, "192.168.111.2")
    lab.switch_up()
    comes_back(one, "192.168.1.1")


def test_the_observer_sees_two_nodes_that_answer(lab):
    observer = Observer(lab, [ADDRESS])
    add_address(lab["serv1"])
    client = Client(lab, ADDRESS)
    client.await_answers()
    network.wait_for(lambda: observer.answering() == ["serv1"], 20, "serv1 is seen")
    observer.never_dual("serv1")
    add_address(lab["serv2"])
    network.wait_for(lambda: observer.answering() == ["serv1", "serv2"], 20, "both are seen")
    time.sleep(0.3)
    assert observer.dual_active_ms() > 0
    with pytest.raises(AssertionError):
        observer.never_dual()


@pytest.mark.parametrize("number, machines", [(signal.SIGINT, None), (signal.SIGTERM, None), (signal.SIGKILL, None),
                                              (signal.SIGKILL, {})])
def test_nothing_is_left_of_a_lab_whose_owner_is_gone(number, machines):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    # A shell starts its background jobs with SIGINT ignored, and we may be in one.
    owner = subprocess.Popen(
        [sys.executable, "-c", "import signal, sys, time; sys.path.insert(0, sys.argv[1])\nfrom lab import Lab\n"
         "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
         f"with Lab(machines={machines}) as lab:\n  print(lab.name, *[h.init.pid for h in lab.hosts.values()], flush=True)\n"
         "  time.sleep(1000)", PROJECT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    name, *pids = owner.stdout.readline().split()
    owner.send_signal(number)
    owner.wait(60)
    network.wait_for(lambda: not os.path.exists(f"{network.BASE}/{name}"), 60, "its files are removed")
    network.wait_for(lambda: not any(network.start_time(int(pid)) for pid in pids), 60, "its processes have ended")
    left = [folder for folder, _, _ in os.walk("/sys/fs/cgroup") if f"clusterlab-{name}-" in folder]
    assert not left, "its control groups are removed"
