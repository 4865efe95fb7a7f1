"""The state store under power cuts: what it reported as durable is there afterwards, and never anything older."""
import os

from . import disk as disks
from . import machine

_START = """
mkdir /disk
mount -t $FS /dev/vda /disk || echo "error the disk cannot be mounted" >&3
exec env ${FORGET:+LD_PRELOAD=/lib/forget_sync.so} machine_guest state
"""


class StateStore:
    """What a campaign needs of its subject: disks, the initramfs, and a judge of the lines."""

    waiting = ("durable",)  # promises: a cut right after one is most telling
    working = ()  # after these something takes a while
    mean_lines = 20  # of these kinds before the cut
    mean_writes = 100  # before the cut

    def __init__(self, folder, build, filesystem):
        self._build = build
        self._filesystem = filesystem
        image = os.path.join(folder, "disk.img")
        disks.make_image(image, filesystem)
        self.images = [image]
        self.reported = 0  # the newest version that was promised
        self.findings = []
        self._told = 0

    def initramfs(self):
        root = machine.Initramfs(_START, (self._filesystem,))
        root.program(os.path.join(self._build, "tests/campaign/machine/machine_guest"))
        root.program(os.path.join(self._build, "tests/campaign/machine/libforget_sync.so"), "/lib/forget_sync.so")
        return root

    def parameters(self, rng):
        self._told = 0
        return {"DEPTH": rng.randint(1, 4), "FS": self._filesystem}

    def line(self, text):
        """True when the guest is at work: from now on a cut is worth while."""
        word, _, rest = text.partition(" ")
        if word == "durable":
            self.reported = int(rest)
            self._told += 1
        elif word == "loaded":
            version, rebooted = rest.split()
            if int(version) < self.reported:
                self.findings.append(f"version {self.reported} was reported durable, and the disk holds {version}")
            if int(version) and rebooted != "1":
                self.findings.append(f"the store takes version {version} for one of this boot")
            self.reported = int(version)
            return True
        elif word in ("damaged", "wrong"):
            self.findings.append(f"{word} after version {self.reported} was reported durable: {rest}")
            self.reported = 0
        elif word != "up":
            raise machine.MachineError(text)
        return False

    def summary(self):
        return f"{self._told} versions reported durable, the last {self.reported}"
