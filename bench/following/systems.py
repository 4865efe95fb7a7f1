"""What is measured: the live mirror, and those that people use today. Each keeps TARGET equal to SOURCE."""
import os
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "mirror"))
import pair as mirror_pair  # noqa: E402

PATIENCE = 120
RSYNC = ["rsync", "-aHAXS", "--numeric-ids", "--delete"]


class System:
    """`follows`: sees changes by itself; otherwise catch_up() has to be called."""

    name, follows = "", False

    def __init__(self, source, target, state):
        self.source, self.target, self.state = source, target, state

    def start(self):
        """Takes up work; the initial copy is part of it."""

    def stop(self):
        """An orderly end; what it remembers stays."""

    def catch_up(self):
        """Makes the target equal by a compare, as after a broken connection."""
        raise NotImplementedError

    def flush(self, arrived=None):
        """Until everything that has changed so far is on the target. `arrived` says whether it is, for those that do
        not say it themselves."""
        raise NotImplementedError

    def lose_connection(self):
        """What changes now cannot be followed."""

    def processes(self):
        """{role: pid}"""
        return {}

    def wire_bytes(self):
        """Sent and received so far; None if it cannot be told."""
        return None


class Clusterd(System):
    name, follows = "clusterd", True

    def __init__(self, source, target, state):
        super().__init__(source, target, state)
        self.initial_ms = None
        self.pair = mirror_pair.MirrorPair(source, target, state)

    def start(self):
        self.pair.start()
        self.pair.resync()

    def stop(self):
        self.pair.quit()

    def catch_up(self):
        self.pair.run()

    def flush(self, arrived=None):
        self.pair.flush()

    def lose_connection(self):
        self.pair.break_channel()

    def processes(self):
        return self.pair.processes()

    def wire_bytes(self):
        return self.pair.wire_bytes()


class Rsync(System):
    """On one machine through a pipe, without ssh: its best case."""

    name = "rsync"

    def __init__(self, source, target, state):
        super().__init__(source, target, state)
        self.bytes = 0

    def start(self):
        self.catch_up()

    def catch_up(self):
        done = subprocess.run([*RSYNC, "--no-whole-file", "--stats", self.source + "/", self.target + "/"], check=True,
                              capture_output=True, text=True, errors="replace")
        for line in done.stdout.splitlines():
            if line.startswith(("Total bytes sent:", "Total bytes received:")):
                self.bytes += int(line.split(":")[1].replace(",", ""))

    def flush(self, arrived=None):
        self.catch_up()

    def wire_bytes(self):
        return self.bytes


class Lsyncd(System):
    """With no delay of its own, and rsync told to mirror what we mirror."""

    name, follows = "lsyncd", True
    CONFIG = """settings {{ nodaemon = true, logfile = "{state}/log", statusFile = "{state}/status" }}
sync {{ default.rsync, source = "{source}", target = "{target}", delay = 0,
  rsync = {{ archive = true, hard_links = true, acls = true, xattrs = true, sparse = true, whole_file = false,
            _extra = {{ "--numeric-ids" }} }} }}
"""

    def __init__(self, source, target, state):
        super().__init__(source, target, state)
        self.process, self.marks = None, 0
        self.config = f"{state}/lsyncd.conf"
        with open(self.config, "w", encoding="ascii") as file:
            file.write(self.CONFIG.format(source=source + "/", target=target + "/", state=state))

    def start(self):
        log = f"{self.state}/log"
        open(log, "w", encoding="ascii").close()
        self.process = subprocess.Popen(["lsyncd", self.config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def started():
            if self.process.poll() is not None:
                raise RuntimeError(f"lsyncd ended at once: lsyncd {self.config}")
            with open(log, encoding="utf-8", errors="replace") as file:
                return "finished" in file.read()
        wait_for(started, "lsyncd's start")

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def catch_up(self):
        self.stop()
        self.start()

    def lose_connection(self):
        self.stop()

    def flush(self, arrived=None):
        """It says nothing when it is done: what was waited for has to arrive, or a file that is made last."""
        self.marks += 1
        name, text = f"zzz{self.marks}", str(self.marks)
        if arrived is None:
            with open(f"{self.source}/{name}", "w", encoding="ascii") as file:
                file.write(text)
        wait_for(arrived or (lambda: os.path.exists(f"{self.target}/{name}")), "lsyncd")

    def processes(self):
        return {"source": self.process.pid} if self.process else {}


def wait_for(condition, what, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s in vain for {what}")
        time.sleep(0.001)


def available(names):
    """The classes asked for; says which are missing on this machine."""
    chosen = []
    for one in (Clusterd, Rsync, Lsyncd):
        if one.name not in names:
            continue
        if one is not Clusterd and not shutil.which(one.name):
            print(f"bench/mirror: {one.name} is not installed (apt-get install {one.name}): left out", file=sys.stderr)
            continue
        chosen.append(one)
    return chosen


# --- the machine ---------------------------------------------------------------------------------------
def available_memory():
    """Bytes that can be used without taking them from anybody."""
    with open("/proc/meminfo", encoding="ascii") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))


def peak_kilobytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        return next((int(line.split()[1]) for line in file if line.startswith("VmHWM:")), 0)


def reset_peak(pid):
    with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def move_to(pid, processors):
    """All threads of a process; nothing without one."""
    for thread in os.listdir(f"/proc/{pid}/task") if pid else ():
        os.sched_setaffinity(int(thread), processors)


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        words = file.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
