"""Judges of a campaign that do not believe the daemons: frames on the wire, files on the disks, lines in the logs."""
import json
import os
import re

import ground  # noqa: F401  pylint: disable=unused-import  (finds the package lab)
from lab.network import NODES
from store import decode

FORBIDDEN = re.compile(r"invariant broken|assert|Assertion|\bBUG\b|core dumped|AddressSanitizer|runtime error:|"
                       r"terminate called|[Ss]egmentation|stack smashing|std::|what\(\):")
EPOCH = re.compile(r"\bepoch (\d+)")
TAKES = re.compile(r"(serv[12]) takes over web at epoch (\d+)")
OURS = re.compile(r"^k\d+$")


# --- who spoke -----------------------------------------------------------------------------------------
class Epochs:
    """Which node served at which epoch. The nodes draw their epochs from different numbers (S4), so any mention
    of an epoch, in either log, says whose it was; a line that was lost at a power failure is in the other log."""

    def __init__(self):
        self._parity = {}
        self.known = set()
        self._read = {}

    def read(self, name, path):
        """Takes in what the log has gained. Returns the new text."""
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                file.seek(self._read.get(name, 0))
                text = file.read()
                self._read[name] = file.tell()
        except OSError:
            return ""
        for node, epoch in TAKES.findall(text):
            self._parity.setdefault(int(epoch) % 2, node)
        self.known.update(int(epoch) for epoch in EPOCH.findall(text))
        return text

    def note(self, epoch):
        self.known.add(epoch)

    def node(self, epoch):
        if epoch % 2 in self._parity:
            return self._parity[epoch % 2]
        others = [node for node in NODES if node not in self._parity.values()]
        return others[0] if len(others) == 1 else None

    def after(self, epoch):
        return sorted(one for one in self.known if one > epoch)


def assign(runs, epochs):
    """Each of the observer's runs to an epoch of its node, in order; the frames of each epoch, and the first run
    for which there is no epoch left (None if all is well). `epochs`: [(epoch, node), …], oldest first. Each
    change of speaker needs an activation of its own: frames of two nodes in turns have none."""
    frames, place = {}, 0
    for run in runs:
        while place < len(epochs) and epochs[place][1] != run["node"]:
            place += 1
        if place == len(epochs):
            return frames, run
        frames[epochs[place][0]] = frames.get(epochs[place][0], 0) + run["frames"]
    return frames, None


# --- files ---------------------------------------------------------------------------------------------
def difference(lab, one, two, folder):
    """What rsync, run on node `one`, finds to be different on node `two`; "" if nothing."""
    ssh = f"ssh -i {lab.keys}/id -o UserKnownHostsFile={lab.keys}/known_hosts"
    done = lab[one].run("rsync", "-aHAXS", "--numeric-ids", "--delete", "-n", "-i", "--checksum", "--exclude=/.hog",
                        "--exclude=/lost+found", "-e", ssh,
                        folder + "/", f"root@{two}-hb:{folder}/", check=False)
    return done.stdout + ("" if done.returncode == 0 else f"rsync: {done.returncode} {done.stderr}")


def read_store(folder):
    """({name: history}, [names of files that were never written like that])."""
    found, torn = {}, []
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        if not OURS.match(name):
            continue
        with open(os.path.join(folder, name), "rb") as file:
            decoded = decode(file.read())
        if decoded is None or decoded[0] != name:
            torn.append(os.path.join(folder, name))
        else:
            found[name] = decoded[1]
    return found, torn


class Kept:
    """What the backup sets of a node hold, and what their reports name."""

    def __init__(self, folder, store):
        self.versions = {}  # name: versions that live on in copies
        self.named = {}     # name: changes that loss reports list
        self.torn = []
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            if name.startswith("."):
                continue
            found, torn = read_store(f"{folder}/{name}/files{store}")
            self.torn += torn
            for file, history in found.items():
                self.versions.setdefault(file, set()).update(history)
            try:
                with open(f"{folder}/{name}/report.json", encoding="utf-8") as file:
                    report = json.load(file)
            except (OSError, ValueError):
                continue
            for lost in report["lost"]:
                if lost["path"].startswith(store + "/"):
                    self.named.setdefault(os.path.basename(lost["path"]), set()).add(lost["change"])


class Promises:
    """The client's journal: what was acknowledged."""

    def __init__(self):
        self.puts = {}          # name: [versions that were acknowledged]
        self.covered = {}       # name: versions that were there when its deletion was acknowledged
        self.deletions = {}     # name: True if acknowledged, False if nobody knows
        self.findings = []
        self.undone = set()     # deletions that came back without being named
        self.requests = self.unanswered = self.refused = 0
        self._tenure = None     # who has answered without interruption, and what it must therefore still know
        self._seen = {}
        self._offset = 0

    def read(self, path):
        with open(path, encoding="utf-8") as file:
            file.seek(self._offset)
            for text in file:
                self._line(json.loads(text))
            self._offset = file.tell()

    def _line(self, line):
        name, history = line["name"], line["history"]
        self.requests += 1
        if line["op"] == "delete":
            self.deletions[name] = line["ok"] is True
        if line["ok"] is None or line["node"] != self._tenure:
            self._tenure, self._seen = line["node"], {}
        if line["ok"] is None:
            self.unanswered += 1
            return
        if line["ok"] is False:
            self.refused += 1
            self._seen.pop(name, None)
            return
        if history == "torn":
            self.findings.append(f"{line['node']} served a torn file: {line}")
            return
        if name in self._seen:
            before = self._seen[name]
            grown = (history or [])[:-1] if line["op"] == "put" else history or []
            if grown != before:
                self.findings.append(f"{line['node']} has forgotten what it acknowledged: {line}, before: {before}")
        self._seen[name] = history or []
        if line["op"] == "put":
            self.puts.setdefault(name, []).append(line["version"])
        elif line["op"] == "delete":
            self.covered.setdefault(name, set()).update(history or [])
            self._seen[name] = []

    def judge(self, tree, kept, name_losses):
        """Findings: acknowledged changes that are nowhere, or in a backup set without being named as lost."""
        findings = list(self.findings)
        self.findings.clear()
        lost = 0
        for name, versions in self.puts.items():
            here = set(tree.get(name, ()))
            copies = set().union(*(one.versions.get(name, set()) for one in kept))
            named = set().union(*(one.named.get(name, set()) for one in kept))
            if name in self.deletions and not self.deletions[name] and name not in tree:
                continue  # whether it was deleted, and with which history, nobody was told
            missing = [version for version in versions if version not in here | self.covered.get(name, set())]
            lost += len(missing)
            nowhere = [version for version in missing if version not in copies]
            if nowhere:
                findings.append(f"acknowledged versions {nowhere} of {name} are nowhere (tree {tree.get(name)}, "
                                f"copies {sorted(copies)}, named {sorted(named)})")
            elif missing and name_losses and not named:
                findings.append(f"versions {missing} of {name} are in a backup set, but no report names {name}")
        for name, acknowledged in self.deletions.items():
            if acknowledged and name in tree and not any("deleted" in one.named.get(name, ()) for one in kept):
                self.undone.add(name)
        return findings, lost


def forbidden(text):
    return [line for line in text.splitlines() if FORBIDDEN.search(line)]
