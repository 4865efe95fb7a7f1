"""Those who manage a machine's network neither take the service's addresses away nor manage our devices."""
import shutil

import pytest

from lab import WebClient
from story import ADDRESS

CATCH_ALL = "[Match]\nType=ether\n\n[Network]\nDHCP=yes\n"  # somebody's file that would match our macvlan as well
MANAGERS = [
    pytest.param("networkd", "systemctl restart systemd-networkd", id="networkd"),
    pytest.param("networkd", "networkctl reload; networkctl reconfigure eth0", id="networkd-reconfigure"),
    pytest.param("ifupdown", "systemctl restart networking", id="ifupdown",
                 marks=pytest.mark.skipif(shutil.which("ifup") is None, reason="needs the package ifupdown")),
    pytest.param("NetworkManager", "systemctl restart NetworkManager", id="NetworkManager",
                 marks=pytest.mark.skipif(shutil.which("NetworkManager") is None,
                                          reason="needs the package network-manager")),
    pytest.param("NetworkManager", "nmcli connection reload; nmcli connection up eth0", id="NetworkManager-up",
                 marks=pytest.mark.skipif(shutil.which("NetworkManager") is None,
                                          reason="needs the package network-manager")),
]


@pytest.mark.slow
@pytest.mark.parametrize("mac", ["virtual", "none"])
@pytest.mark.parametrize("manager, disturbance", MANAGERS)
def test_the_service_stays_when_the_network_manager_is_restarted(make_cluster, manager, disturbance, mac):
    """ifupdown takes the NIC down for a moment: then the service may move, in order. The others must not disturb it."""
    cluster = make_cluster(machines={"network_manager": manager}, mac=mac)
    for node in cluster.lab.nodes:
        if manager == "networkd":
            node.write("/etc/systemd/network/90-all.network", CATCH_ALL)
    web = WebClient(cluster.lab, ADDRESS)
    web.await_answers()
    epoch = cluster.epoch("serv1")
    cluster.serv1.sh(disturbance)
    cluster.until(lambda: "active" in (cluster.role("serv1"), cluster.role("serv2")), "somebody serves")
    web.await_answers()
    cluster.stays(5, lambda: "active" in (cluster.role("serv1"), cluster.role("serv2")), "somebody serves")
    if manager != "ifupdown":
        cluster.nothing_moved("serv1", epoch)
        assert f" {ADDRESS}/" in cluster.serv1.sh("ip -o address")
        cluster.observer.never_dual("serv1")
    else:
        cluster.observer.never_dual()
    web.await_answers()
    if mac == "virtual" and manager != "ifupdown":
        unmanaged(cluster.serv1, manager)


def unmanaged(node, manager):
    if manager == "networkd":
        assert "unmanaged" in node.sh("networkctl --no-legend list cd-web")
    elif manager == "NetworkManager":
        states = node.sh("nmcli -t -f DEVICE,STATE device").split()
        assert "cd-web:unmanaged" in states, states
