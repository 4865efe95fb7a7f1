"""The lab: who is connected to what, and every fault that can be put on it.

    serv1, serv2   eth0 on the LAN switch, eth1 on the heartbeat switch, eth2 (redundant, down) on the LAN switch
    r1             192.168.1.1, router and reference host          r2   192.168.1.2, second reference host
    c              192.168.1.50, client                            obs  192.168.1.60, observer's questions

The switches are bridges in a namespace of their own ("switch"), with ports named serv1-eth0, r1, …
"""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

from . import cabling, tools
from .control_groups import remove_groups
from .hosts import Host, LabError, Switch, is_running, start_time, wait_for
from .netlink import Ports
from .node import Node
from .plan import (BOOT_ID_FILE, HEARTBEAT, LAN, NICS, NODES, PLAIN_HOSTS, SWITCH_OF, default_machines, ipv4,  # noqa: F401
                   ipv6, mac_of, node_number, other, ports_of)
from .systemd_node import SystemdNode, group_of

BASE = os.environ.get("CLUSTERLAB_DIR", "/var/tmp/clusterlab")


class Lab:
    """Use as a context manager, or call up() and down(). Everything goes away with its owner unless `keep`."""

    def __init__(self, name=None, keep=False, log=None, machines=None):
        """`machines`: the nodes are machines with their own systemd; options of SystemdNode, {} for its defaults."""
        self.machines = machines
        self.name = name or f"cdl{os.getpid()}-{random.randrange(0x10000):04x}"
        self.folder = f"{BASE}/{self.name}"
        self.logs = self.folder + "/logs"
        self.keys = self.folder + "/keys"
        self.shared = self.folder + "/shared"  # a folder that nodes of every kind see, under this name
        self.keep = keep
        self.log = log or (lambda text: None)
        self.environment = {"CLUSTERD_BOOT_ID_FILE": BOOT_ID_FILE, "LC_ALL": "C.UTF-8",
                            "PATH": tools.path_variable()}
        self.clusterd_command = []  # put in front of clusterd: ["env", "X=1"], ["chrt", …]
        self.at_boot = []           # called with each node after its power came on, before its daemon
        self.hosts = {}
        self.ports = None
        self._owner = [os.getpid(), start_time(os.getpid())]
        self._janitor = None
        self._watchers = []
        self._isolated = set()

    def __enter__(self):
        return self.up()

    def __exit__(self, *_):
        self.down()

    def __getitem__(self, name):
        return self.hosts[name]

    @property
    def nodes(self):
        return [self.hosts[name] for name in NODES]

    @property
    def switch(self):
        return self.hosts["switch"]

    # --- life -------------------------------------------------------------------------------------------
    def up(self, power_on=True):
        if os.geteuid() != 0:
            raise LabError("the lab needs root (namespaces, raw sockets)")
        os.makedirs(BASE, mode=0o700, exist_ok=True)
        for folder in (self.folder, self.logs, self.keys, self.shared):
            os.makedirs(folder, mode=0o700)
        try:
            self._make_keys()
            self._create_hosts()
            self._save()
            if not self.keep:
                self._start_janitor()
            self._connect_hosts()
            if power_on:
                self.power_on_all(start_clusterd=False)
        except BaseException:
            self.down()
            raise
        return self

    def _make_keys(self):
        for key in ("host_key", "id"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", f"{self.keys}/{key}"],
                           check=True)
        with open(f"{self.keys}/host_key.pub", encoding="ascii") as file:
            kind_and_key = " ".join(file.read().split()[:2])
        with open(f"{self.keys}/known_hosts", "w", encoding="ascii") as file:
            file.write(f"* {kind_and_key}\n")

    def _create_hosts(self):
        self.hosts["switch"] = Switch("switch", self.logs)
        for name in PLAIN_HOSTS:
            self.hosts[name] = Host(name, self.logs, self.environment)
        for host in self.hosts.values():
            host.boot()
        for name in NODES:
            self.hosts[name] = self._new_node(name)

    def _new_node(self, name):
        return Node(self, name) if self.machines is None else SystemdNode(self, name, **self.machines)

    def _start_janitor(self):
        self._janitor = subprocess.Popen([sys.executable, os.path.dirname(__file__) + "/janitor.py", self.name],
                                         stdin=subprocess.PIPE, start_new_session=True)

    def _connect_hosts(self):
        lines = ["link set lo up"]
        for bridge in (LAN, HEARTBEAT):
            lines.append(f"link add {bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0")
            lines.append(f"link set {bridge} up")
        for name in PLAIN_HOSTS:
            lines.append(f"link add {name} type veth peer name eth0 netns {self[name].init.pid}")
            lines.append(f"link set {name} master {LAN} up")
        self._ip(self.switch, lines)
        self.switch.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
        self.switch.sh("nft -f - <<'X'\n"
                       "table bridge faults {\n chain forward { type filter hook forward priority 0; }\n}\nX")
        for name, last in PLAIN_HOSTS.items():
            self[name].run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0")
            self._ip(self[name], ["link set lo up", "link set eth0 up", f"address add {ipv4(last)}/24 dev eth0",
                                  f"address add {ipv6(last)}/64 dev eth0 nodad"])
            if name != "r1":
                self._ip(self[name], [f"route add default via {ipv4(1)}"])
        self["r1"].run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.ports = Ports(self.switch.init.pid)

    @staticmethod
    def _ip(host, lines):
        host.run("ip", "-batch", "-", input="\n".join(lines) + "\n")

    def plug_in(self, node, pid):
        isolated = {port: (True, True) for port in self.isolated_ports(node)}
        cabling.plug_in(self.switch.run, node, pid, isolated)

    def isolated_ports(self, node):
        return sorted(port for port in self._isolated if port.startswith(node + "-"))

    def power_on_all(self, start_clusterd=True):
        failures = []

        def boot(node):
            try:
                node.power_on(start_clusterd)
            except Exception as error:  # pylint: disable=broad-except
                failures.append(error)

        threads = [threading.Thread(target=boot, args=(node,)) for node in self.nodes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        self._save()

    def down(self):
        for watcher in self._watchers:
            watcher.close()
        self._watchers.clear()
        if self.ports is not None:
            self.ports.close()
            self.ports = None
        for host in self.hosts.values():
            host.kill()
        for host in self.hosts.values():
            try:
                host.reap()
            except (LabError, subprocess.TimeoutExpired):
                pass
        if not os.environ.get("CLUSTERLAB_KEEP_FILES"):
            shutil.rmtree(self.folder, ignore_errors=True)
        if self._janitor is not None:
            self._janitor.stdin.close()
            self._janitor.wait()
            self._janitor = None

    def add_watcher(self, watcher):
        """Something with close() that has to end before the hosts do."""
        self._watchers.append(watcher)

    # --- faults of the network --------------------------------------------------------------------------
    def host_down(self, name):
        """A reference host (or the client) is gone: its port is dead, nobody else notices."""
        self.ports.set([name], up=False)

    def host_up(self, name):
        self.ports.set([name], up=True)

    def switch_down(self, switch=LAN):
        """The switch loses its power: every port on it loses the carrier."""
        self.ports.set(self._ports_on(switch), up=False)

    def switch_up(self, switch=LAN):
        self.ports.set(self._ports_on(switch), up=True)

    def _ports_on(self, switch):
        ports = [f"{node}-{nic}" for node in NODES if self[node].is_up() for nic in NICS
                 if SWITCH_OF[nic] == switch]
        return ports + (list(PLAIN_HOSTS) if switch == LAN else [])

    def cut_between_nodes(self):
        """The heartbeat cable is out, and the nodes' ports of the LAN switch do not talk to each other."""
        self.isolate_nodes()
        for node in NODES:
            self.ports.set([f"{node}-eth1"], up=False)

    def join_nodes(self):
        for node in NODES:
            self.ports.set([f"{node}-eth1"], up=True)
        self.isolate_nodes(False)

    def isolate_nodes(self, isolated=True):
        """Only between each other; everybody else on the LAN is still reached."""
        ports = [f"{node}-{nic}" for node in NODES for nic in ("eth0", "eth2")]
        self._isolated = set(ports) if isolated else set()
        self._isolate([port for port in ports if self[port.split("-")[0]].is_up()], isolated)

    def _isolate(self, ports, isolated):
        for port in ports:
            self.switch.run("bridge", "link", "set", "dev", port, "isolated", "on" if isolated else "off")

    def drop(self, source, target=None, percent=100, match=""):
        """Frames from the port(s) of `source` to those of `target` (None: to everybody) vanish, one way.

        A port is a name like "serv1-eth0" or "r1"; a host's name means all its ports. Carriers stay.
        """
        chance = "" if percent >= 100 else f"numgen random mod 1000 < {round(percent * 10)}"
        goal = f"oifname {self._port_set(target)}" if target else ""
        rule = f"iifname {self._port_set(source)} {goal} {match} {chance} counter drop"
        self.switch.run("nft", "add", "rule", "bridge", "faults", "forward", rule)

    def cut(self, one, two, percent=100):
        """Silently, both ways."""
        self.drop(one, two, percent)
        self.drop(two, one, percent)

    def heal(self):
        """All drops, cuts and isolations end; ports that were switched off stay off."""
        self.switch.run("nft", "flush", "chain", "bridge", "faults", "forward")
        if self._isolated:
            self.isolate_nodes(False)

    @staticmethod
    def _port_set(name):
        names = ports_of(name) if name in NODES else [name]
        return "{ " + ", ".join(f'"{port}"' for port in names) + " }"

    # --- for the command lab/lab ------------------------------------------------------------------------
    def _save(self):
        data = {"name": self.name, "owner": self._owner, "keep": self.keep, "machines": self.machines,
                "isolated": sorted(self._isolated),
                "hosts": {name: host.saved() for name, host in self.hosts.items()}}
        temporary = self.folder + "/lab.json.new"
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(data, file)
        os.replace(temporary, self.folder + "/lab.json")

    save = _save

    @classmethod
    def attach(cls, name, log=None):
        """The lab of another process, to look into it or to put a fault on it."""
        data = _load(name)
        if data is None:
            raise LabError(f"there is no lab {name}")
        lab = cls(name, keep=data["keep"], log=log, machines=data["machines"])
        lab._owner = data["owner"]
        lab._isolated = set(data["isolated"])
        for host in data["hosts"]:
            if host in NODES:
                lab.hosts[host] = lab._new_node(host)
            else:
                lab.hosts[host] = (Switch(host, lab.logs) if host == "switch"
                                   else Host(host, lab.logs, lab.environment))
            lab.hosts[host].restore(data["hosts"][host])
        if lab.hosts["switch"].is_up():
            lab.ports = Ports(lab.hosts["switch"].init.pid)
        return lab


def _load(name):
    try:
        with open(f"{BASE}/{name}/lab.json", encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def labs():
    try:
        return sorted(name for name in os.listdir(BASE) if os.path.isdir(f"{BASE}/{name}"))
    except OSError:
        return []


def is_stale(name):
    """Not meant to be kept, and its owner is gone."""
    data = _load(name)
    if data is None:  # being created just now, or never finished
        try:
            return time.time() - os.stat(f"{BASE}/{name}").st_mtime > 60
        except OSError:
            return False
    return not data["keep"] and not is_running(*data["owner"])


def take_down(name):
    """Kills a lab from outside: by what its file says, and by whatever was started in its folder since."""
    data = _load(name)
    folder = f"{BASE}/{name}"
    pids = []
    for saved in (data or {"hosts": {}})["hosts"].values():
        if saved and is_running(saved["pid"], saved["started"]):
            pids.append(saved["pid"])
    pids += _boots_of(folder)  # nodes that were switched on after the file was written
    for pid in set(pids):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    try:
        wait_for(lambda: not _boots_of(folder), 30, "nodes end")
        wait_for(lambda: remove_groups(group_of(name)), 30, "control groups of nodes are empty")
    except LabError:
        pass
    if not os.environ.get("CLUSTERLAB_KEEP_FILES"):
        shutil.rmtree(folder, ignore_errors=True)


def _boots_of(folder):
    """Processes 1 of nodes whose disk lies in the folder."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if any(word.endswith((b"/node_init.py", b"/machine.py")) for word in words) and folder.encode() + b"/" in b" ".join(words):
            found.append(int(entry))
    return found
