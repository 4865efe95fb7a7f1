"""New NICs for a node that boots, on the same switch ports as ever."""
import json

from .plan import NICS, SWITCH_OF, mac_of


def port_states(run, node):
    """{port: (up, isolated)} of the node's cables that are there. `run` runs a command at the switches."""
    states = {}
    for nic in NICS:
        port = f"{node}-{nic}"
        done = run("ip", "-json", "-details", "link", "show", "dev", port, check=False)
        try:
            link = json.loads(done.stdout)[0]
        except (ValueError, IndexError):
            continue
        slave = link.get("linkinfo", {}).get("info_slave_data", {})
        states[port] = ("UP" in link["flags"], bool(slave.get("isolated")))
    return states


def plug_in(run, node, pid, states=None):
    """Gives the network namespace of process `pid` its NICs. The ports are up, or as `states` says."""
    lines = []
    for nic in NICS:
        port = f"{node}-{nic}"
        up, isolated = (states or {}).get(port, (True, False))
        run("ip", "link", "del", port, check=False)  # of the previous life, unless gone already
        lines.append(f"link add {port} type veth peer name {nic} address {mac_of(node, nic)} netns {pid}")
        lines.append(f"link set {port} master {SWITCH_OF[nic]} {'up' if up else 'down'}")
        if isolated:
            lines.append(f"link set {port} type bridge_slave isolated on")
    run("ip", "-batch", "-", input="\n".join(lines) + "\n")
