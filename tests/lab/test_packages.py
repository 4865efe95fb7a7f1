"""The Debian packages on machines with their own systemd: installed, upgraded under load, purged."""
import glob
import os
import subprocess

import pytest

from lab import WebClient, tools
from story import ADDRESS, PATIENCE

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
pytestmark = pytest.mark.slow


def build(out, version):
    """Makes the package; returns its file."""
    subprocess.run([PROJECT + "/packaging/build-deb", "--build", tools.BUILD, "--out", str(out), "--version", version,
                    "--no-lab", "--fast"], check=True, capture_output=True)
    return glob.glob(f"{out}/clusterd_*.deb")[0]


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """The package in two versions: {version: its file}."""
    return {version: build(tmp_path_factory.mktemp("deb"), version) for version in ("0.1.0-1", "0.1.0-2")}


def put(node, file, name="/root/clusterd.deb"):
    with open(file, "rb") as package:
        node.write(name, package.read())
    return name


def install(node, file):
    return node.run("dpkg", "--install", put(node, file), timeout=300)


def installed(make_cluster, packages, **options):
    """Machines on which nothing of clusterd was, with the package installed and running."""
    cluster = make_cluster(machines={"programs": False}, start=False, **options)
    for node in cluster.lab.nodes:
        assert node.run("which", "clusterd", check=False).returncode != 0, "a machine without clusterd"
        install(node, packages["0.1.0-1"])
        assert node.run("systemctl", "is-active", "clusterd.service", check=False).stdout.strip() == "inactive"
        assert "clusterd-admin" in node.read("/etc/group")
    cluster.start()
    return cluster


@pytest.fixture
def cluster(make_cluster, packages):
    return installed(make_cluster, packages)


def version(node):
    return node.run("dpkg-query", "-W", "-f", "${Version}", "clusterd").stdout


def test_an_upgrade_under_load_moves_nothing_and_loses_no_request(cluster, packages):
    """The standby first, then the active node, as an administrator would; no request is lost, no gap exceeds a lease."""
    web = WebClient(cluster.lab, ADDRESS)
    web.await_answers()
    epoch, lease = cluster.epoch("serv1"), cluster.lease("serv1")
    daemons = [node.daemon.pid for node in cluster.lab.nodes]
    web.reset()
    for node in (cluster.serv2, cluster.serv1):
        install(node, packages["0.1.0-2"])
        assert version(node) == "0.1.0-2"
    cluster.await_active("serv1")
    cluster.await_ready("serv2")
    web.await_answers()
    report = web.report()
    assert [node.daemon.pid for node in cluster.lab.nodes] != daemons, "new daemons"
    assert report["lost_in_all"] == 0, report
    assert report["longest_gap"] < lease, report
    assert report["nodes"] == ["serv1"]
    cluster.nothing_moved("serv1", epoch)
    cluster.observer.never_dual("serv1")


def test_a_configuration_that_the_new_version_refuses_stops_no_daemon(cluster, packages):
    daemon = cluster.serv1.daemon
    cluster.serv1.sh("echo 'profil = 1' >>/etc/cluster.d/services/web.toml")
    told = install(cluster.serv1, packages["0.1.0-2"])
    assert "goes on running" in told.stderr, told
    assert daemon.alive()
    cluster.observer.never_dual("serv1")


def leftovers(node):
    """What a package could leave behind."""
    return node.sh("find / -xdev \\( -path /proc -o -path /sys -o -path /root -o -path /var/log/journal -o -path /srv \\) -prune -o "
                   "\\( -name '*clusterd*' -o -name '*clusterctl*' -o -name cluster.d \\) ! -name '*clusterdb*' -print; getent group clusterd clusterd-admin; "
                   "ls -d /sys/fs/bpf/clusterd* 2>/dev/null; ip -o link show | grep -o 'cd-[a-z]*'; "
                   "ip -o address | grep -F ' 192.168.1.20/'; "
                   "for nic in eth0 eth1; do tc filter show dev $nic ingress; tc filter show dev $nic egress; done; "
                   "ip rule | grep -vE 'lookup (local|main|default)'; true", timeout=PATIENCE)


def test_a_purge_hands_over_and_leaves_nothing(cluster):
    known = set(leftovers(cluster.serv1).split())
    assert any("clusterctl" in word or "clusterd" in word for word in known), "the search finds what is there"
    web = WebClient(cluster.lab, ADDRESS)
    web.await_answers()
    cluster.serv1.run("dpkg", "--purge", "clusterd", timeout=300)
    cluster.await_active("serv2")
    web.await_answers()
    assert leftovers(cluster.serv1).strip() == ""
    cluster.observer.never_dual("serv1", "serv2")
    # Whoever takes the address here afterwards is not silenced by what clusterd has left.
    cluster.serv2.shut_down()
    cluster.serv1.run("ip", "address", "add", f"{ADDRESS}/24", "dev", "eth0")
    cluster.serv1.run("arping", "-c1", "-A", "-I", "eth0", ADDRESS, check=False)
    cluster.lab["c"].run("ip", "neigh", "flush", "dev", "eth0")
    cluster.until(lambda: cluster.lab["c"].run("ping", "-c1", "-W1", ADDRESS, check=False).returncode == 0,
                  "the address is answered without clusterd")


def test_a_purge_keeps_backup_sets_that_nobody_has_let_go_of(cluster):
    kept = "/var/lib/clusterd/backups/web/20260101T000000Z-e2-1/files/srv/web/order.txt"
    cluster.serv2.write(kept, "the last copy\n")
    told = cluster.serv2.run("dpkg", "--purge", "clusterd", timeout=300)
    assert "backup sets are kept" in told.stderr
    assert cluster.serv2.read(kept) == "the last copy\n"


def test_a_removal_is_refused_while_a_service_cannot_be_stopped(make_cluster, packages):
    """A gate that was taken away from a service that runs could let two nodes answer."""
    cluster = installed(make_cluster, packages, units=[
        '{ name = "thing", start = "touch /run/thing", stop = "true", status = "test -e /run/thing", stop_timeout = "2s" }'])
    done = cluster.serv1.run("dpkg", "--remove", "clusterd", check=False, timeout=200)
    assert done.returncode != 0, done
    assert cluster.serv1.run("which", "clusterctl", check=False).returncode == 0, "the package is still there"
    assert cluster.serv1.run("test", "-e", "/sys/fs/bpf/clusterd", check=False).returncode == 0, "and so is the gate"
    cluster.nobody_serves()
    cluster.observer.never_dual("serv1")


def test_the_machine_boots_with_the_package_enabled(cluster):
    cluster.serv1.reboot()
    cluster.await_active("serv2")
    cluster.await_ready("serv1")
    cluster.observer.never_dual("serv1", "serv2")
