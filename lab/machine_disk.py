"""The disk of a new machine: this system's own root below, and on top what makes a fresh server of it.

Only what the distribution's packages have installed shines through. What this machine has been told to start, what
it mounts, its keys, its logs and its people's files are hidden; programs of clusterd are installed, unless the test
installs them by itself (`programs=False`).
"""
import os
import secrets
import shutil
import stat

from . import tools

OF_A_SYSTEM = {"bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "media", "mnt", "opt", "proc",
               "root", "run", "sbin", "srv", "sys", "tmp", "usr", "var"}
EMPTY = ["home", "media", "mnt", "opt", "root", "srv", "tmp", "var/tmp", "var/log", "var/lib/clusterd", "usr/local",
         "var/lib/systemd", "etc/cluster.d", "etc/systemd/system", "etc/systemd/network", "etc/network/interfaces.d", "etc/netplan",
         "etc/NetworkManager/system-connections", "etc/nginx/sites-enabled", "etc/ssh", "etc/cron.d", "etc/modprobe.d"] \
    + [f"etc/rc{level}.d" for level in "0123456S"]
HIDDEN = ["usr/sbin/policy-rc.d", "etc/cloud", "var/lib/cloud"]
# udev would answer for the devices of the machine below; the consoles have nobody in front of them.
MASKED = ["systemd-udevd.service", "systemd-udevd-kernel.socket", "systemd-udevd-control.socket",
          "systemd-udev-trigger.service", "systemd-networkd-wait-online.service", "console-getty.service",
          "getty.target", "apt-daily.timer", "apt-daily-upgrade.timer", "man-db.timer", "e2scrub_all.timer"]
TREES = ("usr", "etc", "var")  # have to lie on the root's own filesystem
SRV = "/srv"  # on the filesystem below, for an overlay lets no live mirror follow its changes
NGINX_SITE = """server { listen 80 default_server; listen [::]:80 default_server; root /srv/web; autoindex on;
  add_header X-Node $hostname; }
"""
RESPONDER = "/usr/local/bin/responder"
RESPONDER_UNIT = f"""[Service]
ExecStart={RESPONDER} %i
"""
SSHD = """HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
UseDNS no
MaxStartups 100
Subsystem sftp /usr/lib/openssh/sftp-server
"""


class Disk:
    """What the machine has written (or was given) lies below `upper`, also while it is off."""

    def __init__(self, folder):
        self.folder = folder
        self.upper = folder + "/upper"
        self.srv = folder + SRV

    def exists(self):
        return os.path.isdir(self.upper)

    def path(self, path):
        if path == SRV or path.startswith(SRV + "/"):
            return self.folder + path
        return f"{self.upper}/{path.lstrip('/')}"

    def write(self, path, text, mode=0o644):
        full = self.path(path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)

    def link(self, path, target):
        full = self.path(path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        if not os.path.lexists(full):
            os.symlink(target, full)

    def enable(self, unit, enabled=True):
        """What `systemctl enable` does; for a machine that is off."""
        if enabled:
            self.link(_enabled(unit), f"/lib/systemd/system/{unit}")
        elif self.is_enabled(unit):
            os.unlink(self.path(_enabled(unit)))

    def is_enabled(self, unit):
        return os.path.lexists(self.path(_enabled(unit)))

    def hide(self, path):
        """The overlay's sign for "there is no such file"."""
        full = self.path(path)
        if os.path.lexists("/" + path) and not os.path.lexists(full):
            os.makedirs(os.path.dirname(full), exist_ok=True)
            os.mknod(full, stat.S_IFCHR, 0)

    def empty(self, path):
        """A folder with the mode of the one below, and nothing in it."""
        full = self.path(path)
        below = os.stat("/" + path) if os.path.isdir("/" + path) else None
        os.makedirs(full, exist_ok=True)
        if below:
            os.chmod(full, stat.S_IMODE(below.st_mode))
            os.setxattr(full, "trusted.overlay.opaque", b"y")


def _enabled(unit):
    return f"/etc/systemd/system/multi-user.target.wants/{unit}"


def make_disk(spec, programs=True):
    """Creates the disk of the machine that `spec` describes. Returns it."""
    disk = Disk(spec["disk"])
    for tree in TREES:
        if os.stat("/" + tree).st_dev != os.stat("/").st_dev:
            raise OSError(f"/{tree} is a filesystem of its own: machines of the lab need it on the root's")
    for folder in ("upper", "work", "root", "srv"):
        os.makedirs(f"{spec['disk']}/{folder}")
    for folder in (disk.upper, disk.srv):
        os.chmod(folder, 0o755)
    for entry in os.listdir("/"):
        if entry not in OF_A_SYSTEM:
            disk.hide(entry)
    for path in EMPTY:
        disk.empty(path)
    for path in HIDDEN:
        disk.hide(path)
    _identity(disk, spec)
    _services(disk)
    _sshd(disk, spec)
    _network(disk, spec)
    _podman(disk)
    _tools_of_tests(disk)
    if programs:
        tools.install(disk.upper)
    return disk


def _podman(disk):
    """What containers need inside of one: no overlay lies on another one, and control groups and keyrings are not the machine's."""
    disk.write("/etc/containers/storage.conf", """[storage]
driver = "vfs"
runroot = "/run/containers/storage"
graphroot = "/var/lib/containers/storage"
""")
    disk.write("/etc/containers/containers.conf", """[containers]
cgroups = "disabled"
keyring = false
""")


def _identity(disk, spec):
    disk.write("/etc/machine-id", secrets.token_hex(16) + "\n")
    disk.write("/etc/hostname", spec["name"] + "\n")
    disk.write("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n" + "".join(line + "\n" for line in spec["hosts"]))
    disk.write("/etc/fstab", "")
    disk.write("/etc/crypttab", "")
    disk.write("/etc/resolv.conf", "")
    os.makedirs(disk.path("/var/log/journal"))


def _services(disk):
    disk.link("/etc/systemd/system/default.target", "/lib/systemd/system/multi-user.target")
    for unit in MASKED:
        disk.link(f"/etc/systemd/system/{unit}", "/dev/null")
    disk.write("/etc/nginx/sites-enabled/default", NGINX_SITE)
    os.makedirs(disk.path("/var/log/nginx"))
    os.makedirs(disk.path("/srv/web"))


def _sshd(disk, spec):
    keys = spec["keys"]
    for name, target, mode in (("host_key", "/etc/ssh/ssh_host_ed25519_key", 0o600),
                               ("host_key.pub", "/etc/ssh/ssh_host_ed25519_key.pub", 0o644),
                               ("id.pub", "/root/.ssh/authorized_keys", 0o600),
                               ("id", f"{keys}/id", 0o600), ("known_hosts", f"{keys}/known_hosts", 0o644)):
        with open(f"{keys}/{name}", encoding="ascii") as file:
            disk.write(target, file.read(), mode)
    disk.write("/etc/ssh/sshd_config", SSHD)
    disk.enable("ssh.service")


def _network(disk, spec):
    """As an administrator configures it, for each of the usual managers; one of them is started."""
    manager = spec["network_manager"]
    interfaces = ["auto lo", "iface lo inet loopback"]
    for nic in spec["nics"]:
        if not nic["addresses"]:
            continue
        name, addresses = nic["name"], nic["addresses"]
        gateway = spec["gateway"] if name == "eth0" else ""
        lines = ["[Match]", f"Name={name}", "", "[Network]", "IPv6AcceptRA=no", "LinkLocalAddressing=ipv6"]
        lines += [f"Address={address}" for address in addresses] + ([f"Gateway={gateway}"] if gateway else [])
        four = [address for address in addresses if ":" not in address]
        six = [address for address in addresses if ":" in address]
        interfaces += [f"auto {name}", f"iface {name} inet static", f"  address {four[0]}"]
        interfaces += [f"  gateway {gateway}"] if gateway else []
        for address in six:
            interfaces += [f"iface {name} inet6 static", f"  address {address}", "  dad-attempts 0"]
        keyfile = ["[connection]", f"id={name}", "type=ethernet", f"interface-name={name}", "", "[ipv4]",
                   "method=manual", f"address1={four[0]}" + (f",{gateway}" if gateway else ""), "", "[ipv6]",
                   "method=" + ("manual" if six else "disabled")] + [f"address1={address}" for address in six]
        if manager == "networkd":
            disk.write(f"/etc/systemd/network/10-{name}.network", "\n".join(lines) + "\n")
        elif manager == "NetworkManager":
            disk.write(f"/etc/NetworkManager/system-connections/{name}.nmconnection", "\n".join(keyfile) + "\n",
                       0o600)
    disk.write("/etc/network/interfaces", "\n".join(interfaces if manager == "ifupdown" else interfaces[:2]) + "\n")
    disk.enable({"networkd": "systemd-networkd.service", "ifupdown": "networking.service",
                 "NetworkManager": "NetworkManager.service"}[manager])


def _tools_of_tests(disk):
    for folder in ("/usr/local/bin", "/usr/local/sbin"):
        os.makedirs(disk.path(folder), exist_ok=True)
    shutil.copy(tools.helper("responder"), disk.path(RESPONDER))
    disk.write("/etc/systemd/system/responder@.service", RESPONDER_UNIT)
    disk.write("/etc/tmpfiles.d/lab.conf", "d /run/nginx\n")  # of an nginx that clusterd starts by its command
