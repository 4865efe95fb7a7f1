"""The mirror's target under power cuts: what a run has reported is on the disk, and nothing of the target's own is lost.

The guest (guest_mirror.cpp) tells what it does and what it finds; this is the judge of it. Its rules, after a cut:

- Every file of the target is whole, and carries the time of what it contains (or else the next run would not see it).
- Every file is as the source had it at the last run that was reported, or at a later one that had begun.
- The manifest is that of one of these runs, and the files are at least as new: it never runs ahead of them.
- What the service wrote on the target while that was active is there, or whole in a backup set. As soon as the
  resync was reported it is in a complete set, and in the loss report.
- A backup set that was complete stays as it was until the administrator lets go of it.
- The next run repairs what was left half done, and leaves nothing else behind.
"""
import os

from . import disk as disks
from . import machine

FILES, PASSING, EVERY_LINK, BLOCK = 48, 1000, 13, 4096
FIRST_SECOND = 1_700_000_000
MASK = (1 << 64) - 1


def mix(number):
    number = (number + 0x9E3779B97F4A7C15) & MASK
    number = ((number ^ number >> 30) * 0xBF58476D1CE4E5B9) & MASK
    number = ((number ^ number >> 27) * 0x94D049BB133111EB) & MASK
    return number ^ number >> 31


def roll(file, run):
    return mix((mix(file) + run) & MASK)


def source_tree(run):
    """Path -> (file, version), as content.cpp has it."""
    tree = {}
    for file in range(FILES):
        version = run
        while version > 0 and roll(file, version) % 5:
            version -= 1
        if version == 0 or (roll(file, version) >> 8) % 6:
            tree[f"d{file % 7}/f{file}"] = (file, version)
    for age in range(min(3, run)):
        tree[f"e{run - age}/g"] = (PASSING, run - age)
    return tree


def mtime(entry):
    return (FIRST_SECOND + entry[1]) * 1_000_000_000 + entry[0]


def size(entry):
    head = len(f"source {entry[0]} {entry[1]}\n")
    if entry[0] % EVERY_LINK == 5:
        return head - 1
    dice = mix(roll(*entry))
    return head + ((dice >> 8) % (50 * BLOCK) if dice % 4 == 0 else (dice >> 8) % (2 * BLOCK))


def is_temporary(path):
    """Of rsync, or of the service that writes on the target."""
    return os.path.basename(path).startswith(".") or path.endswith(".new")


_CLUSTER = """
[cluster]
name = "test"
reference_hosts = ["10.99.2.250"]
[node.serv1]
service = { nic = "eth0", address = "10.99.2.1/24" }
heartbeat = { nic = "eth1", address = "10.99.1.1/24" }
[node.serv2]
service = { nic = "eth0", address = "10.99.2.2/24" }
heartbeat = { nic = "eth1", address = "10.99.1.2/24" }
"""
_SERVICE = """
addresses = ["10.99.2.20/24"]
units = ["nothing.service"]
[[mirror]]
name = "data"
paths = ["/srv/data/"]
via = "rsync"
mode = "interval"
backups = { keep = "30d", max = "1GiB" }
"""
_START = """
mkdir -p /disk /srv/data /var/lib/clusterd /run/clusterd
mount -t $FS /dev/vda /disk || echo "error the first disk cannot be mounted" >&3
state=/disk
if [ -e /dev/vdb ]; then
  mkdir -p /disk2
  mount -t $FS /dev/vdb /disk2 || echo "error the second disk cannot be mounted" >&3
  state=/disk2
fi
mkdir -p /disk/data $state/clusterd
mount --bind /disk/data /srv/data
mount --bind $state/clusterd /var/lib/clusterd
hostname serv2
[ -n "$FORGET" ] && export LD_PRELOAD=/lib/forget_sync.so
machine_guest mirror 2>&1 3>&3
"""


class Scan:
    """What the guest has found."""

    def __init__(self):
        self.files = {}  # path -> (time, what)
        self.sets = {}  # name -> {"complete": bool, "kept": {path: (time, what)}, "lost": {path: change}}
        self.manifest = {}  # path -> (time, size)
        self.has_manifest = True


class MirrorTarget:
    waiting = ("done", "local-end")
    working = ("begin", "epoch", "purge")
    mean_lines = 3
    mean_writes = 250

    def __init__(self, folder, build, filesystem, disk_count):
        self._build = build
        self._filesystem = filesystem
        self.images = [os.path.join(folder, f"disk{number}.img") for number in range(disk_count)]
        for image in self.images:
            disks.make_image(image, filesystem)
        self.findings = []
        self._done = None  # last run that was reported
        self._begun = 0  # last run that had begun
        self._epoch = 7
        self._next_local = 1
        self._writing_locally = False
        # number -> (path, epoch) and path -> epoch: what the service did on the target, not taken back as far as known
        self._locals, self._deleted = {}, {}
        # the same, after the resync that has taken it back
        self._kept_locals, self._kept_deleted = {}, {}
        self._before = {}  # sets of the last scan
        self._scan = None
        self._runs = self._resyncs = 0
        self._kind = ""
        self._fresh = True

    def initramfs(self):
        root = machine.Initramfs(_START, (self._filesystem,))
        root.program(os.path.join(self._build, "tests/campaign/machine/machine_guest"))
        root.program(os.path.join(self._build, "tests/campaign/machine/libforget_sync.so"), "/lib/forget_sync.so")
        root.program(os.path.join(self._build, "bin/clusterd-mirror"))
        root.program("/usr/bin/rsync")
        root.link("machine_guest", "/bin/ssh")
        root.text("/etc/cluster.d/cluster.toml", _CLUSTER)
        root.text("/etc/cluster.d/secret.key", "a" * 64 + "\n", 0o600)
        root.text("/etc/cluster.d/services/web.toml", _SERVICE)
        return root

    def parameters(self, _rng):
        self._scan = None
        self._fresh = True
        self._runs = self._resyncs = 0
        return {"RUN": self._begun + 1, "EPOCH": self._epoch, "LOCAL": self._next_local, "FS": self._filesystem}

    def line(self, text):
        """True when the guest has told what the last cut has left, and begins to work."""
        word, _, rest = text.partition(" ")
        handler = getattr(self, "_on_" + word.replace("-", "_"), None)
        if handler is None:
            raise machine.MachineError(text)
        handler(*rest.split(" ", handler.__code__.co_argcount - 2) if rest else ())
        was_fresh = self._fresh
        if word == "scanned":
            self._fresh = False
        return word == "scanned" and was_fresh

    def summary(self):
        return f"{self._runs} runs reported, {self._resyncs} of them resyncs; {len(self._before)} backup sets"

    def _find(self, text):
        self.findings.append(f"{text} [run {self._begun} begun, {self._done} reported, epoch {self._epoch}]")

    # ---- what the guest does ----

    def _on_up(self):
        pass

    def _on_epoch(self, epoch):
        self._epoch = int(epoch)
        self._writing_locally = True

    def _on_local(self, number, path):
        self._locals[int(number)] = (path, self._epoch)
        self._next_local = max(self._next_local, int(number) + 1)

    def _on_local_delete(self, path):
        self._deleted[path] = self._epoch

    def _on_local_end(self, number):
        self._next_local = max(self._next_local, int(number)) + FILES + 3
        self._writing_locally = False

    def _on_begin(self, run, kind):
        self._begun, self._kind = int(run), kind

    def _on_done(self, run, _lost, _name=""):
        self._done = int(run)
        self._runs += 1
        self._resyncs += self._kind == "resync"
        tree = source_tree(self._done)
        self._kept_locals.update(self._locals)
        self._kept_deleted.update({path: epoch for path, epoch in self._deleted.items() if path in tree})
        self._locals, self._deleted = {}, {}

    def _on_failed(self, run, why=""):
        self._find(f"run {run} has failed: {why}")

    def _on_purge(self, name):
        gone = self._before.pop(name, None)
        if gone is None:
            return
        for number, (path, _) in list(self._kept_locals.items()):
            if gone["kept"].get(path, (0, ""))[1] == f"local {number}":
                del self._kept_locals[number]
        for path in gone["lost"]:
            self._kept_deleted.pop(path, None)

    # ---- what it finds ----

    def _on_scan(self):
        self._scan = Scan()

    def _on_file(self, time, path, what):
        self._scan.files[path] = (int(time), what)

    def _on_set(self, name, state, _lost):
        self._scan.sets[name] = {"complete": state == "complete", "kept": {}, "lost": {}}

    def _on_kept(self, name, time, path, what):
        self._scan.sets[name]["kept"][path] = (int(time), what)

    def _on_lost(self, name, change, path):
        self._scan.sets[name]["lost"][path] = change

    def _on_bad_set(self, name, why):
        self._find(f"backup set {name} cannot be read: {why}")

    def _on_agreed(self, time, path, length):
        self._scan.manifest[path] = (int(time), int(length))

    def _on_no_manifest(self):
        self._scan.has_manifest = False

    def _on_bad_manifest(self, why=""):
        self._scan.has_manifest = False
        self._find(f"the manifest is damaged: {why}")

    def _on_scanned(self):
        scan, self._scan = self._scan, None
        if self._fresh and self._writing_locally:
            self._adopt(scan)
        self._next_local += FILES + 3
        runs = [source_tree(run) for run in range(self._done or 0, self._begun + 1)]
        runs = self._judge_manifest(scan, runs)
        self._judge_files(scan, runs)
        self._judge_sets(scan)
        self._judge_losses(scan)
        self._before = {name: entry for name, entry in scan.sets.items() if entry["complete"]}
        self._writing_locally = False

    def _adopt(self, scan):
        """The cut came while the service wrote: what is found of that is there, told or not."""
        for path, (_, what) in scan.files.items():
            word, _, number = what.partition(" ")
            if word == "local" and int(number) >= self._next_local and not is_temporary(path):
                self._on_local(number, path)
        for path in source_tree(self._done or 0):
            if path not in scan.files and self._done is not None:
                self._deleted.setdefault(path, self._epoch)

    def _judge_manifest(self, scan, runs):
        if self._done is None:
            return [{}, *runs]
        if not scan.has_manifest:
            self._find("there is no manifest")
            return runs
        for number, tree in enumerate(runs):
            if scan.manifest == {path: (mtime(entry), size(entry)) for path, entry in tree.items()}:
                return runs[number:]
        self._find("the manifest is of no run that can be")
        return runs

    def _judge_files(self, scan, runs):
        settled = self._begun == self._done and not self._locals and not self._deleted
        own = {}
        for number, (path, _) in self._locals.items():
            own.setdefault(path, set()).add(f"local {number}")
        for path in set().union(scan.files, *runs):
            time, what = scan.files.get(path, (0, None))
            if is_temporary(path):
                if settled:
                    self._find(f"{path} was left behind")
                continue
            allowed = {None if entry is None else f"source {entry[0]} {entry[1]}"
                       for entry in (tree.get(path) for tree in runs)}
            allowed |= own.get(path, set()) | ({None} if path in own or path in self._deleted else set())
            if what not in allowed:
                self._find(f"{path} is “{what}”, and may be {sorted(map(str, allowed))}")
            elif what and what.startswith("source "):
                entry = tuple(int(word) for word in what.split()[1:])
                if time != mtime(entry):
                    self._find(f"{path} is “{what}” under the time {time} instead of {mtime(entry)}")

    def _judge_sets(self, scan):
        for name, before in self._before.items():
            now = scan.sets.get(name)
            if now != before:
                self._find(f"backup set {name} was complete, and has changed: {_difference(before, now)}")
        for name, entry in scan.sets.items():
            if entry["complete"]:
                for path, (_, what) in entry["kept"].items():
                    if what.startswith("torn"):
                        self._find(f"{path} in the backup set {name} is {what}")

    def _judge_losses(self, scan):
        for number, (path, _) in self._locals.items():
            places = [scan.files, *(entry["kept"] for entry in scan.sets.values())]
            if not any(place.get(path, (0, ""))[1] == f"local {number}" for place in places):
                self._find(f"{path}, which the service wrote (local {number}), is gone")
        complete = {name: entry for name, entry in scan.sets.items() if entry["complete"]}
        for number, (path, epoch) in self._kept_locals.items():
            if not any(entry["kept"].get(path, (0, ""))[1] == f"local {number}" for entry in complete.values()):
                self._find(f"{path} (local {number}), taken back by a resync, is in no backup set")
            self._judge_report(complete, path, epoch)
        for path, epoch in self._kept_deleted.items():
            self._judge_report(complete, path, epoch)

    def _judge_report(self, complete, path, epoch):
        if not any(path in entry["lost"] for name, entry in complete.items() if f"-e{epoch}-" in name):
            self._find(f"{path}, taken back by a resync at epoch {epoch}, is in no loss report")


def _difference(before, now):
    if now is None:
        return "it is gone"
    for part in ("kept", "lost"):
        for path in {*before[part], *now[part]}:
            if before[part].get(path) != now[part].get(path):
                return f"{part} {path} was {before[part].get(path)}, is {now[part].get(path)}"
    return "it is not complete any more"
