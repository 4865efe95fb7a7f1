"""Work on a tree, for the torture: programs that nobody here wrote, and the mutator (mutator.py).

A workload is killed as a whole: its files are then what they happen to be.
"""
import contextlib
import glob
import os
import shutil
import signal
import subprocess

HERE = os.path.dirname(os.path.realpath(__file__))

# Stressors of stress-ng that change files and names; each leaves its files in the tree when it is killed.
# Not dirdeep: on btrfs nothing bounds its depth, and rsync, which judges, cannot follow where a path would be longer than
# 4,096 bytes. Deep trees are cases of the table.
STRESSORS = ("access", "acl", "chmod", "chown", "chattr", "dentry", "dir", "dirmany", "fallocate",
             "filename", "hdd", "inode-flags", "io-uring", "link", "lockmix", "metamix", "mknod", "mmap", "open", "punch",
             "rename", "revio", "seek", "sendfile", "splice", "symlink", "sync-file", "touch", "unlink", "utime",
             "verity", "xattr")


class Workload:
    name, program = "", ""

    def missing(self):
        """Why it cannot run here; "" if it can."""
        return "" if not self.program or shutil.which(self.program) else f"{self.program} is not installed"

    def command(self, root, dice):
        """What to start; changes below `root` for ever, or until it has had enough."""
        raise NotImplementedError


class Mutators(Workload):
    """At a pace that any machine keeps up with. A tree whose folders are renamed hundreds of times a second is never
    compared to an end (docs/mirror.md, "Limits"): that says nothing about what is mirrored."""
    name, RATE = "mutator", 300

    def command(self, root, dice):
        seeds = [dice.randrange(1 << 30) for _ in range(dice.choice((1, 2)))]
        entries = dice.choice((100, 1000, 3000))
        return ["sh", "-c", " & ".join(f"/usr/bin/python3 {HERE}/mutator.py {root}/mutated --seed {seed} "
                                       f"--seconds 3600 --entries {entries} --rate {self.RATE} > /dev/null" for seed in seeds) +
                " & wait"]


class StressNg(Workload):
    name, program = "stress-ng", "stress-ng"

    def command(self, root, dice):
        known = subprocess.run(["stress-ng", "--stressors"], capture_output=True, text=True,
                               check=True).stdout.split()
        chosen = dice.sample([one for one in STRESSORS if one in known], 3)
        return ["stress-ng", "-q", "--temp-path", f"{root}/stressed", "--timeout", "3600", "--seed", str(dice.randrange(1 << 30)),
                *(word for one in chosen for word in (f"--{one}", "1")),
                "--hdd-bytes", "8m", "--fallocate-bytes", "8m", "--seek-size", "4m", "--revio-bytes", "8m", 
                "--hdd-write-size", "4k"]


class Fio(Workload):
    name, program = "fio", "fio"

    def command(self, root, dice):
        engine = dice.choice(("psync", "mmap", "libaio"))
        return ["fio", "--name=verified", f"--directory={root}/verified", "--size=4M", "--nrfiles=8",
                "--rw=randwrite", "--bsrange=512-64k", "--bs_unaligned=1", "--verify=crc32c", "--do_verify=0",
                "--fsync=32", f"--ioengine={engine}", f"--randseed={dice.randrange(1 << 30)}", "--loops=1000", "--output=/dev/null"]


class Dbench(Workload):
    name, program = "dbench", "dbench"

    def command(self, root, dice):
        return ["dbench", "-D", f"{root}/benched", "-t", "3600", "-c", "/usr/share/dbench/client.txt",
                str(dice.choice((1, 3)))]


class Git(Workload):
    """Clones, commits, branches, packs: many small files, renames over others, hard links of objects."""

    name, program = "git", "git"

    def command(self, root, dice):
        return ["bash", f"{HERE}/git-work.sh", f"{root}/repositories", str(dice.randrange(1 << 30))]


class Pgbench(Workload):
    name = "pgbench"

    def missing(self):
        return "" if glob.glob("/usr/lib/postgresql/*/bin/pgbench") else "postgresql is not installed"

    def command(self, root, dice):
        return ["bash", f"{HERE}/pgbench-work.sh", f"{root}/database"]


class Build(Workload):
    """A real source package; CLUSTERD_SOURCE_PACKAGE names its archive (apt-get source --download-only hello)."""

    name = "build"

    def missing(self):
        return "" if os.path.isfile(os.environ.get("CLUSTERD_SOURCE_PACKAGE", "")) else (
            "CLUSTERD_SOURCE_PACKAGE names no archive")

    def command(self, root, dice):
        return ["bash", f"{HERE}/build-work.sh", f"{root}/built", os.environ["CLUSTERD_SOURCE_PACKAGE"]]


WORKLOADS = {one.name: one for one in (Mutators(), StressNg(), Fio(), Dbench(), Git(), Pgbench(), Build())}
FOLDERS = ("mutated", "stressed", "verified", "benched", "repositories", "database", "built")


class Running:
    def __init__(self, workload, root, dice, log):
        for folder in FOLDERS:
            os.makedirs(f"{root}/{folder}", exist_ok=True)
        self.name = workload.name
        self.words = workload.command(root, dice)
        # As the first process of a pid namespace: with it all of them end, also those in sessions of their own.
        self.process = subprocess.Popen(["unshare", "--pid", "--fork", "--mount-proc", "nice", "-n", "5", *self.words],
                                        cwd=root, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def stop(self):
        """Kills everything at once: nothing gets a chance to tidy up."""
        while self.process.poll() is None:
            for first in _children(self.process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(first, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.1)  # which is over when the last one is gone


def _children(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]
    return []
