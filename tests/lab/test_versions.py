"""One configuration for both nodes: edited on one, checked on both, in force on both or on none."""
import json

import pytest

from lab import config_files
from story import ADDRESS, PATIENCE

SECOND = "192.168.1.21"
WEB = "/etc/cluster.d/services/web.toml"
CLUSTER = "/etc/cluster.d/cluster.toml"


def versions(cluster, node):
    return json.loads(cluster.node(node).ctl("versions", "--json", check=False).stdout)


def current(cluster, node):
    return versions(cluster, node)["versions"][-1]["number"]


def await_versions(cluster, number=1):
    """clusterd-config runs on both nodes, and each of them has this version in force."""
    def there():
        return all(versions(cluster, node)["versions"] and current(cluster, node) == number
                   and "change" not in versions(cluster, node) for node in ("serv1", "serv2"))
    cluster.until(there, f"both nodes have version {number}")


def change(cluster, node, file, old, new):
    text = cluster.node(node).read(file)
    assert old in text, text
    cluster.node(node).write(file, text.replace(old, new))


def apply(cluster, node="serv1", *flags, code=0):
    done = cluster.node(node).ctl("apply", *flags, check=False, timeout=150)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def add_address(cluster, node="serv1"):
    change(cluster, node, WEB, f'"{ADDRESS}/24"', f'"{ADDRESS}/24", "{SECOND}/24"')


def has_address(cluster, node, address):
    return f"{address}/" in cluster.node(node).sh("ip -o address")


@pytest.fixture
def ready(cluster):
    await_versions(cluster)
    return cluster


def test_an_address_and_a_service_come_and_go_without_disturbing_the_others(ready):
    """Edited on the standby; the active node's unit and its address go on all the time."""
    cluster = ready
    epoch = cluster.epoch("serv1")
    unit = cluster.serv1.sh("pgrep -x responder").strip()
    pid = cluster.serv1.daemon.pid
    before = cluster.client.report()
    assert "unchanged" in cluster.serv2.ctl("diff").stdout
    add_address(cluster, "serv2")
    cluster.serv2.write("/etc/cluster.d/services/more.toml", config_files.service_toml(
        units=[config_files.responder_unit(7001, "more")], addresses=["192.168.1.30/24"]))
    diff = cluster.serv2.ctl("diff").stdout
    assert f'+ addresses = ["{ADDRESS}/24", "{SECOND}/24"' in diff and "services/more.toml (new)" in diff, diff
    plan = json.loads(cluster.serv2.ctl("plan", "--json").stdout)
    assert [(one["service"], one["effect"]) for one in plan["services"]] == [("more", "begins"), ("web", "addresses change")]
    assert not plan["holds_back"]
    assert f"{SECOND}/24 is added" in cluster.serv2.ctl("plan").stdout

    said = apply(cluster, "serv2", "--trial", "10s")
    assert "version 2 of serv2 is in force on both nodes" in said, said
    await_versions(cluster, 2)
    cluster.await_active("serv1", "more")
    cluster.nothing_moved("serv1", epoch)
    assert has_address(cluster, "serv1", SECOND) and has_address(cluster, "serv1", ADDRESS)
    assert unit in cluster.serv1.sh("pgrep -x responder").split(), "the unit was not touched"
    assert cluster.serv1.daemon.pid == pid and cluster.status("serv1"), "it is the same process"
    assert cluster.serv1.read(WEB) == cluster.serv2.read(WEB)

    said = cluster.serv1.ctl("rollback", "--trial", "10s", timeout=150).stdout
    assert "version 3 of serv1 is in force on both nodes" in said, said
    await_versions(cluster, 3)
    cluster.nothing_moved("serv1", epoch)
    cluster.until(lambda: cluster.serv1.sh("pgrep -x responder").strip() == unit, "the removed service's unit was stopped")
    assert not has_address(cluster, "serv1", SECOND) and not has_address(cluster, "serv1", "192.168.1.30")
    assert cluster.service("serv1", "more") is None
    report = cluster.client.report()
    missed = report["sent"] - report["answered"] - (before["sent"] - before["answered"])
    assert missed <= 10, f"hardly an answer was missed: {missed}, {report['gaps']}"
    cluster.observer.never_dual("serv1")


def test_a_unit_with_other_commands_is_started_anew_where_it_runs(make_cluster):
    cluster = make_cluster(units=[config_files.responder_unit(command=True)])
    await_versions(cluster)
    epoch = cluster.epoch("serv1")
    unit = cluster.serv1.sh("pgrep -x responder").strip()
    change(cluster, "serv1", WEB, "responder 7000", "responder 7002")
    assert "responder restarts" in cluster.serv1.ctl("plan").stdout
    apply(cluster, "serv1", "--trial", "10s")
    cluster.nothing_moved("serv1", epoch)
    cluster.until(lambda: "responder 7002" in cluster.serv1.sh("pgrep -ax responder"), "it runs by its new command")
    assert unit not in cluster.serv1.sh("pgrep -x responder").split()
    cluster.observer.never_dual("serv1")


def test_what_the_other_node_cannot_take_is_refused_and_changes_nothing(ready):
    cluster = ready
    before = cluster.serv2.read(CLUSTER)
    own = cluster.serv1.read(CLUSTER)
    head, tail = own.split("[node.serv2]")
    cluster.serv1.write(CLUSTER, head + "[node.serv2]" + tail.replace("eth1", "eth7"))
    said = apply(cluster, "serv1", code=1)
    assert "serv2: there is no NIC eth7 (link heartbeat)" in said and "ip link" in said, said
    cluster.serv1.write(WEB, cluster.serv1.read(WEB) + "colour = 1\n")
    said = apply(cluster, "serv1", code=78)
    assert "web.toml" in said and "colour" in said, said
    assert cluster.serv2.read(CLUSTER) == before
    await_versions(cluster, 1)
    said = cluster.serv1.ctl("rollback", "--files").stdout
    assert "version 1" in said and "config/edited-" in said, said
    assert cluster.serv1.read(CLUSTER) == own
    assert "nothing to apply" in apply(cluster, "serv1", code=1)


def test_edits_on_both_nodes_are_a_conflict_until_one_is_told_to_hold(ready):
    cluster = ready
    add_address(cluster, "serv1")
    change(cluster, "serv2", WEB, f'"{ADDRESS}/24"', f'"{ADDRESS}/24", "192.168.1.22/24"')
    said = apply(cluster, "serv1", code=1)
    assert "edited there, too" in said and "--overwrite" in said, said
    assert "192.168.1.22" in cluster.serv1.ctl("diff").stdout
    said = apply(cluster, "serv1", "--overwrite", "--trial", "10s")
    assert "edited-3" in said, said  # the number 2 went to the attempt that was refused
    await_versions(cluster, 3)
    assert SECOND in cluster.serv2.read(WEB)
    assert "192.168.1.22" in cluster.serv2.sh("cat /var/lib/clusterd/config/edited-3/services/web.toml")
    cluster.observer.never_dual("serv1")


def test_a_node_that_was_away_gets_the_version_when_it_returns(ready):
    cluster = ready
    cluster.serv2.power_off()
    cluster.await_event("serv1", "peer-lost")
    add_address(cluster)
    said = apply(cluster, "serv1", code=1)
    assert "serv2 cannot be asked" in said and "--alone" in said, said
    said = apply(cluster, "serv1", "--alone")
    assert "gets it when it returns" in said, said
    cluster.until(lambda: has_address(cluster, "serv1", SECOND), "the address is there")
    # What changes how the nodes hear each other needs both.
    change(cluster, "serv1", CLUSTER, "max_takeovers_per_hour = 100", "max_takeovers_per_hour = 99")
    assert "both have to take it at the same time" in apply(cluster, "serv1", "--alone", code=1)
    cluster.serv1.ctl("rollback", "--files")
    cluster.serv2.power_on()
    await_versions(cluster, 2)
    cluster.await_ready("serv2")
    assert SECOND in cluster.serv2.read(WEB)
    cluster.observer.never_dual("serv1")


def test_nodes_that_lose_each_other_by_a_version_return_to_the_former_one(make_cluster):
    """A filter drops the new version's UDP port, and no reference host relays: neither node hears the other one any more."""
    cluster = make_cluster(cluster='relay = "off"\n')
    await_versions(cluster)
    epoch = cluster.epoch("serv1")
    for node in (cluster.serv1, cluster.serv2):
        node.sh("nft add table inet lost; nft 'add chain inet lost in { type filter hook input priority 0; }'; "
                "nft add rule inet lost in udp dport 7420 drop")
    change(cluster, "serv1", CLUSTER, "[cluster]", "[cluster]\nport = 7420")
    plan = json.loads(cluster.serv1.ctl("plan", "--json").stdout)
    assert plan["holds_back"] and plan["cluster"][0]["text"] == "port: 7410 → 7420"
    said = apply(cluster, "serv1", "--trial", "40s", code=1)
    assert "given up: the nodes do not hear each other with it" in said and "back to version 1" in said, said
    await_versions(cluster, 1)
    for node in ("serv1", "serv2"):
        cluster.await_links(node)
        assert "7420" not in cluster.node(node).read(CLUSTER)
    cluster.await_ready("serv2")
    cluster.nothing_moved("serv1", epoch)
    cluster.observer.never_dual("serv1")
    # Settled: a failure is answered again.
    cluster.serv1.power_off()
    cluster.await_active("serv2")
    cluster.observer.never_dual("serv1", "serv2")


def test_another_port_is_taken_by_both(ready):
    """While the nodes do not hear each other, one with the old port and one with the new, nothing is taken over."""
    cluster = ready
    epoch = cluster.epoch("serv1")
    change(cluster, "serv2", CLUSTER, "[cluster]", "[cluster]\nport = 7420")
    apply(cluster, "serv2", "--trial", "10s")
    await_versions(cluster, 2)
    cluster.await_ready("serv2")
    cluster.nothing_moved("serv1", epoch)
    cluster.observer.never_dual("serv1")
    cluster.serv1.power_off()
    cluster.await_active("serv2")
    cluster.observer.never_dual("serv1", "serv2")


def test_daemon_killed_between_check_and_activation(ready):
    """Whatever is killed in between, both nodes come to the same version by themselves."""
    cluster = ready
    add_address(cluster)
    said = cluster.serv1.ctl("apply", "--no-wait", "--trial", "10s").stdout
    assert "version 2 is checked on both nodes" in said, said
    cluster.serv2.kill_clusterd()
    cluster.serv2.start_clusterd()

    def settled():
        seen = [versions(cluster, node) for node in ("serv1", "serv2")]
        return all("change" not in one for one in seen) and len({one["versions"][-1]["number"] for one in seen}) == 1
    cluster.until(settled, "both nodes have settled", 2 * PATIENCE)
    assert cluster.serv1.read(WEB) == cluster.serv2.read(WEB)
    cluster.await_ready("serv2")
    assert cluster.status("serv1")["config_hash"] == cluster.status("serv2")["config_hash"]
    cluster.observer.never_dual("serv1")


def test_a_version_with_which_the_daemon_does_not_start_is_given_up(ready):
    """The other node's daemon finds another secret: it has the files, and cannot go on with them."""
    cluster = ready
    cluster.serv1.sh("cp -p /etc/cluster.d/secret.key /etc/cluster.d/other.key")
    change(cluster, "serv1", CLUSTER, 'secret = "/etc/cluster.d/secret.key"', 'secret = "/etc/cluster.d/other.key"')
    said = apply(cluster, "serv1", "--overwrite", "--trial", "20s", code=1)
    assert "clusterd does not start with it" in said and "other.key" in said, said
    await_versions(cluster, 1)
    cluster.await_ready("serv2")
    assert "other.key" not in cluster.serv1.read(CLUSTER)
    cluster.observer.never_dual("serv1")


def test_messages_of_those_who_mistype(ready):
    cluster = ready
    for words, code, part in [
            (["apply"], 1, "nothing to apply: this is version 1"),
            (["apply", "--trial", "soon"], 2, "--trial takes a time from 10s to 1h"),
            (["apply", "--trial", "1s"], 2, "--trial takes a time from 10s to 1h"),
            (["rollback"], 1, "there is no version before this one"),
            (["rollback", "77"], 1, "version 77 is not kept here"),
            (["rollback", "x"], 2, "version"),
            (["plan", "--rollback", "77"], 1, "version 77 is not kept here"),
            (["apply", "--alone"], 1, "nothing to apply"),
    ]:
        done = cluster.serv1.ctl(*words, check=False)
        assert done.returncode == code, (words, done.stdout, done.stderr)
        assert part in done.stdout + done.stderr, (words, done.stdout, done.stderr)
    done = cluster.serv1.run("setpriv", "--reuid", "65534", "--clear-groups", cluster.serv1.program("clusterctl"), "apply", check=False)
    assert done.returncode == 77 and "sudo clusterctl apply" in done.stderr
    cluster.serv1.kill_clusterd()
    done = cluster.serv1.ctl("apply", check=False)
    assert done.returncode == 3 and "systemctl start clusterd" in done.stderr
