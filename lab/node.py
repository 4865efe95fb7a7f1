"""A cluster node of the lab with its cluster daemon: processes started by hand below a small process 1."""
import json
import os
import signal
import time

from .hosts import LabError, NodeHost, Process
from .plan import BOOT_ID_FILE, NODES, ipv4, ipv6, node_number, ports_of
from . import tools


class Node(NodeHost):
    """A node with its cluster daemon."""

    def __init__(self, lab, name):
        number = node_number(name)
        disk = f"{lab.folder}/{name}"
        os.makedirs(disk, mode=0o700, exist_ok=True)
        spec = {
            "name": name, "disk": disk, "logs": lab.logs, "keys": lab.keys, "boot_id_file": BOOT_ID_FILE,
            "gateway": ipv4(1), "environment": lab.environment,
            "hosts": [f"{ipv4(10 + node_number(n))} {n}" for n in NODES]
            + [f"192.168.111.{node_number(n)} {n}-hb" for n in NODES],
            "nics": [
                {"name": "eth0", "addresses": [f"{ipv4(10 + number)}/24", f"{ipv6(10 + number)}/64"]},
                {"name": "eth1", "addresses": [f"192.168.111.{number}/24"]},
                {"name": "eth2", "addresses": []},
            ],
        }
        super().__init__(name, lab.logs, spec, lab.environment)
        self.lab = lab
        self.address = ipv4(10 + number)
        self.daemon = None

    # --- the daemon -------------------------------------------------------------------------------------
    def has_cluster(self):
        return os.path.exists(self.path("/etc/cluster.d/cluster.toml"))

    @staticmethod
    def program(name):
        return tools.program(name)

    def start_clusterd(self, *extra):
        self.daemon = self.spawn("clusterd", *self.lab.clusterd_command, self.program("clusterd"), *extra)
        return self.daemon

    def kill_clusterd(self):
        """It stays dead until start_clusterd()."""
        self.daemon.signal(signal.SIGKILL)
        self.daemon.wait_gone()

    def stop_clusterd(self):
        """As `systemctl stop clusterd` does it."""
        self.daemon.signal(signal.SIGTERM)
        self.daemon.wait_gone(60)

    def restart_clusterd(self):
        self.stop_clusterd()
        self.start_clusterd()

    def await_end_of_clusterd(self):
        """For a daemon that ends by itself."""
        self.daemon.wait_gone(60)

    def freeze(self):
        self.daemon.signal(signal.SIGSTOP)

    def thaw(self):
        self.daemon.signal(signal.SIGCONT)

    def ctl(self, *argv, check=True, timeout=60):
        return self.run(self.program("clusterctl"), *argv, check=check, timeout=timeout)

    def status(self):
        """`clusterctl status --json`, or None while the daemon does not answer."""
        done = self.ctl("status", "--json", check=False)
        try:
            return json.loads(done.stdout)
        except ValueError:
            return None

    def log_text(self, name="clusterd"):
        try:
            with open(f"{self.logs}/{self.name}-{name}.log", encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def boot_id(self):
        return self.read(BOOT_ID_FILE)

    # --- power ------------------------------------------------------------------------------------------
    def power_off(self):
        """Pulls the plug: ports dead and every process killed in the same instant. Returns that instant."""
        instant = time.monotonic()
        self.lab.ports.set(ports_of(self.name), up=False)
        self.kill()
        self.reap()
        self.daemon = None
        return instant

    def power_on(self, start_clusterd=True):
        if self.is_up():
            raise LabError(f"{self.name} is on")
        self.boot(plug_in=lambda pid: self.lab.plug_in(self.name, pid))
        for action in self.lab.at_boot:
            action(self)
        if start_clusterd:
            self.start_clusterd()

    # --- NICs -------------------------------------------------------------------------------------------
    def nic_down(self, nic):
        """The node's own NIC goes down (administratively, or the card died)."""
        self.run("ip", "link", "set", nic, "down")

    def nic_up(self, nic):
        """Up again, with what the distribution's network configuration would add."""
        lines = [f"link set {nic} up"]
        for entry in self.spec["nics"]:
            if entry["name"] == nic:
                for address in entry["addresses"]:
                    lines.append(f"address replace {address} dev {nic}" + (" nodad" if ":" in address else ""))
        if nic == "eth0":
            lines.append(f"route replace default via {ipv4(1)}")
        self.run("ip", "-batch", "-", input="\n".join(lines) + "\n")

    def unplug(self, nic):
        """The cable is pulled: both ends lose the carrier."""
        self.lab.ports.set([f"{self.name}-{nic}"], up=False)

    def plug(self, nic):
        self.lab.ports.set([f"{self.name}-{nic}"], up=True)

    def small_disk(self, path, size="2m"):
        """Puts a small filesystem on a folder of the node (for a full disk, or a mirror root that vanished)."""
        self.run("sh", "-c", 'mkdir -p "$1" && mount -t tmpfs -o size="$2" small "$1"', "sh", path, size)

    def unmount(self, path):
        self.run("umount", "-l", path)

    def saved(self):
        data = super().saved()
        if data and self.daemon:
            data["daemon"] = [self.daemon.pid, self.daemon.started]
        return data

    def restore(self, saved):
        super().restore(saved)
        if saved and saved.get("daemon"):
            self.daemon = Process(*saved["daemon"])
