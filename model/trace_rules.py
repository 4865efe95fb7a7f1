"""The model's rules, held against what a trace says that kernels, disks and the network have seen (model/check-trace).

`Cluster` takes one event after the other (trace_events.py). What no rule permits is a finding; the rules have the names
of the model.
"""
import dataclasses

from trace_events import Events, latest, LONGEST_PROMISE, ms, NOT_HOLDING, RELEASED, SERVE, SUSPEND

RULES = {
    'ONE_ACTIVE': "never are both kernels' gates of a service open (unless an assumption is broken at the time)",
    'FRESH_EPOCH': 'no epoch is used for two activations',
    'WITHIN': "a host in S_A of a node is in S_B of the other one, by both nodes' disks and what is on its way there",
    'renew': 'a gate is open for a lease from when its evidence was sent: an own heartbeat that was acknowledged, or a '
             'probe that a host of S_A has answered',
    'expire': 'a lease that has run out is not renewed: the node resumes, or activates anew',
    'start': "a daemon goes on only under its predecessor's gate, as the last active one and with no epoch claimed; "
             'otherwise the gate is shut at once',
    'MAY_RESUME': 'a node that fell silent resumes only if the peer does not hold the service, and says so with the '
                  'knowledge of a heartbeat sent since and younger than a lease',
    'MAY_CLAIM': 'a node takes over only after a window without a receipt, a sign of life or a start, as one that has '
                 'heard its peer or was the last active one',
    'all_conclusive': 'a node takes over only if each host of S_B has answered without a gap for longer than a lease, '
                      'and a probe that was sent when that lease was over',
    'CLAIM_IS_DURABLE': 'an epoch is used only when its claim is on disk',
    'draw_epoch': 'a claimed epoch is higher than all that this daemon knows, and of its own numbers',
    'receive': 'who hears of a higher epoch has its gate shut and knows the epoch in the same instant',
    'gate': 'no packet leaves but through a gate that is open',
    # Beyond the model (README.md):
    'release': 'a node takes what its peer has let go of only on a word younger than a window',
    'promise': 'a node that has promised to wait for a restarting peer does not take over meanwhile',
}
ASSUMPTIONS = {0: 'A1', 1: 'A2', 2: 'A3', 3: "an administrator's word", 4: 'A6'}


@dataclasses.dataclass
class Finding:
    line: int
    time: int
    node: object
    rule: str
    text: str


class Cluster(Events):
    def __init__(self):
        super().__init__()
        self.findings, self.excused, self.counts = [], 0, {}

    # ---- gates and leases ----

    def judge_one_active(self, node, now, service):
        peer = self.nodes[1 - node.number]
        rest = self.open_until(peer, service) - peer.own(self.time)
        if rest <= 0 or node.gate[service] <= now:
            self.both_open.discard(service)
        elif service not in self.both_open:
            self.both_open.add(service)
            self.find(node, 'ONE_ACTIVE',
                      f'opens the gate of service {service}; that of node {peer.number} is open for {ms(rest)} more (the '
                      f'latency of {ms(self.F)} included)', excuses=ASSUMPTIONS)

    def judge_packet(self, node, now, service):
        if self.open_until(node, service) <= now:
            self.find(node, 'gate', f'a packet of service {service} leaves; its gate is '
                      + ('shut' if node.gate[service] is None else f'over for {ms(now - node.gate[service])}'))

    def judge_lease(self, node, now, service, until):
        self.count('gates')
        allowed, of_what = node.lease, 'its evidence'
        if self.has_lease(node, now):
            node.inherited = None
        elif node.inherited is not None:
            allowed, of_what = node.inherited, "its predecessor's gate"
        given = node.newest is not None and node.newest.given and node.asks_since is not None
        if given and node.acked_seq >= node.asks_since:
            promise = min(self.heartbeats[node.number, node.boot, node.acked_seq].wanted, LONGEST_PROMISE)
            allowed, of_what = latest(allowed, node.acked + self.lease_of(promise)), "the peer's promise"
        if node.forced[service] or (allowed is not None and until <= allowed):
            return
        newest = latest(node.evidence, *(node.answered[h] for h in node.hosts if node.in_a(h)))
        beyond = 'there is none' if allowed is None else f'{ms(until - allowed)} beyond the lease of {of_what}'
        self.find(node, 'renew',
                  f'the gate of service {service} is set to {ms(until - now)} from now: {beyond}; the newest evidence was '
                  f'sent {"never" if newest is None else ms(now - newest) + " ago"} and counts for {ms(self.L)}')

    def judge_opening(self, node, now, service):
        """The gate is set: was it open, or may it open?"""
        until = node.gate[service]
        serves = node.role[service] == SERVE
        if node.opens[service] or node.forced[service] or (serves and until is not None and until > now):
            return
        if self.lasts(3) and serves:
            return  # whoever forced it vouched for the rest of its lease
        if serves:
            node.since[service] = node.started if until is None else until
            node.role[service] = SUSPEND
        against = self.against_resuming(node, now, service)
        self.count('resumed')
        if against:
            rule = 'expire' if serves else 'MAY_RESUME' if node.role[service] == SUSPEND else 'MAY_CLAIM'
            self.find(node, rule, f'the gate of service {service} opens without a new epoch, and {against}')

    def against_resuming(self, node, now, service):
        """Why the node may not resume; '' if it may."""
        if node.role[service] != SUSPEND:
            return 'the node does not hold the service'
        if node.newest is None:
            return 'its peer was never heard'
        if now - node.receipt >= self.W:
            return f'its peer was last heard {ms(now - node.receipt)} ago; needed: less than {ms(self.W)}'
        if not self.agree(node):
            return 'the configurations differ'
        if not self.has_lease(node, now):
            return 'it has no lease'
        if node.acked is None or node.acked < node.since[service]:
            return (f"the peer's present daemon has acknowledged "
                    f"{'nothing' if node.acked is None else f'what was sent {ms(now - node.acked)} ago'}; needed: a "
                    f'heartbeat sent since the lease was over, {ms(now - node.since[service])} ago')
        if now - node.acked >= self.L:
            return f'the acknowledged heartbeat was sent {ms(now - node.acked)} ago; needed: less than {ms(self.L)}'
        if node.newest.said[service][0] not in NOT_HOLDING:
            return f'the peer says that it holds the service (role {node.newest.said[service][0]})'
        return ''

    # ---- epochs ----

    def judge_claim(self, node, service, epoch):
        self.count('claims')
        known = max(node.known_epoch[service], node.before[service].claim)
        if epoch <= known and not node.forced[service]:
            self.find(node, 'draw_epoch', f'claims epoch {epoch} of service {service}, and knows of {known}; needed: more')
        if epoch % 2 != node.number:
            self.find(node, 'draw_epoch', f"claims epoch {epoch} of service {service}: that is one of the peer's numbers")

    def judge_epoch(self, node, service, epoch):
        what = f'activates service {service} at epoch {epoch}'
        disk, known = node.disk[service], node.known_epoch[service]
        if epoch not in (disk.claim, disk.epoch):
            self.find(node, 'CLAIM_IS_DURABLE', f'{what}; on its disk: {self.stored_text(disk)}')
        if epoch <= known and not node.forced[service]:
            self.find(node, 'draw_epoch', f'{what}, and knows of {known}; needed: more')
        if (service, epoch) in self.used:
            self.find(node, 'FRESH_EPOCH', f'{what}, which node {self.used[service, epoch]} has used before')

    def judge_knowledge(self, node, service, before, after):
        if after.epoch < before.epoch:
            self.find(node, 'receive', f'knows of epoch {before.epoch} of service {service}, and goes back to {after.epoch}')

    # ---- rights to serve ----

    def judge_activation(self, node, now, service, epoch):
        what = f'activates service {service} at epoch {epoch}'
        if node.forced[service]:
            return self.count('forced')
        if node.receipt is not None and now - node.receipt < self.W:
            return self.judge_talk(node, now, service, what)
        self.count('takeovers')
        silent = now - node.silent_since()
        if silent < self.W:
            self.find(node, 'MAY_CLAIM', f'{what}; its peer is silent for {ms(silent)} (since the last receipt, sign of '
                                         f'life or start); needed: {ms(self.W)}')
        last_active = node.before[service].active
        if node.role[service] != SUSPEND and node.newest is None and not last_active:
            self.find(node, 'MAY_CLAIM', f'{what}; it has not heard its peer, and was not the last active node')
        if node.promised_until is not None and now < node.promised_until:
            self.find(node, 'promise', f'{what}; it has promised to wait for {ms(node.promised_until - now)} more')
        if self.fence_mode:
            if node.fenced is None:
                self.find(node, 'all_conclusive', f'{what}; there are no reference hosts, and the peer is not known to be off')
            return None
        return self.judge_hosts(node, now, what)

    def judge_talk(self, node, now, service, what):
        """The peer is heard: it has let go of the service, or this node resumes at a new epoch."""
        role = node.newest.said[service][0] if self.agree(node) else None
        if role == RELEASED:
            self.count('handovers')
            if node.acked is None or now - node.acked >= self.W:
                self.find(node, 'release', f"{what}; the peer's word rests on a heartbeat sent "
                          + ('never' if node.acked is None else ms(now - node.acked) + ' ago')
                          + f'; needed: less than {ms(self.W)}')
            return
        against = self.against_resuming(node, now, service)
        self.count('resumed')
        if not against:
            return
        if node.role[service] == SUSPEND:
            self.find(node, 'MAY_RESUME', f'{what}, and {against}')
        else:
            self.find(node, 'MAY_CLAIM', f'{what}; its peer was heard {ms(now - node.receipt)} ago, and has not let go of '
                                         f'it (role {role}); needed: a silence of {ms(self.W)}')

    def judge_hosts(self, node, now, what):
        counted = [h for h in node.hosts if node.in_b(h)]
        if not counted:
            self.find(node, 'all_conclusive', f'{what}; no reference host is in its S_B')
        for h in counted:
            if node.answered[h] is None:
                self.find(node, 'all_conclusive', f'{what}; host {h} has never answered')
                continue
            age = now - node.answered[h]
            since = max(node.silent_since(), node.run[h])
            if age > self.gap:
                self.find(node, 'all_conclusive', f'{what}; the newest answered probe of host {h} was sent {ms(age)} ago; '
                                                  f'needed: {ms(self.gap)} at most')
            elif node.answered[h] - since < self.over:
                which = 'run of answers without a gap' if since == node.run[h] else 'silence of the peer'
                self.find(node, 'all_conclusive',
                          f'{what}; the newest answered probe of host {h} was sent {ms(node.answered[h] - since)} after the '
                          f'{which} had begun; needed: {ms(self.over)}, when the lease of the peer was over')

    # ---- what is owed ----

    def judge_step_down(self, node, service, epoch):
        if node.submitted[service].epoch < epoch:
            self.find(node, 'receive', f'has heard of epoch {epoch} of service {service}, and still goes by '
                                       f'{node.submitted[service].epoch}')
        self.judge_shut(node, service, 'receive', f'after its peer has told it of epoch {epoch}')

    def judge_shut(self, node, service, rule, when):
        left = 0 if node.gate[service] is None else node.gate[service] - node.own(self.time)
        if left > 0:
            self.find(node, rule, f'the gate of service {service} stays open for {ms(left)} {when}')

    # ---- counted sets ----

    def judge_sets(self, changed):
        for node in self.nodes:
            peer = self.nodes[1 - node.number]
            for h in node.hosts:
                if node.in_a(h) and not peer.in_b(h):
                    self.find(changed, 'WITHIN', f'host {h} is in S_A of node {node.number} and not in S_B of node '
                                                 f'{peer.number}: ' + self.sets_text(h), excuses=(2,))

    # ---- telling ----

    def stored_text(self, stored):
        return (f'epoch {stored.epoch}, ' + (f'epoch {stored.claim} claimed' if stored.claim else 'none claimed')
                + (', last active' if stored.active else '') + (', blocked' if stored.blocked else ''))

    def sets_text(self, host):
        return '; '.join(f'node {n.number}: S_A {n.sets[host][0]} (on disk {n.disk_sets[host][0]}), '
                         f'S_B {n.sets[host][1]} (on disk {n.disk_sets[host][1]})' for n in self.nodes)

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    def lasts(self, assumption):
        return self.time < self.broken.get(assumption, 0)

    def find(self, node, rule, text, excuses=()):
        if any(self.lasts(assumption) for assumption in excuses):
            self.excused += 1
        else:
            self.findings.append(Finding(self.line, self.time, node.number, rule, text))
