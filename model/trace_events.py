"""What a trace says, event by event, and what of each node follows from it: what the model keeps.

Kept is what kernels, disks and the network have seen; no event says what a daemon believes. Each `judge_…` is a rule,
in trace_rules.py.
"""
import dataclasses

STANDBY, SERVE, SUSPEND = 'stands by', 'serves', 'is suspended'
OF_A_DAEMON = ('send', 'fill', 'receive', 'probe', 'answered', 'submit', 'claim', 'activate', 'gate', 'shut', 'exit')
RELEASED, NOT_HOLDING = 5, (0, 6)  # core/heartbeat.hpp: Role
LONGEST_PROMISE = 30_000_000_000


class TraceError(Exception):
    """The trace is none, or contradicts itself."""


@dataclasses.dataclass(frozen=True)
class Heartbeat:
    seq: int
    ack_boot: int
    ack_seq: int
    wanted: int  # promise asked for, ns
    given: int
    said: tuple  # (role, epoch) of each service


@dataclasses.dataclass(frozen=True)
class Stored:
    epoch: int = 0
    claim: int = 0
    active: int = 0
    blocked: int = 0


def ms(ns):
    return 'never' if ns is None else f'{ns / 1e6:.1f} ms'


def latest(*instants):
    return max((i for i in instants if i is not None), default=None)


class Node:
    """What is known of one node. Instants are those of its own clock."""

    def __init__(self, number, services, hosts):
        self.number, self.services, self.hosts = number, range(services), range(hosts)
        self.clock = (0, 0, 0, True)  # the world's time at which it was set, its lead then, ppm, runs
        self.powered = False
        self.gate = [None] * services  # the kernel's deadlines
        self.disk = [Stored()] * services
        self.disk_sets = [(0, 1)] * hosts  # in S_A, in S_B
        self.begin(None, None, None)

    def begin(self, boot, config, now):
        """A daemon's life (None: there is none)."""
        self.boot, self.config, self.started = boot, config, now
        self.runs = boot is not None
        self.submitted, self.before = list(self.disk), list(self.disk)
        self.sets = list(self.disk_sets)
        self.role = [STANDBY] * len(self.services)
        self.since = [now] * len(self.services)  # of the suspension
        self.opens = [False] * len(self.services)  # activated, and the gate not yet set
        self.forced = [False] * len(self.services)
        self.known_epoch = [stored.epoch for stored in self.disk]
        self.receipt = self.sign = None  # last proven heartbeat, last one that was not
        self.peer_boot = self.newest = None
        self.acked_seq, self.acked, self.evidence = 0, None, None  # by the peer's present daemon; by any
        self.sent, self.probed, self.asks_since = {}, set(), None
        self.said = [(0, 0)] * len(self.services)
        self.answered, self.run = [None] * len(self.hosts), [None] * len(self.hosts)
        self.lease = self.inherited = None
        self.promised_until = self.fenced = None

    def own(self, time):
        set_at, lead, ppm, runs = self.clock
        passed = time - set_at
        if not runs:
            return set_at + lead
        drift = abs(passed * ppm) // 1_000_000
        return time + lead + (drift if ppm >= 0 else -drift)

    def in_a(self, host):
        return self.sets[host][0] and self.disk_sets[host][0]

    def in_b(self, host):
        return self.sets[host][1] or self.disk_sets[host][1]

    def silent_since(self):
        return latest(self.receipt, self.sign, self.started)


class Events:
    def __init__(self):
        self.line = self.time = 0
        self.nodes = []
        self.heartbeats = {}  # (node, boot, seq)
        self.configs = {}     # (node, boot)
        self.broken = {}      # assumption: until, in the world's time
        self.used = {}        # (service, epoch): node
        self.both_open = set()  # services
        of_sets = {(name, 'host'): getattr(self, f'on_{name}_of_host') for name in ('submit', 'write', 'disk')}
        self.handlers = of_sets | {(name[3:], None): getattr(self, name) for name in dir(self) if name.startswith('on_')}
        self.owed = []        # (time, node, check): what must have come of an event when the instant is over

    # ---- the events ----

    def take(self, line, time, number, name, subject, values):
        """`subject`: the first of the values is the number of a 'service' or of a 'host', or None: of neither."""
        self.line = line
        if time < self.time:
            raise TraceError('time goes backwards')
        if self.owed and time > self.time:
            self.judge_owed()
        self.time = time
        if number is None:
            return getattr(self, 'on_' + name)(*values)
        if not self.nodes:
            raise TraceError('a trace begins with the lines `timing` and `cluster`')
        handler = self.handlers.get((name, subject)) or self.handlers.get((name, None))
        if handler is None:
            return None  # told to readers only
        node = self.nodes[number]
        if node.boot is None and name in OF_A_DAEMON:
            raise TraceError(f'no daemon runs on node {number}')
        if subject and name != 'force' and not 0 <= values[0] < len(getattr(node, subject + 's')):
            raise TraceError(f'there is no {subject} {values[0]}')
        return handler(node, node.own(time), *values)

    def on_timing(self, heartbeat, lease, window, latency, ppm):
        if min(heartbeat, lease, window) <= 0 or latency < 0 or not 0 <= ppm < 100_000:
            raise TraceError('this is no timing of a cluster')
        self.L, self.W, self.F = lease, window, latency
        self.gap = heartbeat * 5 // 2
        rho = ppm / 1e6
        # What a standby must take the peer's lease for, and the lease for which a promise is safe: the inequality of S2.
        self.over = (1 + rho) * (lease / (1 - rho) + latency)
        self.lease_of = lambda promise: (promise / (1 + rho) - latency) * (1 - rho)

    def on_cluster(self, services, hosts, fence_mode):
        if self.nodes or not hasattr(self, 'L') or not 1 <= services <= 100 or not 0 <= hosts <= 100:
            raise TraceError('one cluster is described, after its timing, with 1 to 100 services and up to 100 hosts')
        self.fence_mode = fence_mode
        self.nodes = [Node(n, services, hosts) for n in range(2)]

    def on_broken(self, assumption, until):
        self.broken[assumption] = max(until, self.broken.get(assumption, 0))

    def on_clock(self, node, now, offset, rate, runs):
        node.clock = (self.time, offset, rate, bool(runs))

    def on_power_on(self, node, now):
        node.powered = True

    def on_power_off(self, node, now):
        node.powered = False
        node.gate = [None] * len(node.gate)

    def on_die(self, node, now):
        node.begin(None, None, None)
        self.forgive(node)
        self.judge_sets(node)

    def on_exit(self, node, now):
        node.runs = False  # it takes nothing in any more
        self.forgive(node)

    def on_start(self, node, now, boot, config, rebooted):
        node.begin(boot, config, now)
        self.configs[node.number, boot] = config
        for s in node.services:
            stored = node.disk[s]
            is_open = node.gate[s] is not None and node.gate[s] > now
            if stored.active and not stored.blocked and is_open and not stored.claim and not rebooted:
                node.role[s] = SERVE
                node.inherited = node.gate[s] if node.inherited is None else min(node.inherited, node.gate[s])
                continue
            node.role[s] = SUSPEND if stored.active else STANDBY
            if is_open:
                self.owe(node, lambda n=node, s=s: self.judge_shut(
                    n, s, 'start', 'after a start that may not go on: ' + self.stored_text(n.disk[s])))
        self.judge_sets(node)

    def on_send(self, node, now, seq, sent, ack_boot, ack_seq, wanted, given):
        if sent != now:
            raise TraceError(f"the clock of node {node.number} shows {now} by its `clock` events, and {sent} in this one")
        node.sent[seq] = now
        node.asks_since = (node.asks_since or seq) if wanted else None
        self.heartbeats[node.number, node.boot, seq] = Heartbeat(seq, ack_boot, ack_seq, wanted, given,
                                                                 tuple(node.said))

    def on_fill(self, node, now, service, role, epoch):
        node.said[service] = (role, epoch)

    def on_receive(self, node, now, boot, seq, proven, link, host):
        peer = 1 - node.number
        heartbeat = self.heartbeats.get((peer, boot, seq))
        if heartbeat is None:
            raise TraceError(f'node {node.number} receives heartbeat {seq} of boot {boot}, which was never sent')
        node.fenced = None
        if not proven:
            node.sign = now
            return
        node.receipt = now
        node.forced = [False] * len(node.forced)
        if boot != node.peer_boot:
            node.peer_boot, node.newest, node.acked_seq, node.acked = boot, None, 0, None
        if heartbeat.ack_boot == node.boot and heartbeat.ack_seq in node.sent and heartbeat.ack_seq > node.acked_seq:
            node.acked_seq, node.acked = heartbeat.ack_seq, node.sent[heartbeat.ack_seq]
            node.evidence = latest(node.evidence, node.acked)
        if node.newest is None or seq > node.newest.seq:
            node.newest = heartbeat
            self.learn(node, now, heartbeat)
        self.renew(node, now)

    def on_probe(self, node, now, sent):
        node.probed.add(sent)

    def on_answered(self, node, now, host, sent):
        if sent not in node.probed:
            raise TraceError(f'host {host} answers a probe that node {node.number} has not sent')
        last = node.answered[host]
        if last is not None and sent <= last:
            return
        if last is None or sent - last > self.gap:
            node.run[host] = sent
        node.answered[host] = sent
        self.renew(node, now)

    def on_force(self, node, now, service):
        for s in node.services:
            node.forced[s] = node.forced[s] or service in (-1, s)

    def on_fenced(self, node, now, off):
        node.fenced = now if off else None

    def on_disk(self, node, now, service, *stored):
        """Its content is now this, and not by a write: what it once knew is no reproach to those who read it."""
        self.used = {key: who for key, who in self.used.items() if who != node.number}
        self.on_write(node, now, service, *stored)

    def on_write(self, node, now, service, *stored):
        node.disk[service] = Stored(*stored)

    def on_write_of_host(self, node, now, host, a, b):
        node.disk_sets[host] = (a, b)
        if node.boot is None:
            node.sets[host] = (a, b)
        self.judge_sets(node)

    on_disk_of_host = on_write_of_host

    def on_submit(self, node, now, service, *stored):
        before = node.before[service] = node.submitted[service]
        after = node.submitted[service] = Stored(*stored)
        if not after.active:
            node.role[service] = STANDBY
        node.known_epoch[service] = max(node.known_epoch[service], before.epoch)
        self.judge_knowledge(node, service, before, after)

    def on_submit_of_host(self, node, now, host, a, b):
        node.sets[host] = (a, b)
        self.judge_sets(node)

    def on_shut(self, node, now, service):
        node.gate[service] = None
        node.opens[service] = False
        self.both_open.discard(service)
        if node.role[service] == SERVE:
            node.role[service], node.since[service] = SUSPEND, now

    def on_claim(self, node, now, service, epoch):
        self.judge_claim(node, service, epoch)

    def on_activate(self, node, now, service, epoch):
        self.judge_epoch(node, service, epoch)
        self.judge_activation(node, now, service, epoch)
        self.used[service, epoch] = node.number
        node.role[service], node.opens[service] = SERVE, True
        node.known_epoch[service] = max(node.known_epoch[service], epoch)

    def on_gate(self, node, now, service, until):
        self.renew(node, now)
        self.judge_opening(node, now, service)
        self.judge_lease(node, now, service, until)
        node.gate[service], node.opens[service], node.role[service] = until, False, SERVE
        self.judge_one_active(node, now, service)

    def on_active(self, node, now, service, epoch):
        self.judge_packet(node, now, service)

    # ---- what follows from them ----

    def learn(self, node, now, heartbeat):
        if heartbeat.wanted:
            node.promised_until = latest(node.promised_until, now + min(heartbeat.wanted, LONGEST_PROMISE))
        else:
            node.promised_until = None
        if not self.agree(node):
            return  # the tables may differ (S12)
        for s, (_, epoch) in enumerate(heartbeat.said):
            node.known_epoch[s] = max(node.known_epoch[s], epoch)
            if node.runs and epoch > node.submitted[s].epoch:
                self.owe(node, lambda s=s, epoch=epoch: self.judge_step_down(node, s, epoch))

    def agree(self, node):
        return node.peer_boot is not None and node.config == self.configs[1 - node.number, node.peer_boot]

    def renew(self, node, now):
        evidence = [node.answered[h] for h in node.hosts if node.in_a(h)] + [node.evidence]
        if self.fence_mode and node.fenced is not None:
            evidence.append(now)  # the peer is off: nobody else can be active
        newest = latest(*evidence)
        if newest is not None:
            node.lease = latest(node.lease, newest + self.L)

    def has_lease(self, node, now):
        return node.lease is not None and node.lease > now

    def open_until(self, node, service):
        return node.gate[service] + self.F if node.powered and node.gate[service] is not None else -1 << 62

    # ---- what must have come of an event when its instant is over ----

    def owe(self, node, check):
        self.owed.append((self.line, node, check))

    def forgive(self, node):
        self.owed = [owed for owed in self.owed if owed[1] is not node]

    def judge_owed(self):
        owed, self.owed, now = self.owed, [], self.line
        for self.line, _, check in owed:
            check()
        self.line = now
