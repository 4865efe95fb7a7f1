"""The nemesis' cluster: nodes with small disks of their own for the state and for the service's files."""
import fcntl
import os
import struct
import subprocess

from ground import HERE, STORE, STORE_PORT, Ground, config_files
from lab import LabError

DISK_MIB = 48
DISKS = {"state": "/var/lib/clusterd", "data": "/srv/web"}


class LoopDisk:
    """A small disk: a file behind a loop device, which goes away with the last process that has it open or mounted,
    however the campaign ends."""

    GET_FREE, CONFIGURE, AUTOCLEAR, INFO_SIZE, FLAGS_AT = 0x4C82, 0x4C0A, 4, 232, 52

    def __init__(self, image):
        with open(image, "xb") as file:
            file.truncate(DISK_MIB << 20)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", image], check=True)
        info = bytearray(self.INFO_SIZE)
        struct.pack_into("=I", info, self.FLAGS_AT, self.AUTOCLEAR)
        backing = os.open(image, os.O_RDWR)
        for _ in range(100):  # others look for a free one, too
            with open("/dev/loop-control", "rb") as control:
                number = fcntl.ioctl(control, self.GET_FREE)
            self.device = f"/dev/loop{number}"
            self._descriptor = os.open(self.device, os.O_RDWR)
            try:
                fcntl.ioctl(self._descriptor, self.CONFIGURE, struct.pack("=II", backing, 0) + bytes(info) + bytes(64))
                break
            except OSError:
                os.close(self._descriptor)
        else:
            raise LabError("no loop device is free")
        os.close(backing)

    def close(self):
        os.close(self._descriptor)


class Field(Ground):
    def __init__(self, profile, setting, seed):
        self.setting = setting
        self._disks = {}
        units = [config_files.responder_unit(),
                 f'{{ name = "store", run = "{HERE}/unit.sh store {STORE_PORT} {STORE}", stop_timeout = "1s" }}',
                 '{ name = "thing", ' + ", ".join(f'{verb} = "{HERE}/unit.sh thing {verb}"'
                                                  for verb in ("start", "stop", "status")) + ', stop_timeout = "1s" }']
        super().__init__(profile, setting["every"], seed, 30, units=units, mac=setting["mac"], hosts=setting["hosts"],
                         mirror_extra='exclude = [".hog", "lost+found"]',
                         service_extra='restarts = { max = 3, within = "1min" }' +
                         ('\nfailback = "auto"\nfailback_after = "3s"' if setting["failback"] else ""))
        self.lab.at_boot.append(self._mount_disks)

    def _mount_disks(self, node):
        """The disks outlive a power cycle and keep their device numbers, as those of a machine do."""
        for name, path in DISKS.items():
            disk = self._disks.get((node.name, name))
            if disk is None:
                disk = self._disks[node.name, name] = LoopDisk(f"{node.disk}/{name}.img")
                self.lab.add_watcher(disk)
            node.sh(f"mkdir -p {path} && mount {disk.device} {path} && rm -rf {path}/lost+found")

    def root(self, node):
        """The node's files as it sees them itself."""
        return f"/proc/{self.lab[node].init.pid}/root"
