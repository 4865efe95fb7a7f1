"""Addresses that others take away come back; the gate stays; a site's own hooks are called."""
import pytest

from story import ADDRESS, ADDRESS_6


def device_of(node, address):
    line = node.sh(f"ip -o address | grep -F ' {address}/'")
    return line.split()[1].split("@")[0]


@pytest.mark.parametrize("mac", ["virtual", "none"])
@pytest.mark.parametrize("address", [ADDRESS, ADDRESS_6])
def test_an_address_that_somebody_removes_comes_back(make_cluster, mac, address):
    cluster = make_cluster(mac=mac)
    epoch = cluster.epoch("serv1")
    device = device_of(cluster.serv1, address)
    entry = cluster.serv1.sh(f"ip -o address | grep -F ' {address}/'").split()[3]
    cluster.serv1.run("ip", "address", "del", entry, "dev", device)
    cluster.until(lambda: f" {address}/" in cluster.serv1.sh("ip -o address"), "the address is back")
    cluster.client.await_answers()
    cluster.await_active("serv1")
    cluster.nothing_moved("serv1", epoch)
    cluster.observer.never_dual("serv1")


def test_a_macvlan_that_somebody_removes_comes_back(cluster):
    epoch = cluster.epoch("serv1")
    cluster.serv1.run("ip", "link", "del", device_of(cluster.serv1, ADDRESS))
    cluster.until(lambda: f" {ADDRESS}/" in cluster.serv1.sh("ip -o address"), "the address is back")
    cluster.client.await_answers()
    cluster.nothing_moved("serv1", epoch)
    cluster.observer.never_dual("serv1")


def test_the_standby_has_no_address(cluster):
    assert f" {ADDRESS}/" not in cluster.serv2.sh("ip -o address")
    ok, text = cluster.order("serv1", "move", target="serv2")
    assert ok, text
    cluster.until(lambda: f" {ADDRESS}/" not in cluster.serv1.sh("ip -o address"), "serv1 has let go of it")
    assert f" {ADDRESS}/" in cluster.serv2.sh("ip -o address")


def test_an_address_on_the_standby_that_somebody_adds_by_hand_does_not_speak(cluster):
    """The standby's gate is shut: what nobody may do by mistake, an administrator may not either."""
    cluster.serv2.run("ip", "address", "add", f"{ADDRESS}/32", "dev", "eth0")
    cluster.stays(2, lambda: cluster.observer.tenures() == ["serv1"], "serv2 says nothing")
    cluster.client.await_answers()


def test_the_sites_hooks_are_called_in_order(make_cluster):
    cluster = make_cluster(start=False, extra='\n[hooks]\nup = "/etc/hook up"\ndown = "/etc/hook down"\n')
    for node in cluster.lab.nodes:
        # One write, so that nobody reads half of it.
        node.write("/etc/hook", '#!/bin/sh\nprintf "%s\\n" "$1" "$(env | grep ^CLUSTERD)" >>/etc/hooked\n', mode=0o755)
    cluster.start()
    cluster.until(lambda: "up" in cluster.serv1.sh("cat /etc/hooked 2>/dev/null || true").split(),
                  "the hook was called")
    assert "web" in cluster.serv1.read("/etc/hooked")
    ok, text = cluster.order("serv1", "move", target="serv2")
    assert ok, text
    cluster.until(lambda: "down" in cluster.serv1.read("/etc/hooked").split(), "the other hook was called")
    cluster.until(lambda: "up" in cluster.serv2.sh("cat /etc/hooked 2>/dev/null || true").split(),
                  "serv2's hook was called")


def test_spare_nic_is_down_on_the_standby(make_cluster):
    cluster = make_cluster(mac="redundant")
    assert device_of(cluster.serv1, ADDRESS) == "eth2"
    assert "UP" not in cluster.serv2.sh("ip -o link show eth2").split("<")[1].split(">")[0].split(",")
    ok, text = cluster.order("serv1", "move", target="serv2")
    assert ok, text
    cluster.client.await_answers()
    cluster.until(lambda: "UP" not in cluster.serv1.sh("ip -o link show eth2").split("<")[1].split(">")[0].split(","),
                  "serv1's spare NIC is down")
    cluster.observer.never_dual("serv1", "serv2")
