"""What the nemesis does: drawing the faults of a seed (pure: the same seed gives the same list), and doing them.

A campaign is a list of labs; a lab has a configuration of its own and a list of rounds; a round is one to three
faults that overlap. Swarm style: each lab draws which kinds of faults exist for it and how often they come, so
that a rare combination is common in some lab.
"""
import dataclasses
import math
import random

FAULTS_PER_LAB = 60


@dataclasses.dataclass
class Fault:
    kind: str
    where: str      # "active", "standby", "serv1", "serv2", or a host, a switch: what the kind wants
    at: float       # seconds after the beginning of the round
    lasts: float    # seconds
    detail: str = ""
    number: float = 0.0
    until_takeover: bool = False  # lasts until the other node serves; asserted
    began: float = 0.0            # filled in when it is done: seconds since the beginning of the campaign
    node: str = ""                # and who "active" was

    def __str__(self):
        who = self.where if self.node in ("", self.where) else f"{self.where} {self.node}"
        extra = f" {self.detail}" if self.detail else ""
        extra += f" {self.number:g}" if self.number else ""
        span = "until takeover" if self.until_takeover else f"{self.lasts:.2f} s"
        return f"{self.kind} {who}{extra} at {self.at:.2f} for {span}"


# kind: (weight, what `where` is drawn from, shortest, longest, what `detail` is drawn from)
_NODE = ("active", "active", "standby", "serv1", "serv2")
KINDS = {
    "power": (5, _NODE, 0.05, 4, None),
    "kill": (4, _NODE, 0.05, 3, None),
    "freeze": (5, _NODE, 0.1, 20, None),
    "restart": (3, _NODE, 0.05, 8, None),
    "nic-down": (3, _NODE, 0.1, 4, ("eth0", "eth1")),
    "unplug": (3, _NODE, 0.1, 4, ("eth0", "eth1", "both")),
    "one-way": (3, _NODE, 0.1, 4, ("peer", "everybody")),
    "isolate": (2, _NODE, 0.1, 4, None),
    "loss": (4, ("nodes", "all"), 0.5, 5, None),
    "switch-down": (2, ("lan", "hb"), 0.05, 3, None),
    "host-down": (3, ("r1", "r2", "both"), 0.1, 5, None),
    "host-cut": (3, _NODE, 0.1, 5, ("r1", "r2", "both")),
    "split": (3, ("lan", "lan+hb"), 0.1, 4, None),
    "unit-killed": (2, ("active",), 0.1, 0.5, ("store.py", "responder")),
    "unit-broken": (1, _NODE, 0.3, 3, None),
    "unit-stubborn": (1, ("active",), 0.3, 3, None),
    "unit-stuck": (1, ("active",), 0.3, 4, None),
    "disk-full": (2, _NODE, 0.5, 6, ("/var/lib/clusterd", "/srv/web")),
    "mirror-killed": (3, _NODE, 0.05, 0.2, ("rsync", "clusterd-mirror")),
    "ssh-cut": (2, _NODE, 0.5, 4, None),
    "move": (5, ("serv1", "serv2"), 0.05, 1, ("", "serv1", "serv2")),
    "move-both": (2, ("serv1",), 0.05, 1, None),
    "standby": (2, ("serv1", "serv2"), 0.3, 4, ("serv1", "serv2")),
    "resync": (2, ("serv1", "serv2"), 0.05, 1, None),
    "stop-services": (1, _NODE, 0.3, 3, None),
    "look": (1, ("serv1", "serv2"), 0.05, 0.5, None),
    "address-removed": (2, ("active",), 0.1, 0.5, None),
    "garbage": (1, ("serv1", "serv2"), 0.1, 0.5, None),
    "forced": (1, ("active",), 0.5, 3, None),
}
ALONE = {"forced"}                     # never beside another fault: its premise is that the peer is certainly off
TAKEOVER = {"power", "kill"}           # these end with a takeover if they hit the active node of a healthy cluster
BOTH_LINKS = {"lan+hb", "both"}


def draw_labs(seed, faults):
    """[(lab's configuration, [round, …]), …] with as many faults as asked for."""
    labs, left, number = [], faults, 0
    while left > 0:
        count = min(left, FAULTS_PER_LAB)
        labs.append(_draw_lab(random.Random(f"{seed}.{number}"), count))
        left -= count
        number += 1
    return labs


def _draw_lab(dice, count):
    setting = {
        "mac": dice.choices(("virtual", "none", "redundant"), (6, 2, 2))[0],
        "hosts": dice.choice((("192.168.1.1", "192.168.1.2"), ("192.168.1.1",), ("192.168.1.1", "arp://192.168.1.2"))),
        "every": dice.choice(("1s", "3s", "10s")),
        "failback": dice.random() < 0.2,
    }
    weights = {kind: spec[0] * 2 ** dice.uniform(-2, 2) for kind, spec in KINDS.items() if dice.random() < 0.65}
    weights = weights or {"power": 1.0}
    crowd = dice.choice(((8, 2, 0), (4, 4, 2), (2, 4, 4)))
    rounds = []
    while count > 0:
        wanted = min(count, dice.choices((1, 2, 3), crowd)[0])
        kinds = dice.choices(list(weights), list(weights.values()), k=wanted)
        if any(kind in ALONE for kind in kinds):
            kinds = kinds[:1]
        faults = [_draw_fault(dice, kind, len(kinds)) for kind in kinds]
        if len(faults) == 1:
            faults[0].at = 0.0
        rounds.append(sorted(faults, key=lambda fault: fault.at))
        count -= len(faults)
    return setting, rounds


def _draw_fault(dice, kind, company):
    _, wheres, shortest, longest, details = KINDS[kind]
    lasts = math.exp(dice.uniform(math.log(shortest), math.log(longest)))
    fault = Fault(kind, dice.choice(wheres), round(dice.uniform(0, 1.5), 3), round(lasts, 3),
                  dice.choice(details) if details else "")
    if kind == "loss":
        fault.number = float(dice.randint(1, 60))
    if kind == "unplug" and dice.random() < 0.5:
        fault.detail = "both"
    if company == 1 and kind in TAKEOVER and fault.where == "active" and dice.random() < 0.7:
        fault.until_takeover = True
    return fault
