"""Source and target of one mirror, as the tests drive them.

`mirror` is the program mirror_pair: both engines of the live mirror, in two processes joined by a socket pair.
`rsync` is a control: it shows which of the cases are hard, and that tests and judges work.
"""
import json
import os
import select
import signal
import subprocess
import time


PATIENCE = float(os.environ.get("CLUSTERD_PATIENCE", "60"))  # with an order; only a broken mirror needs it


class PairError(AssertionError):
    pass


PROGRAM = os.path.join(os.environ.get("CLUSTERD_BUILD", "build/release"), "tests/tools/mirror_pair")


class Pair:
    """One mirror. `source`, `target` and `outside` (beside the source, not mirrored) are there from the beginning."""

    def __init__(self, source, target, state):
        self.source, self.target, self.state = source, target, state
        self.outside = source + ".outside"
        for folder in (source, target, self.outside, state):
            os.makedirs(folder, exist_ok=True)

    def start(self):
        """Both ends, with what they remember on disk."""

    def quit(self):
        """An orderly end of both."""

    def resync(self):
        raise NotImplementedError

    def run(self):
        raise NotImplementedError

    def flush(self):
        """Until all that has changed so far is durable on the target."""
        raise NotImplementedError

    def break_channel(self):
        pass

    def kill(self, who):
        """SIGKILL to one end, "source" or "target". A killed source has to be started again."""

    def processes(self):
        """{"source": pid, "target": pid} of those that run."""
        return {}

    def wire_bytes(self):
        """Sent by both ends since the start; None if it is not known."""
        return None

    def backups(self):
        """The folder of the target's backup sets."""
        return f"{self.state}/backups"

    def log(self):
        return ""

    def close(self):
        self.quit()
        for folder in (self.source, self.target, self.outside, self.state):
            subprocess.run(["chattr", "-R", "-f", "-i", "-a", folder], check=False, stderr=subprocess.DEVNULL)
            subprocess.run(["rm", "-rf", folder], check=False)


class MirrorPair(Pair):
    """A command goes to the program's stdin, and a line of JSON comes back. The program itself is the source; the target
    is its child. Both see the mirror at the path of the source."""

    def __init__(self, source, target, state, options=()):
        super().__init__(source, target, state)
        self._options = options
        self._process, self._sent = None, 0
        self.answer = {}

    def start(self):
        with open(f"{self.state}/log", "ab") as log:
            self._process = subprocess.Popen([PROGRAM, "--source", self.source, "--target", self.target, "--state",
                                              self.state, *self._options], stdin=subprocess.PIPE,
                                             stdout=subprocess.PIPE, stderr=log)

    def command(self, word):
        if self._process is None:
            raise PairError("not started")
        try:
            self._process.stdin.write(word.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        if not select.select([self._process.stdout], [], [], PATIENCE)[0]:
            self.kill("source")
            raise PairError(f"{word}: no answer within {PATIENCE} s; killed")
        line = self._process.stdout.readline()
        if not line:
            raise PairError(f"{word}: mirror_pair has ended with {self._process.wait()}")
        self.answer = json.loads(line)
        self._sent += self.answer.get("wire_bytes", 0)
        if self.answer.get("outcome", "done") != "done" or "error" in self.answer:
            raise PairError(f"{word}: {self.answer}")
        return self.answer

    def run(self):
        self._persist("run")

    def resync(self):
        self._persist("resync")

    def _persist(self, order):
        """As the core does: an order that meets a broken connection is given again."""
        for attempt in range(5):
            try:
                return self.command(order)
            except PairError:
                if attempt == 4 or "connection" not in self.answer.get("detail", ""):
                    raise

    def flush(self):
        self.command("flush")

    def break_channel(self):
        self.command("break")

    def kill(self, who):
        if who == "target":
            if "target" in self.processes():
                os.kill(self.processes()["target"], signal.SIGKILL)
        elif self._process:
            self._end(signal.SIGKILL)

    def quit(self):
        if self._process:
            self._process.stdin.close()
            self._end()

    def _end(self, number=None):
        target = self.processes().get("target")
        if number:
            self._process.send_signal(number)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise PairError("mirror_pair does not end") from None
        finally:
            self._process.stdout.close()
            self._process = None
        while target and is_running(target):  # it writes no more
            time.sleep(0.002)

    def processes(self):
        """The source's process has one that accepts, and that has one that is connected."""
        if self._process is None:
            return {}
        found = {"source": self._process.pid}
        targets = [pid for acceptor in children(self._process.pid) for pid in children(acceptor)]
        if targets:
            found["target"] = targets[-1]
        return found

    def wire_bytes(self):
        return self._sent

    def backups(self):
        return f"{self.state}/target/backups"

    def log(self):
        with open(f"{self.state}/log", encoding="utf-8", errors="replace") as file:
            return f"last answer: {self.answer}\n{file.read()[-4000:]}"


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(one) for one in file.read().split() if is_running(int(one))]
    except OSError:
        return []


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except OSError:
        return False


class RsyncPair(Pair):
    """A control. It does not follow, so that a flush is a run, and has no processes that could be killed."""

    def run(self, *options):
        done = subprocess.run(["rsync", "-aHAXS", "--numeric-ids", "--delete", "--modify-window=-1", *options,
                               self.source + "/", self.target + "/"], check=False, capture_output=True)
        if done.returncode:
            raise PairError(f"rsync: {done.stderr.decode(errors='replace')}")

    flush = run

    def resync(self):
        self.run("--backup", f"--backup-dir={self.backups()}/{len(os.listdir(self.state))}")


class GuardedPair(MirrorPair):
    """The same, with a target that is read-only for everybody but the mirror (guard = true)."""

    def __init__(self, source, target, state):
        super().__init__(source, target, state, ("--guard",))


class Pairs:
    """Makes the pairs of one test, each with names of its own on the ground, and removes them."""

    def __init__(self, ground, kind):
        self._ground, self._kind = ground, kind
        self.made = []

    def new(self):
        kinds = {"mirror": MirrorPair, "rsync": RsyncPair, "guarded": GuardedPair}
        pair = kinds[self._kind](*self._ground.place())
        self.made.append(pair)
        return pair

    def close(self):
        for pair in self.made:
            pair.close()
