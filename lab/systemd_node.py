"""A node with its own systemd as process 1: units, D-Bus, journal, boot and reboot are real.

The same faults as any node's (lab/node.py). clusterd is `clusterd.service` here, installed as by its package:
what systemd does after a crash, at boot or before a shutdown happens here as well. lab/machine.py is the machine.
"""
import json
import os
import shutil
import signal
import subprocess
import sys

from .control_groups import remove_groups
from .hosts import HERE, Host, LabError, Process, children, wait_for
from .machine_disk import Disk, make_disk
from .node import Node

PATIENCE = 90
UNIT = "clusterd.service"
DROP_IN = f"/run/systemd/system/{UNIT}.d/lab.conf"


def group_of(lab_name, node=""):
    return f"clusterlab-{lab_name}-{node}"


class SystemdNode(Node):
    def __init__(self, lab, name, network_manager="networkd", programs=True):
        super().__init__(lab, name)
        self.environment = {"LC_ALL": "C.UTF-8", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        self.programs = programs
        self.spec |= {"machine": f"{lab.name}-{name}", "group": group_of(lab.name, name),
                      "network_manager": network_manager, "shared": lab.shared}
        self.disk_image = Disk(self.disk)

    # --- life -------------------------------------------------------------------------------------------
    def boot(self, plug_in=None):
        """`plug_in` is not asked: the machine plugs its NICs in by itself, at every boot."""
        if not self.disk_image.exists():
            make_disk(self.spec, self.programs)
        switch = os.open(f"/proc/{self.lab.switch.init.pid}/ns/net", os.O_RDONLY)
        os.set_inheritable(switch, True)
        isolated = {port: (True, True) for port in self.lab.isolated_ports(self.name)}
        spec = {**self.spec, "switch": switch, "ports": isolated}
        command = ["unshare", "--pid", "--mount", "--mount-proc", "--ipc", "--uts", "--propagation", "private",
                   "--fork", "--kill-child", sys.executable, HERE + "/machine.py", json.dumps(spec)]
        with self._log("console") as console:
            self._launch(command, stdin=subprocess.DEVNULL, stdout=console, pass_fds=(switch,))
        os.close(switch)
        self.await_boot()

    def system_pid(self):
        """systemd's process, as the lab sees it; None while there is none."""
        for container in children(self.init.pid) if self.init else []:
            if _name(container) == "systemd-nspawn":
                for pid in children(container):
                    if _name(pid) == "systemd":
                        return pid
        return None

    def await_boot(self, after=None):
        """Until systemd (another one than `after`) says that the system runs."""
        def up():
            if not self.is_up():
                raise LabError(f"{self.name} did not boot; see {self.logs}/{self.name}-console.log")
            pid = self.system_pid()
            if pid in (None, after):
                return False
            try:
                return self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded")
            except LabError:
                return False
        wait_for(up, PATIENCE, f"{self.name} boots", every=0.05)

    def reboot(self):
        """`systemctl reboot`, until the system is up again."""
        before = self.system_pid()
        self.run("systemctl", "reboot", check=False)
        self.await_boot(after=before)

    def shut_down(self):
        """`systemctl poweroff`, until the machine is off."""
        self.run("systemctl", "poweroff", check=False)
        wait_for(lambda: not self.is_up(), PATIENCE, f"{self.name} powers off", every=0.05)
        self.reap()

    def scrap(self):
        """Another machine with an empty disk takes this one's place, and is switched on."""
        if self.is_up():
            self.power_off()
        shutil.rmtree(self.disk_image.folder)
        os.makedirs(self.disk_image.folder)
        self.power_on(start_clusterd=False)

    def reap(self):
        super().reap()
        wait_for(lambda: remove_groups(self.spec["group"]), 30, f"the control groups of {self.name} are removed")

    def power_on(self, start_clusterd=True):
        """clusterd.service is enabled, or not, before the machine boots."""
        if self.disk_image.exists():
            self.disk_image.enable(UNIT, start_clusterd)
        super().power_on(start_clusterd)

    # --- running things ---------------------------------------------------------------------------------
    def _enter(self):
        pid = self.system_pid()
        if pid is None:
            raise LabError(f"{self.name} is off")
        return ["nsenter", "--target", str(pid), "--net", "--uts", "--pid", "--mount", "--ipc", "--cgroup", "--root",
                "--wdns=/"]

    def spawn(self, name, *argv):
        with self._log(name) as log:
            process = self.popen(*argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        return Process(wait_for(lambda: children(process.pid), 10, f"{self.name}: {argv[0]} starts")[0])

    def root(self):
        return f"/proc/{self.system_pid()}/root"

    def path(self, path):
        return self.disk_image.path(path)

    def _outer_pid(self, inner):
        for pid in children(self.system_pid()):
            with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
                if any(line.startswith("NSpid:") and int(line.split()[-1]) == inner for line in file):
                    return pid
        return None

    # --- the daemon -------------------------------------------------------------------------------------
    @property
    def daemon(self):
        """The main process of clusterd.service; None while there is none."""
        if not self.is_up() or self.system_pid() is None:
            return None
        inner = int(self.run("systemctl", "show", "-P", "MainPID", UNIT, check=False).stdout.strip() or 0)
        return self.process(inner) if inner else None

    @daemon.setter
    def daemon(self, _):
        """Its systemd knows it; nothing to keep here."""

    @staticmethod
    def program(name):
        return f"/usr/bin/{name}"

    def start_clusterd(self, *extra):
        if extra:
            raise LabError("clusterd.service takes no arguments: write a drop-in")
        if self.run("rm", DROP_IN, check=False).returncode == 0:
            self.sh(f"systemctl daemon-reload; systemctl reset-failed {UNIT}")
        if not self.disk_image.is_enabled(UNIT):
            self.run("systemctl", "enable", "--quiet", UNIT)
        self.run("systemctl", "start", "--no-block", UNIT)
        return self.daemon

    def stop_clusterd(self):
        self.run("systemctl", "stop", UNIT)

    def restart_clusterd(self):
        self.run("systemctl", "restart", UNIT)

    def kill_clusterd(self, restarts=False):
        """It stays dead until start_clusterd(), unless its systemd `restarts` it."""
        if not restarts:
            self.write(DROP_IN, "[Service]\nRestart=no\n")
            self.run("systemctl", "daemon-reload")
        killed = self.daemon
        killed.signal(signal.SIGKILL)
        killed.wait_gone()

    def await_end_of_clusterd(self):
        def ended():
            return self.run("systemctl", "show", "-P", "ActiveState", UNIT).stdout.strip() in ("inactive", "failed")
        wait_for(ended, PATIENCE, f"{UNIT} of {self.name} ends", every=0.05)

    def boot_id(self):
        return self.read("/proc/sys/kernel/random/boot_id")

    def log_text(self, name="clusterd"):
        if name != "clusterd":
            return super().log_text(name)
        if self.is_up() and self.system_pid():
            self.run("journalctl", "--sync", check=False)
        done = subprocess.run(["journalctl", "--directory", self.path("/var/log/journal"), "-u", name, "--no-pager",
                               "-o", "short-precise"], text=True, capture_output=True, check=False, errors="replace")
        return done.stdout

    # --- NICs -------------------------------------------------------------------------------------------
    def nic_up(self, nic):
        """Up again; what else it needs is up to the machine's own network manager."""
        self.run("ip", "link", "set", nic, "up")

    def saved(self):
        return Host.saved(self)

    def restore(self, saved):
        Host.restore(self, saved)


def _name(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="ascii", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""
