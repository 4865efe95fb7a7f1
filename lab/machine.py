#!/usr/bin/python3
"""The machine of a node with its own systemd: disk, NICs and power supply.

Called by lab/systemd_node.py as process 1 of fresh pid, mount, ipc and uts namespaces: killing it is pulling the
plug, for everything that runs in it ends in the same instant. It mounts the disk (the machine's root, with what the
node has written on top), makes a network namespace with the node's NICs, and boots systemd in a container. When that
reboots, the NICs are made anew as well: what a kernel forgets is forgotten. When it powers off, the machine ends.
"""
import ctypes
import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from lab import cabling, control_groups  # noqa: E402

# What a server's kernel grants to root and systemd-nspawn does not: gates and clocks, and changes that a live mirror follows.
CALLS = "bpf perf_event_open @clock fanotify_init fanotify_mark open_by_handle_at"
REBOOT = 133  # systemd-nspawn --keep-unit: the container wants to be started again
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


def mount(source, target, kind, data):
    os.makedirs(target, exist_ok=True)
    if LIBC.mount(source.encode(), target.encode(), kind.encode(), 0, data.encode()) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mount {kind} on {target}: {os.strerror(number)}")


def dies_with_us():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Machine:
    def __init__(self, spec):
        self.spec = spec
        self.name = spec["name"]
        self.root = spec["disk"] + "/root"

    def at_the_switch(self, *argv, check=True, input=None):  # pylint: disable=redefined-builtin
        descriptor = self.spec["switch"]
        return subprocess.run(["nsenter", f"--net=/proc/self/fd/{descriptor}", *argv], text=True, check=check,
                              capture_output=True, input=input, pass_fds=(descriptor,))

    def new_network(self, states):
        """A process that holds a fresh network namespace with the node's NICs."""
        holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], preexec_fn=dies_with_us,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        ours = os.readlink("/proc/self/ns/net")
        while os.readlink(f"/proc/{holder.pid}/ns/net") == ours:
            time.sleep(0.001)
        cabling.plug_in(self.at_the_switch, self.name, holder.pid, states)
        return holder

    def boot(self, holder, number):
        """One life of the container; returns how it ended."""
        pins = f"/run/bpf-{number}"
        mount("bpf", pins, "bpf", "mode=0700")
        command = ["systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--console=pipe",
                   f"--directory={self.root}", f"--machine={self.spec['machine']}", f"--hostname={self.name}",
                   f"--network-namespace-path=/proc/{holder.pid}/ns/net", f"--bind={pins}:/sys/fs/bpf",
                   f"--bind={self.spec['disk']}/srv:/srv", f"--bind={self.spec['shared']}",
                   "--capability=all", f"--system-call-filter={CALLS}",
                   "--resolv-conf=off", "--timezone=off", "--link-journal=no"]
        container = subprocess.Popen(command, preexec_fn=dies_with_us, stdin=subprocess.DEVNULL,
                                     env={**os.environ, "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"})
        while True:  # as process 1 we are left everybody's orphans
            pid, status = os.wait()
            if pid == container.pid:
                container.returncode = os.waitstatus_to_exitcode(status)
                return container.returncode

    def run(self):
        control_groups.join(self.spec["group"])
        disk = self.spec["disk"]
        mount("overlay", self.root, "overlay", f"lowerdir=/,upperdir={disk}/upper,workdir={disk}/work")
        mount("tmpfs", "/run", "tmpfs", "mode=0755")
        states, number = self.spec["ports"], 0
        while True:
            holder = self.new_network(states)
            result = self.boot(holder, number)
            states = cabling.port_states(self.at_the_switch, self.name)  # a pulled cable stays pulled
            holder.kill()
            if result != REBOOT:
                return result
            number += 1


if __name__ == "__main__":
    sys.exit(Machine(json.loads(sys.argv[1])).run())
