"""The observer (who answers for the service address?) and the client (is it answered?), as Python objects."""
import json
import os
import subprocess
import sys
import threading
import time

from . import tools
from .hosts import LabError, wait_for


class _Helper:
    """A helper program that takes one-line commands and gives one-line answers."""

    def __init__(self, host, *argv):
        self._process = host.popen(*argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._lock = threading.Lock()
        if self._process.stdout.readline() != "ready\n":
            raise LabError(f"{argv[0]} did not start")

    def ask(self, command):
        with self._lock:
            self._process.stdin.write(command + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


class Observer:
    """Watches the LAN switch's node ports for frames in which the service addresses speak.

    The tenures are the order in which the nodes spoke: ["serv1", "serv2"] after one takeover. A node that is
    heard again although another one has spoken since, and without a move that the test knows of, is a second
    active node. Frames of one packet socket are in order of arrival, so no clock is compared.
    """

    def __init__(self, lab, addresses):
        self.addresses = [address.split("/")[0] for address in addresses]
        self._watch = _Helper(lab.switch, tools.helper("observer"), "watch", *self.addresses)
        self._ask = lab["obs"].popen(tools.helper("observer"), "ask", "eth0", *self.addresses,
                                     stdin=subprocess.DEVNULL)
        lab.add_watcher(self)

    def reset(self):
        self._watch.ask("reset")

    def report(self):
        return self._watch.ask("report")

    def runs(self):
        return self.report()["runs"]

    def tenures(self):
        return [run["node"] for run in self.runs()]

    def last_heard(self, node):
        """When (time.monotonic) the node last spoke with the service's address; None = never."""
        times = [run["last"] for run in self.runs() if run["node"] == node]
        return max(times) if times else None

    def silent_for(self, node):
        report = self.report()
        times = [run["last"] for run in report["runs"] if run["node"] == node]
        return report["now"] - max(times) if times else float("inf")

    def answering(self, within=0.5):
        """The nodes that spoke within the last so many seconds."""
        report = self.report()
        return sorted({run["node"] for run in report["runs"] if report["now"] - run["last"] <= within})

    def dual_active_ms(self, tenures=None):
        """For how long two nodes answered in turns. 0.0 is what must be shown.

        With `tenures`, the exact order of nodes that the story allows. Without, a node that is heard again
        less than a second after another one took the address counts as never having let go.
        """
        runs = self.runs()
        if tenures is not None:
            if [run["node"] for run in runs] == list(tenures):
                return 0.0
            extra = runs[len(tenures) - 1:] if tenures else runs
            overlap = (extra[-1]["last"] - extra[0]["first"]) * 1e3 if len(runs) > len(tenures) else 0.0
            return max(overlap, self._overlap_ms(runs))
        return self._overlap_ms(runs)

    @staticmethod
    def _overlap_ms(runs):
        total = 0.0
        for before, between, after in zip(runs, runs[1:], runs[2:]):
            if before["node"] == after["node"] and after["first"] - before["last"] < 1.0:
                total += (after["first"] - between["first"]) * 1e3
        return total

    def never_dual(self, *tenures):
        """Raises unless the nodes spoke exactly in this order, each in one piece. Without an order (where the
        story leaves it open): unless nobody is heard again within a second of having been followed."""
        runs = self.runs()
        seen = [run["node"] for run in runs]
        if tenures and seen != list(tenures):
            raise AssertionError(f"the service address was spoken for by {seen or 'nobody'}, expected "
                                 f"{list(tenures)}: {json.dumps(runs[-12:])}")
        overlap = 0.0 if tenures else self._overlap_ms(runs)
        if overlap > 0:
            raise AssertionError(f"two nodes answered in turns for {overlap:.1f} ms: {json.dumps(runs[-12:])}")
        return True

    def close(self):
        if self._watch is not None:
            self._watch.close()
            self._ask.kill()
            self._ask.wait()
            self._watch = None


class Client:
    """Asks the service every millisecond from host c."""

    def __init__(self, lab, address, port=None, static_mac=None, host="c"):
        self.host = lab[host]
        self.address = address.split("/")[0]
        if static_mac:
            self.static_entry(static_mac)
        target = ["udp", self.address, str(port)] if port else ["icmp", self.address]
        self._helper = _Helper(self.host, tools.helper("probe"), *target)
        lab.add_watcher(self)

    def static_entry(self, mac):
        """The client never learns another MAC for the service than this one."""
        self.host.run("ip", "neigh", "replace", self.address, "lladdr", mac, "nud", "permanent", "dev", "eth0")

    def report(self):
        return self._helper.ask("report")

    def reset(self):
        self._helper.ask("reset")

    def is_answered(self, within=0.05):
        report = self.report()
        return report["answered"] > 0 and report["now"] - report["last_answer"] < within

    def await_answers(self, seconds=60):
        wait_for(self.is_answered, seconds, f"{self.address} answers the client", every=0.002)

    def await_silence(self, seconds=60, length=0.5):
        wait_for(lambda: not self.is_answered(length), seconds, f"{self.address} falls silent", every=0.01)

    def gap_around(self, instant, seconds=60):
        """The gap in the answers (ms) that began at or after `instant` minus a little; waits for its end."""
        def ended():
            report = self.report()
            if report["answered"] and report["last_answer"] > instant:
                for gap in report["gaps"]:
                    if gap["to"] > instant and gap["from"] >= instant - 0.25:
                        return gap
            return None
        return wait_for(ended, seconds, "the client is answered again", every=0.002)

    def longest_gap_ms(self):
        return self.report()["longest_gap"] * 1e3

    def close(self):
        if self._helper is not None:
            self._helper.close()
            self._helper = None


class WebClient:
    """Asks the web service from host c, one request after the other (lab/asker.py)."""

    def __init__(self, lab, address, path="/", host="c"):
        self._helper = _Helper(lab[host], sys.executable, os.path.dirname(__file__) + "/asker.py",
                               address.split("/")[0], path)
        lab.add_watcher(self)

    def report(self):
        return self._helper.ask("report")

    def reset(self):
        self._helper.ask("reset")

    def await_answers(self, seconds=60):
        """Until a request is answered that was sent after this call."""
        answered = self.report()["answered"]
        wait_for(lambda: self.report()["answered"] > answered + 1, seconds, "the web client is answered")

    def close(self):
        if self._helper is not None:
            self._helper.close()
            self._helper = None


def now():
    return time.monotonic()


def processors_idle_hint():
    """Load of the machine, to be told beside figures."""
    return os.getloadavg()[0]
