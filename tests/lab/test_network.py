"""Cables, NICs and switches fail; the nodes live."""
import os

from lab import config_files
from story import ADDRESS


def links(cluster, node):
    return {link["name"]: link["up"] for link in cluster.status(node)["links"]}


def test_active_nodes_service_nic_down_hands_over_in_good_order(make_cluster):
    """The heartbeat link lives: the unit is stopped, the mirror flushed first, then the other node starts."""
    cluster = make_cluster(mirror=config_files.mirror_toml(["/srv/web/"]))
    cluster.await_mirrored("serv1")
    cluster.serv1.write("/srv/web/written-just-before", "to be flushed\n")

    cluster.serv1.unplug("eth0")

    cluster.await_active("serv2")
    assert cluster.serv2.read("/srv/web/written-just-before") == "to be flushed\n"
    cluster.await_role("serv1", "standby")
    cluster.client.await_answers()
    cluster.observer.never_dual("serv1", "serv2")
    assert not cluster.serv1.sh("pgrep -x responder || true").strip(), "the unit was stopped"


def test_a_spare_nic_without_carrier_moves_its_service(make_cluster):
    """mac = "redundant": what the service is on is the spare NIC, and its cable is pulled."""
    cluster = make_cluster(mac="redundant")
    cluster.serv1.unplug("eth2")
    cluster.await_active("serv2")
    cluster.await_role("serv1", "standby")
    cluster.client.await_answers()
    cluster.observer.never_dual("serv1", "serv2")


def test_heartbeat_link_down_moves_nothing_and_says_so(cluster):
    epoch = cluster.epoch("serv1")
    for node in ("serv1", "serv2"):
        cluster.node(node).unplug("eth1")
    for node in ("serv1", "serv2"):
        cluster.await_event(node, "link-lost", "heartbeat")
    cluster.stays(2 * cluster.window(), lambda: cluster.role("serv1") == "active", "web stays on serv1")
    cluster.nothing_moved("serv1", epoch)
    assert links(cluster, "serv1") == {"service": True, "heartbeat": False}
    for node in ("serv1", "serv2"):
        cluster.node(node).plug("eth1")
    cluster.await_event("serv1", "link-back", "heartbeat")
    cluster.observer.never_dual("serv1")


def test_lan_switch_down_moves_nothing_and_the_service_comes_back_with_it(cluster):
    epoch = cluster.epoch("serv1")
    cluster.lab.switch_down()
    cluster.until(lambda: links(cluster, "serv2") == {"service": False, "heartbeat": True},
                  "serv2 hears serv1 on the heartbeat link alone")
    cluster.stays(5 * cluster.window(), lambda: cluster.role("serv2") == "standby", "serv2 stays standby")
    cluster.lab.switch_up()
    cluster.client.await_answers()
    cluster.serves("serv1")
    assert cluster.epoch("serv1") == epoch
    cluster.observer.never_dual("serv1")


def test_standbys_service_nic_down_moves_nothing_and_there_is_no_ready_standby(cluster):
    epoch = cluster.epoch("serv1")
    cluster.serv2.unplug("eth0")
    cluster.until(lambda: not cluster.service("serv1")["ready"]["serv2"], "serv1 knows of no ready standby")
    cluster.nothing_moved("serv1", epoch)
    ok, _ = cluster.order("serv1", "move", target="serv2")
    assert not ok, "nobody moves to a node that cannot serve"
    cluster.serv2.plug("eth0")
    cluster.await_ready("serv2")
    cluster.nothing_moved("serv1", epoch)
    cluster.observer.never_dual("serv1")


def test_isolated_active_node_falls_silent_and_comes_back_as_standby(make_cluster):
    """All links cut, both alive, the active one sees no reference host."""
    cluster = make_cluster(mirror=config_files.mirror_toml(["/srv/web/"]))
    cluster.serv1.write("/srv/web/shared", "both have it\n")
    cluster.mirror_now("serv1")
    cluster.serv1.write("/srv/web/not-mirrored", "only on serv1\n")

    for nic in ("eth0", "eth1"):
        cluster.serv1.unplug(nic)

    cluster.await_active("serv2")
    cluster.client.await_answers()
    cluster.until(lambda: cluster.role("serv1") not in ("active", "starting"), "serv1 has stopped by itself")
    cluster.serv2.write("/srv/web/shared", "changed on serv2\n")
    for nic in ("eth0", "eth1"):
        cluster.serv1.plug(nic)

    cluster.await_event("serv2", "resync-done")
    cluster.await_ready("serv1")
    cluster.observer.never_dual("serv1", "serv2")
    assert cluster.serv1.read("/srv/web/shared") == "changed on serv2\n"
    report = cluster.backup_sets("serv1")[-1]
    assert [lost["path"] for lost in report["lost"]] == ["/srv/web/not-mirrored"]
    with open(report["folder"] + "/files/srv/web/not-mirrored", encoding="ascii") as kept:
        assert kept.read() == "only on serv1\n"
    assert not os.path.exists(cluster.serv1.path("/srv/web/not-mirrored"))


def test_silently_isolated_active_node_falls_silent_too(cluster):
    """As before, but no carrier is lost: the cables carry nothing any more."""
    cluster.lab.drop("serv1")
    cluster.lab.drop("r1", "serv1")
    for source in ("r2", "c", "obs", "serv2"):
        cluster.lab.drop(source, "serv1")
    cluster.await_active("serv2")
    cluster.client.await_answers()
    cluster.lab.heal()
    cluster.await_role("serv1", "standby")
    cluster.await_ready("serv1")
    cluster.serves("serv2")
    cluster.observer.never_dual("serv1", "serv2")


def test_isolated_standby_stays_standby(cluster):
    """All links cut; the active node sees its reference hosts, the other one does not."""
    epoch = cluster.epoch("serv1")
    for nic in ("eth0", "eth1"):
        cluster.serv2.unplug(nic)
    cluster.await_event("serv2", "peer-lost")
    cluster.stays(5 * cluster.window(), lambda: cluster.role("serv2") == "standby", "serv2 stays standby")
    cluster.nothing_moved("serv1", epoch)
    cluster.client.await_answers()
    for nic in ("eth0", "eth1"):
        cluster.serv2.plug(nic)
    cluster.await_ready("serv2")
    cluster.nothing_moved("serv1", epoch)
    cluster.observer.never_dual("serv1")


def test_nodes_cut_from_each_other_hear_each_other_through_the_reference_hosts(cluster):
    """Heartbeat cable out, switch ports isolated from each other, both see the reference hosts."""
    cluster.until(lambda: all(host["relays"] for host in cluster.status("serv2")["hosts"]),
                  "the reference hosts relay heartbeats")
    epoch = cluster.epoch("serv1")

    cluster.lab.cut_between_nodes()

    for node in ("serv1", "serv2"):
        cluster.until(lambda node=node: links(cluster, node) == {"service": False, "heartbeat": False},
                      f"{node} hears nothing on any link")
        cluster.until(lambda node=node: cluster.events(node, "link-lost") or cluster.events(node, "only-relays"),
                      f"{node} names what is cut")
    cluster.stays(5 * cluster.window(), lambda: cluster.role("serv2") == "standby", "serv2 stays standby")
    cluster.nothing_moved("serv1", epoch)
    assert cluster.status("serv2")["nodes"]["serv1"]["heard"]
    cluster.client.await_answers()
    cluster.observer.never_dual("serv1")

    cluster.lab.join_nodes()
    cluster.until(lambda: links(cluster, "serv2") == {"service": True, "heartbeat": True}, "the links are back")
    cluster.nothing_moved("serv1", epoch)


def test_power_off_while_the_nodes_are_cut_from_each_other_is_still_taken_over(cluster):
    cluster.until(lambda: all(host["relays"] for host in cluster.status("serv2")["hosts"]),
                  "the reference hosts relay heartbeats")
    cluster.lab.cut_between_nodes()
    cluster.until(lambda: links(cluster, "serv2") == {"service": False, "heartbeat": False}, "the links are cut")
    cluster.serv1.power_off()
    cluster.await_active("serv2")
    cluster.client.await_answers()
    cluster.observer.never_dual("serv1", "serv2")


def test_one_way_loss_between_the_nodes_moves_nothing(cluster):
    """serv2 does not hear serv1 any more, on any link; serv1 hears serv2, and so do the reference hosts."""
    epoch = cluster.epoch("serv1")
    cluster.lab.drop("serv1", "serv2")
    cluster.await_event("serv2", "link-lost")
    cluster.stays(5 * cluster.window(), lambda: cluster.role("serv2") == "standby", "serv2 stays standby")
    cluster.nothing_moved("serv1", epoch)
    cluster.observer.never_dual("serv1")


def test_random_loss_of_a_tenth_of_all_frames_moves_nothing(cluster):
    epoch = cluster.epoch("serv1")
    cluster.lab.cut("serv1", "serv2", percent=10)
    for host in ("r1", "r2"):
        for node in ("serv1", "serv2"):
            cluster.lab.cut(host, node, percent=10)
    cluster.stays(10, lambda: cluster.role("serv2") == "standby", "serv2 stays standby")
    cluster.nothing_moved("serv1", epoch)
    cluster.observer.never_dual("serv1")


def test_the_client_reaches_the_service_through_its_own_mac(cluster):
    """mac = "virtual": whatever speaks for the service does so with the service's MAC."""
    entry = cluster.lab["c"].sh(f"ip neigh show {ADDRESS}").split("lladdr ")[1].split()[0]
    runs = cluster.observer.runs()
    assert runs[-1]["mac"] == entry
    assert not entry.startswith("02:cd:0"), "not a NIC's own"
