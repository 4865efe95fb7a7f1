#!/usr/bin/python3
"""Process 1 of a cluster node: gives it its own files, waits for its NICs, starts sshd, reaps orphans.

Called by lab/hosts.py inside fresh pid, mount, uts, ipc and network namespaces. Everything that a power cycle
must forget (/run, pinned BPF programs, addresses) is created here; what a disk keeps lives under `disk`.
Talks to its creator in lines: prints "mounted", reads "go", prints "ready".
"""
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import uuid

LIBC = ctypes.CDLL(None, use_errno=True)
MS_NOSUID, MS_NODEV, MS_BIND = 2, 4, 4096
MNT_DETACH = 2


def mount(source, target, kind=None, flags=0, data=None):
    def text(value):
        return None if value is None else value.encode()

    if LIBC.mount(text(source), text(target), text(kind), ctypes.c_ulong(flags), text(data)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mount {kind or 'bind'} on {target}: {os.strerror(number)}")


def overlay(lower, disk):
    """A private, persistent version of a system folder: reads fall through, writes stay on the node's disk."""
    upper = os.path.join(disk, lower.strip("/").replace("/", "-"))
    work = upper + ".work"
    os.makedirs(upper, exist_ok=True)
    os.makedirs(work, exist_ok=True)
    mount("overlay", lower, "overlay", 0, f"lowerdir={lower},upperdir={upper},workdir={work}")


def private_files(spec):
    disk = spec["disk"]
    mount("sysfs", "/sys", "sysfs")
    mount("bpf", "/sys/fs/bpf", "bpf", 0, "mode=0700")
    overlay("/etc", disk)
    overlay("/var/lib", disk)
    os.makedirs(disk + "/srv", exist_ok=True)
    mount(disk + "/srv", "/srv", None, MS_BIND)
    if os.path.isdir("/root/.ssh"):  # nobody's own ssh settings may change a test
        os.makedirs(disk + "/root-ssh", mode=0o700, exist_ok=True)
        mount(disk + "/root-ssh", "/root/.ssh", None, MS_BIND)
    for name in (".bashrc", ".bash_profile", ".profile", ".zshenv"):  # nor what a login shell does before ssh's command
        if os.path.isfile("/root/" + name):
            mount("/dev/null", "/root/" + name, None, MS_BIND)
    for folder in ("/etc/cluster.d", "/var/lib/clusterd"):
        os.makedirs(folder, mode=0o700, exist_ok=True)
    mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755")
    for folder in ("/run/sshd", "/run/lock", "/run/nginx"):
        os.makedirs(folder, mode=0o755, exist_ok=True)
    with open(spec["boot_id_file"], "w", encoding="ascii") as out:
        out.write(str(uuid.uuid4()) + "\n")
    with open("/etc/hostname", "w", encoding="ascii") as out:
        out.write(spec["name"] + "\n")
    with open("/etc/hosts", "w", encoding="ascii") as out:
        out.write("127.0.0.1 localhost\n::1 localhost\n" + "".join(line + "\n" for line in spec["hosts"]))


def ip_batch(lines):
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines) + "\n", text=True, check=True)


def nics(spec):
    lines = ["link set lo up"]
    for nic in spec["nics"]:
        if not nic["addresses"]:
            continue
        for address in nic["addresses"]:
            lines.append(f"address add {address} dev {nic['name']}" + (" nodad" if ":" in address else ""))
        lines.append(f"link set {nic['name']} up")
    lines.append(f"route add default via {spec['gateway']}")
    ip_batch(lines)


def start_sshd(spec):
    keys = spec["keys"]
    subprocess.Popen(
        ["/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-h", keys + "/host_key",
         "-o", "PidFile=/run/sshd.pid", "-o", "UsePAM=no", "-o", "PermitRootLogin=yes",
         "-o", "PasswordAuthentication=no", "-o", "KbdInteractiveAuthentication=no", "-o", "StrictModes=no",
         "-o", "UseDNS=no", "-o", f"AuthorizedKeysFile={keys}/id.pub", "-o", "MaxStartups=100",
         # As installed: what the peer calls over ssh is found.
         "-o", "SetEnv=" + " ".join(f"{name}={value}" for name, value in spec["environment"].items())],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=open(spec["logs"] + "/sshd.log", "ab"), start_new_session=True)


def main():
    spec = json.loads(sys.argv[1])
    socket.sethostname(spec["name"])
    private_files(spec)
    print("mounted", flush=True)
    if sys.stdin.readline() != "go\n":
        return 1
    nics(spec)
    start_sshd(spec)
    print("ready", flush=True)
    null = os.open("/dev/null", os.O_RDWR)  # a caller that waits for the end of our output is not kept waiting
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.chdir("/")
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            signal.pause()


if __name__ == "__main__":
    sys.exit(main())
