"""The power of a node fails."""
import pytest

from lab import Client
from story import ADDRESS, ADDRESS_6


def learnt_mac(cluster):
    return cluster.lab["c"].sh(f"ip neigh show {ADDRESS}").split("lladdr ")[1].split()[0]


@pytest.mark.parametrize("mac", ["virtual", "redundant"])
def test_static_arp_client_goes_on_after_power_off_of_the_active_node(make_cluster, mac):
    cluster = make_cluster(mac=mac)
    known = learnt_mac(cluster)
    cluster.client.static_entry(known)

    cluster.serv1.power_off()

    cluster.await_active("serv2")
    cluster.client.await_answers()
    assert learnt_mac(cluster) == known
    cluster.serves("serv2")
    cluster.observer.never_dual("serv1", "serv2")
    assert cluster.events("serv2", "takeover")


def test_with_announcements_alone_any_client_goes_on(make_cluster):
    cluster = make_cluster(mac="none")
    before = learnt_mac(cluster)

    cluster.serv1.power_off()

    cluster.await_active("serv2")
    cluster.client.await_answers()
    assert learnt_mac(cluster) != before
    cluster.observer.never_dual("serv1", "serv2")


def test_ipv6_moves_as_well(cluster):
    c = cluster.lab["c"]
    c.sh(f"ping -6 -c1 -W5 {ADDRESS_6}")
    cluster.serv1.power_off()
    cluster.await_active("serv2")
    cluster.until(lambda: c.run("ping", "-6", "-c1", "-W1", ADDRESS_6, check=False).returncode == 0,
                  "the service answers over IPv6")
    cluster.observer.never_dual("serv1", "serv2")


def test_returning_node_becomes_standby_and_the_next_failure_brings_the_service_back(cluster):
    cluster.serv1.power_off()
    cluster.await_active("serv2")

    cluster.serv1.power_on()
    cluster.await_ready("serv1")
    assert cluster.role("serv2") == "active"

    cluster.serv2.power_off()
    cluster.await_active("serv1")
    cluster.client.await_answers()
    cluster.observer.never_dual("serv1", "serv2", "serv1")


def test_power_off_of_the_standby_moves_nothing(cluster):
    epoch = cluster.epoch("serv1")
    cluster.serv2.power_off()
    cluster.await_event("serv1", "peer-lost")
    cluster.stays(3 * cluster.window(), lambda: cluster.role("serv1") == "active", "web stays on serv1")
    cluster.nothing_moved("serv1", epoch)
    cluster.client.await_answers()
    cluster.observer.never_dual("serv1")


def test_service_moves_with_all_its_units(make_cluster):
    """The unit answers at the address, before and after."""
    cluster = make_cluster(client=False)
    client = Client(cluster.lab, ADDRESS, port=7000)
    client.await_answers()
    cluster.serv1.power_off()
    cluster.await_active("serv2")
    client.await_answers()
    page = cluster.lab["c"].sh(f"curl -s --max-time 5 http://{ADDRESS}:7000/")
    assert page.strip() == "serv2"
