"""Who has which name, NIC, port and address in the lab."""
import os

NODES = ("serv1", "serv2")
NICS = ("eth0", "eth1", "eth2")
LAN, HEARTBEAT = "lan", "hb"
SWITCH_OF = {"eth0": LAN, "eth1": HEARTBEAT, "eth2": LAN}
PLAIN_HOSTS = {"r1": 1, "r2": 2, "c": 50, "obs": 60}
BOOT_ID_FILE = "/run/boot-id"
KINDS = ("namespaces", "systemd")
# What a node is where nobody asks for a kind.
KIND = os.environ.get("CLUSTERD_HOSTS") or KINDS[0]
if KIND not in KINDS:
    raise ValueError(f"CLUSTERD_HOSTS={KIND}: there are {' and '.join(KINDS)}")


def ipv4(last):
    return f"192.168.1.{last}"


def ipv6(last):
    return f"fd00::{last}"


def node_number(node):
    return NODES.index(node) + 1


def mac_of(node, nic):
    return f"02:cd:0{node_number(node)}:00:00:0{NICS.index(nic)}"


def ports_of(node):
    return [f"{node}-{nic}" for nic in NICS]


def default_machines():
    """The option `machines` of Lab for nodes of the kind that is asked for."""
    return {} if KIND == "systemd" else None


def other(node):
    return NODES[1 - NODES.index(node)]
