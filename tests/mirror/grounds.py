"""Where the trees lie: a file system for the source and one for the target, of each kind that is worth a test.

ext4, xfs and btrfs are made in files and mounted by loop devices; tmpfs needs nothing; overlay (over tmpfs) is one whose
handles cannot be opened, so that changes there cannot be followed. All is below one folder of
/var/tmp, unmounted and removed at the end; with keep_private() the kernel does the unmounting in any case.
"""
import contextlib
import ctypes
import os
import shutil
import subprocess
import tempfile

MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-I", "256"],
    "xfs": ["mkfs.xfs", "-q", "-f"],
    "btrfs": ["mkfs.btrfs", "-q", "-f"],
}
KINDS = (*MAKE, "tmpfs", "overlay", "here")
OPTIONS = {"ext4": "loop", "xfs": "loop", "btrfs": "loop", "tmpfs": ""}


CLONE_NEWNS = 0x20000


def keep_private():
    """What this process mounts from now on is seen by it and its children alone, and is gone when they are, however
    they end."""
    if os.geteuid() == 0 and ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) == 0:
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)


class NotHere(Exception):
    """This machine lacks what the file system needs."""


def missing_for(kind):
    """Why `kind` cannot be used here; "" if it can."""
    if kind == "here":
        return ""
    if os.geteuid() != 0:
        return "mounting needs root"
    if kind in MAKE and not shutil.which(MAKE[kind][0], path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
        return f"{MAKE[kind][0]} is not installed"
    with open("/proc/filesystems", encoding="ascii") as file:
        known = [line.split()[-1] for line in file]
    if kind not in known:
        subprocess.run(["modprobe", "-q", kind], check=False)
        with open("/proc/filesystems", encoding="ascii") as file:
            if kind not in [line.split()[-1] for line in file]:
                return f"the kernel has no {kind}"
    return ""


def mount(kind, place, megabytes, image):
    """A new file system of `kind` at `place`."""
    os.makedirs(place)
    if kind == "here":
        return
    if kind == "overlay":
        parts = f"{place}-parts"
        mount("tmpfs", parts, megabytes, image)
        for part in ("lower", "upper", "work"):
            os.mkdir(f"{parts}/{part}")
        command = ["mount", "-t", "overlay", "-o", f"lowerdir={parts}/lower,upperdir={parts}/upper,workdir={parts}/work",
                   "clusterd-test", place]
    elif kind == "tmpfs":
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "clusterd-test", place]
    else:
        with open(image, "wb") as file:
            file.truncate(megabytes << 20)
        subprocess.run([*MAKE[kind], image], check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
        command = ["mount", "-t", kind, "-o", OPTIONS[kind], image, place]
    subprocess.run(command, check=True)
    if os.path.exists(image):
        os.unlink(image)  # the loop device holds it


def unmount(place):
    if os.path.ismount(place) and subprocess.run(["umount", place], check=False).returncode != 0:
        subprocess.run(["umount", "-l", place], check=True)


class Ground:
    """Two file systems of one kind, and on each a folder that a mirror's root can be in."""

    def __init__(self, kind, megabytes=1024, target_kind=None, target_megabytes=None):
        reason = missing_for(kind) or missing_for(target_kind or kind)
        if reason:
            raise NotHere(reason)
        self.kind = kind
        self.folder = tempfile.mkdtemp(prefix="clusterd-mirror-", dir="/var/tmp")
        os.chmod(self.folder, 0o755)
        self.source = f"{self.folder}/source"
        self.target = f"{self.folder}/target"
        self.state = f"{self.folder}/state"
        os.mkdir(self.state)
        self._count = 0
        try:
            mount(kind, self.source, megabytes, f"{self.folder}/source.img")
            mount(target_kind or kind, self.target, target_megabytes or megabytes, f"{self.folder}/target.img")
        except BaseException:
            self.close()
            raise

    def place(self):
        """New names for one test: (root of the source, root of the target, folder for state)."""
        self._count += 1
        return tuple(f"{self.folder}/{side}/{self._count}" for side in ("source", "target", "state"))

    def close(self):
        places = [place + part for place in (self.source, self.target) for part in ("", "-parts")]
        for place in places:
            with contextlib.suppress(subprocess.CalledProcessError):
                unmount(place)
        if not any(os.path.ismount(place) for place in places):
            shutil.rmtree(self.folder, ignore_errors=True)
