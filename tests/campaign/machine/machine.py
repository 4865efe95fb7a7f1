"""A virtual machine under emulation: Debian's kernel, a small initramfs, disks that lose what was not flushed.

The initramfs holds busybox, the programs with the libraries that they need, and the kernel modules. Its `/init`
prepares the kernel's file systems, loads the modules, and hands over to `/start`, a shell script that the campaign
writes. Parameters of one start come over the kernel's command line as `clusterd.NAME=VALUE`, and are in the
environment of `/start` as NAME.

Guest and host talk in lines over a virtio port: descriptor 3 of `/start` in both directions. What the guest has
written to it has left the guest: a line that `Machine` has read is a promise made to the outside.
"""
import contextlib
import glob
import gzip
import json
import lzma
import os
import queue
import shutil
import socket
import subprocess
import tempfile
import threading
import time

PATIENCE = float(os.environ.get("CLUSTERD_PATIENCE", "240"))  # what only a broken machine exceeds

_INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/sbin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm /dev/pts /run /tmp /var/lib /root
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
while read module options; do insmod /modules/$module $options || echo "cannot load $module"; done < /modules/list
for word in $(cat /proc/cmdline); do
  case $word in clusterd.*=*) export "${word#clusterd.}" ;; esac
done
until port=$(echo /dev/vport*) && [ -e "$port" ]; do usleep 20000; done
exec 3<> "$port"
echo up >&3
. /start
echo "end $?" >&3
sleep 1000000
"""


class MachineError(Exception):
    pass


def newest_kernel():
    """(kernel image, folder of its modules)"""
    for image in sorted(glob.glob("/boot/vmlinuz-*"), reverse=True):
        modules = "/lib/modules/" + image.split("vmlinuz-", 1)[1]
        if os.path.isdir(modules):
            return image, modules
    raise MachineError("no kernel in /boot with its modules in /lib/modules: apt-get install linux-image-amd64")


def _unpacked(image, target):
    """The kernel without its compression, where that can be undone: unpacking it in the guest takes ten seconds."""
    with open(image, "rb") as file:
        data = file.read()
    start = data.find(b"\xfd7zXZ\0")
    with contextlib.suppress(lzma.LZMAError):
        kernel = lzma.LZMADecompressor().decompress(data[start:]) if start >= 0 else b""
        if kernel.startswith(b"\x7fELF"):
            with open(target, "wb") as file:
                file.write(kernel)
            return target
    return image


def _module_paths(modules, names):
    """The files of the modules and of all that they need, in an order in which they can be loaded."""
    needs = {}
    with open(os.path.join(modules, "modules.dep"), encoding="ascii") as file:
        for line in file:
            path, _, rest = line.partition(":")
            needs[path] = rest.split()
    with open(os.path.join(modules, "modules.builtin"), encoding="ascii") as file:
        built_in = {os.path.basename(line.strip()) for line in file}
    by_name = {os.path.basename(path).split(".ko")[0].replace("-", "_"): path for path in needs}
    order = []
    for name in names:
        if name + ".ko" in built_in:
            continue
        if name not in by_name:
            raise MachineError(f"the kernel has no module {name}")
        for path in [*reversed(needs[by_name[name]]), by_name[name]]:
            if path not in order:
                order.append(path)
    return order


def _libraries(program):
    """What the dynamic loader maps for the program: [(name in the guest, file here)]"""
    answer = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    for line in answer.splitlines():
        words = line.split()
        if len(words) >= 3 and words[1] == "=>" and words[2].startswith("/"):
            yield words[2]
        elif words and words[0].startswith("/"):
            yield words[0]


class Initramfs:
    """A folder that becomes an initramfs."""

    MODULES = ("virtio_pci", "virtio_console", "virtio_blk", "crc32c_generic")

    def __init__(self, start, modules=()):
        self._root = tempfile.mkdtemp(prefix="clusterd-machine-")
        for folder in ("bin", "sbin", "usr", "etc", "proc", "sys", "dev", "modules"):
            os.makedirs(os.path.join(self._root, folder))
        busybox = shutil.which("busybox")
        if not busybox:
            raise MachineError("busybox is missing: apt-get install busybox-static")
        self._copy(busybox, "/bin/busybox")
        self.text("/init", _INIT, 0o755)
        self.text("/start", start)
        self.text("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
        self.text("/etc/group", "root:x:0:\n")
        self._kernel, folder = newest_kernel()
        listed = []
        for path in _module_paths(folder, (*self.MODULES, *modules)):
            name = os.path.basename(path)
            self._copy(os.path.join(folder, path), "/modules/" + name)
            listed.append(name)
        self.text("/modules/list", "".join(name + "\n" for name in listed))

    def _copy(self, source, target):
        inside = self._root + target
        os.makedirs(os.path.dirname(inside), exist_ok=True)
        shutil.copyfile(os.path.realpath(source), inside)
        os.chmod(inside, 0o755)

    def text(self, target, text, mode=0o644):
        inside = self._root + target
        os.makedirs(os.path.dirname(inside), exist_ok=True)
        with open(inside, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(inside, mode)

    def link(self, target, name):
        os.symlink(target, self._root + name)

    def program(self, source, target=None):
        """A program (or library) with all libraries that it needs, without its debugging information."""
        if not os.path.exists(source):
            raise MachineError(f"{source} is missing: build it first")
        target = target or "/bin/" + os.path.basename(source)
        self._copy(source, target)
        subprocess.run(["strip", self._root + target], check=False, stderr=subprocess.DEVNULL)
        for library in _libraries(source):
            if not os.path.exists(self._root + library):
                self._copy(library, library)

    def pack(self, folder):
        """Removes the folder that this is; what `Machine` starts from: (kernel, initramfs), files in `folder`."""
        names = subprocess.run(["find", ".", "-print0"], cwd=self._root, capture_output=True, check=True).stdout
        archive = subprocess.run(["cpio", "--null", "--quiet", "-o", "-H", "newc"], cwd=self._root, input=names,
                                 capture_output=True, check=True).stdout
        target = os.path.join(folder, "initramfs.gz")
        with open(target, "wb") as file:
            file.write(gzip.compress(archive, 1))
        shutil.rmtree(self._root)
        return _unpacked(self._kernel, os.path.join(folder, "kernel")), target


class Machine:
    """One start of a machine; it ends when it is killed."""

    def __init__(self, folder, boot, disks=(), parameters=None, memory=512, devices=()):
        words = [f"clusterd.{name}={value}" for name, value in (parameters or {}).items()]
        self.console = os.path.join(folder, "console.log")
        self._control = os.path.join(folder, "control.sock")
        command = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-M", "q35", "-cpu", "max", "-m", str(memory),
                   "-nodefaults", "-display", "none", "-serial", f"file:{self.console}",
                   "-qmp", f"unix:{self._control},server=on,wait=off",
                   "-kernel", boot[0], "-initrd", boot[1],
                   "-append", " ".join(["console=ttyS0 loglevel=4 panic=-1 mitigations=off random.trust_cpu=on",
                                        *words]),
                   "-chardev", "stdio,id=port,signal=off", "-device", "virtio-serial-pci",
                   "-device", "virtserialport,chardev=port,name=clusterd"]
        for number, disk in enumerate(disks):
            command += ["-drive", f"if=none,id=d{number},driver=raw,cache=writeback,file.driver=nbd,"
                                  f"file.server.type=unix,file.server.path={disk.path}",
                        "-device", f"virtio-blk-pci,drive=d{number},serial=disk{number}"]
        command += devices
        self.lines = queue.Queue()  # (time, line); (time, None) when the machine has ended
        self._errors = open(os.path.join(folder, "qemu.log"), "w+", encoding="utf-8")  # pylint: disable=consider-using-with
        self._process = subprocess.Popen(  # pylint: disable=consider-using-with
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
            preexec_fn=_die_with_parent)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._process.stdout:
            self.lines.put((time.monotonic(), line.decode("utf-8", "replace").rstrip("\n")))
        self.lines.put((time.monotonic(), None))

    def send(self, line):
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def next_line(self, until):
        """The next line, or None at the time `until`. A machine that ends by itself is an error."""
        try:
            _, line = self.lines.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            return None
        if line is None:
            raise MachineError("the machine has ended: " + self.story())
        return line

    def expect(self, start):
        """The next line, which has to begin with `start`."""
        line = self.next_line(time.monotonic() + PATIENCE)
        if line is None or not line.startswith(start):
            raise MachineError(f"waited for “{start}”, got “{line}”: " + self.story())
        return line

    def monitor(self):
        """QEMU's own events, as they come, from a connection of their own."""
        end = time.monotonic() + PATIENCE
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(self._control)
                break
            except OSError:
                connection.close()
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
        stream = connection.makefile("rw", encoding="utf-8")
        stream.write('{"execute":"qmp_capabilities"}\n')
        stream.flush()
        events = queue.Queue()

        def read():
            for line in stream:
                message = json.loads(line)
                if "event" in message:
                    events.put((time.monotonic(), message))
            connection.close()

        threading.Thread(target=read, daemon=True).start()
        return events

    def story(self):
        """What the console and QEMU said last."""
        self._errors.seek(0)
        said = self._errors.read()[-2000:]
        with open(self.console, encoding="utf-8", errors="replace") as file:
            return f"QEMU: {said or 'nothing'}\nconsole:\n" + "".join(file.readlines()[-40:])

    def kill(self):
        """The power cut, as far as the machine's own memory goes. Returns the lines that were still under way."""
        self._process.kill()
        self._process.wait()
        rest = []
        while True:
            _, line = self.lines.get()
            if line is None:
                break
            rest.append(line)
        self._process.stdin.close()
        self._process.stdout.close()
        self._errors.close()
        return rest


def _die_with_parent():
    import ctypes  # pylint: disable=import-outside-toplevel
    ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL
