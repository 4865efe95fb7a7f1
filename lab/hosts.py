"""A host of the lab: its own network, pid, uts and mount namespaces below one process 1.

Nothing has a name in the machine's own namespaces; a host exists as long as its process 1, and killing that
kills everything that ever ran in it.
"""
import json
import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))


class LabError(Exception):
    pass


def start_time(pid):
    """When the process was started; together with the pid this names a process for good."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return int(file.read().rsplit(")", 1)[1].split()[19])
    except (OSError, IndexError, ValueError):
        return None


def is_running(pid, started):
    if started is None or start_time(pid) != started:
        return False
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            if file.read().rsplit(")", 1)[1].split()[0] not in ("Z", "X"):
                return True
        # The first thread has ended; files and locks are held until the last one has.
        return len(os.listdir(f"/proc/{pid}/task")) > 1
    except OSError:
        return False


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def wait_for(condition, seconds, what, every=0.005):
    """The condition's first true value; fails loudly when the time is over."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise LabError(f"waited {seconds:g} s in vain: {what}")
        time.sleep(every)


class Process:
    """A process inside a host, known by its pid outside, so that signals reach it at once."""

    def __init__(self, pid, started=None):
        self.pid = pid
        self.started = start_time(pid) if started is None else started

    def alive(self):
        return is_running(self.pid, self.started)

    def signal(self, number):
        if self.alive():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                pass

    def wait_gone(self, seconds=30):
        wait_for(lambda: not self.alive(), seconds, f"process {self.pid} ends")

    def memory_kib(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1])
        return 0

    def cpu_seconds(self):
        """Of all its threads, from the scheduler's account (the tick's account misses short work)."""
        total = 0
        for task in os.listdir(f"/proc/{self.pid}/task"):
            try:
                with open(f"/proc/{self.pid}/task/{task}/schedstat", encoding="ascii") as file:
                    total += int(file.read().split()[0])
            except OSError:
                pass
        return total / 1e9


class Host:
    """A plain host (router, reference host, client): network, pid and uts namespaces."""

    def __init__(self, name, logs, environment=None):
        self.name = name
        self.logs = logs
        self.environment = environment or {}
        self.init = None  # Process 1
        self._holder = None
        self._enter_pids = ["--pid"]

    # --- life -------------------------------------------------------------------------------------------
    def boot(self):
        command = ["unshare", "--net", "--pid", "--uts", "--fork", "--kill-child", "sh", "-c",
                   f"hostname {self.name}; exec sleep infinity"]
        self._launch(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        wait_for(lambda: self._command_name() == "sleep", 20, f"{self.name} boots")

    def _launch(self, command, **streams):
        self._holder = subprocess.Popen(command, start_new_session=True, stderr=self._log("boot"), **streams)
        pids = wait_for(lambda: children(self._holder.pid) or self._holder.poll() is not None and [0], 20,
                        f"{self.name} has a process 1")
        if pids == [0]:
            raise LabError(f"{self.name} could not be created; see {self.logs}/{self.name}-boot.log")
        self.init = Process(pids[0])

    def _command_name(self):
        try:
            with open(f"/proc/{self.init.pid}/comm", encoding="ascii") as file:
                return file.read().strip()
        except OSError:
            return ""

    def _log(self, name):
        return open(f"{self.logs}/{self.name}-{name}.log", "ab")

    def is_up(self):
        return self.init is not None and self.init.alive()

    def kill(self):
        if self.init is not None:
            self.init.signal(signal.SIGKILL)

    def reap(self):
        """After kill(): waits until nothing of it is left."""
        if self._holder is not None:
            self._holder.wait(timeout=60)
            self._holder = None
        elif self.init is not None:
            self.init.wait_gone(60)
        self.init = None

    # --- running things ---------------------------------------------------------------------------------
    def _enter(self):
        if self.init is None:
            raise LabError(f"{self.name} is off")
        return ["nsenter", "--target", str(self.init.pid), "--net", "--uts"] + self._enter_pids

    def _environment(self):
        return {**os.environ, **self.environment}

    def run(self, *argv, check=True, input=None, timeout=120):  # pylint: disable=redefined-builtin
        """Runs a command in the host and returns the finished process with its output as text."""
        done = subprocess.run(self._enter() + list(argv), text=True, capture_output=True, input=input,
                              timeout=timeout, env=self._environment(), check=False,
                              stdin=subprocess.DEVNULL if input is None else None, errors="replace")
        if check and done.returncode != 0:
            raise LabError(f"{self.name}: {' '.join(argv)} ended with {done.returncode}: "
                           f"{done.stdout.strip()} {done.stderr.strip()}")
        return done

    def sh(self, script, check=True, timeout=120):
        return self.run("sh", "-c", script, check=check, timeout=timeout).stdout

    def popen(self, *argv, **options):
        return subprocess.Popen(self._enter() + list(argv), env=self._environment(), **options)

    def spawn(self, name, *argv):
        """Starts a process that outlives its caller; output goes to the log `name`. Returns the Process."""
        log = f"{self.logs}/{self.name}-{name}.log"
        script = 'log=$1; shift; setsid "$@" </dev/null >>"$log" 2>&1 & echo $!'
        inner = int(self.run("sh", "-c", script, "sh", log, *argv).stdout)
        return self.process(inner)

    def process(self, inner):
        """The process that the host itself calls `inner`."""
        return Process(wait_for(lambda: self._outer_pid(inner), 10, f"{self.name}: process {inner} appears"))

    def _outer_pid(self, inner):
        for pid in [self.init.pid] + children(self.init.pid):
            try:
                with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
                    for line in file:
                        if line.startswith("NSpid:") and int(line.split()[-1]) == inner:
                            return pid
            except OSError:
                pass
        return None

    def root(self):
        """Where the lab finds the files that a process of the host sees."""
        return f"/proc/{self.init.pid}/root"

    def interactive(self, *argv):
        return subprocess.call(self._enter() + list(argv), env=self._environment())

    # --- for another process of the same user to find it again -------------------------------------------
    def saved(self):
        return {"pid": self.init.pid, "started": self.init.started} if self.init else None

    def restore(self, saved):
        self.init = Process(saved["pid"], saved["started"]) if saved else None


class Switch(Host):
    """Where the bridges live. Its commands see the machine's pids, to hand NICs to other hosts."""

    def __init__(self, name, logs):
        super().__init__(name, logs)
        self._enter_pids = []


class NodeHost(Host):
    """A cluster node: as a host, but with files of its own that survive a power cycle, and sshd."""

    def __init__(self, name, logs, spec, environment):
        super().__init__(name, logs, environment)
        self.spec = spec
        self.disk = spec["disk"]

    def boot(self, plug_in=None):
        """`plug_in(pid)` gives the network namespace its NICs."""
        command = ["unshare", "--net", "--pid", "--uts", "--ipc", "--mount", "--mount-proc", "--propagation",
                   "private", "--fork", "--kill-child", sys.executable, HERE + "/node_init.py",
                   json.dumps(self.spec)]
        self._launch(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        holder = self._holder
        self._expect(holder, b"mounted\n")
        plug_in(self.init.pid)
        holder.stdin.write(b"go\n")
        holder.stdin.flush()
        self._expect(holder, b"ready\n")
        holder.stdin.close()
        holder.stdout.close()

    def _expect(self, holder, line):
        got = holder.stdout.readline()
        if got != line:
            raise LabError(f"{self.name} did not boot; see {self.logs}/{self.name}-boot.log")

    def _enter(self):
        return super()._enter() + ["--mount", "--ipc", "--wd=/"]

    def path(self, path):
        """Where a file of the node (under /etc, /var/lib or /srv) lies outside of it."""
        if path.startswith("/srv/"):
            return self.disk + path
        for folder in ("/etc", "/var/lib"):
            if path.startswith(folder + "/"):
                return self.disk + "/" + folder.strip("/").replace("/", "-") + path[len(folder):]
        raise LabError(f"{path} is not on the node's own disk")

    def write(self, path, text, mode=0o644):
        """Writes a file inside the running node."""
        data = text if isinstance(text, bytes) else text.encode()
        done = subprocess.run(self._enter() + ["sh", "-c", 'umask 077; mkdir -p "$(dirname "$1")" && cat >"$1" && '
                              'chmod "$2" "$1"', "sh", path, oct(mode)[2:]], input=data, capture_output=True,
                              env=self._environment(), check=False)
        if done.returncode != 0:
            raise LabError(f"{self.name}: cannot write {path}: {done.stderr.decode(errors='replace').strip()}")

    def read(self, path):
        return self.run("cat", path).stdout
