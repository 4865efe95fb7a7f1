"""Does the nemesis' faults to a lab, ends them, and heals everything in the end.

Faults overlap, so each one minds that another one may have taken what it works on (a node that is off has no
daemon to kill). Whatever a fault leaves behind because of that is mended by heal().
"""
import os
import signal
import subprocess
import time

import ground  # noqa: F401  pylint: disable=unused-import  (finds the package lab)
from lab import LabError, tools
from lab.network import HEARTBEAT, LAN, NODES, ipv4, other, ports_of

SERVICE_ADDRESS = ipv4(20)
FLAGS = "/run/nemesis"
HOGS = ("/var/lib/clusterd", "/srv/web")
GARBAGE = """
import os, random, socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(500):
    s.sendto(os.urandom(random.choice([0, 1, 7, 24, 60, 100, 300, 1100, 1400])), ({target!r}, 7410))
"""


class Hands:
    def __init__(self, ground, finding):
        self.ground = ground
        self.lab = ground.lab
        self.finding = finding        # finding(text): something that must never be seen
        self.alive = set(NODES)       # whose daemon is to run, as far as the nemesis knows
        self.silenced = {}            # node: (instant of the kill or freeze, longest lease)
        self.holding = set()          # nodes whose daemon was given a promise in this round: their gate stays open
        self._rules = {}              # fault: nft rules
        self._orders = []             # (words, process)
        self.lease = 0.6

    # --- who ---------------------------------------------------------------------------------------------
    def resolve(self, where):
        if where in NODES:
            return where
        roles = {node: self.ground.role(node) for node in NODES}
        active = next((node for node in NODES if roles[node] == "active"), None)
        if active is None:
            active = next((node for node in NODES if roles[node] not in (None, "standby")), "serv1")
        return active if where == "active" else other(active)

    def begin(self, fault):
        if fault.where in ("active", "standby") + NODES:
            fault.node = self.resolve(fault.where)
        getattr(self, "begin_" + fault.kind.replace("-", "_"))(fault)

    def end(self, fault):
        action = getattr(self, "end_" + fault.kind.replace("-", "_"), None)
        if action:
            action(fault)

    def node(self, fault):
        return self.lab[fault.node]

    def up(self, fault):
        return self.node(fault).is_up()

    def sh(self, node, script):
        if self.lab[node].is_up():
            try:
                self.lab[node].sh(script, check=False, timeout=60)
            except (LabError, subprocess.TimeoutExpired) as error:
                if self.lab[node].is_up():
                    raise LabError(f"{node}: {script}: {error}") from error

    # --- power and daemon --------------------------------------------------------------------------------
    def begin_power(self, fault):
        if self.up(fault):
            self.alive.discard(fault.node)
            self.node(fault).power_off()
            self.silenced.pop(fault.node, None)

    def end_power(self, fault):
        if not self.up(fault):
            self.node(fault).power_on()
            self.alive.add(fault.node)

    def running(self, fault):
        node = self.node(fault)
        return node.is_up() and node.daemon is not None and node.daemon.alive()

    def begin_kill(self, fault):
        if self.running(fault):
            self.alive.discard(fault.node)
            self.node(fault).kill_clusterd()
            self.silenced[fault.node] = time.monotonic()

    def end_kill(self, fault):
        self.check_silence(fault.node)
        self.start(fault.node)

    def start(self, name):
        node = self.lab[name]
        if node.is_up() and not (node.daemon is not None and node.daemon.alive()):
            node.start_clusterd()
            self.alive.add(name)

    def begin_freeze(self, fault):
        if self.running(fault):
            self.node(fault).freeze()
            self.silenced[fault.node] = time.monotonic()

    def end_freeze(self, fault):
        if self.running(fault):
            self.check_silence(fault.node)
            self.node(fault).thaw()

    def check_silence(self, node):
        """S3: a daemon that cannot renew its lease is not heard when that is over."""
        since = self.silenced.pop(node, None)
        if since is None or node in self.holding:
            return
        last = self.ground.observer.last_heard(node)
        if last is not None and last > since + self.lease + 0.02:
            self.finding(f"{node} spoke {last - since:.3f} s after its daemon was killed or frozen "
                         f"(lease {self.lease:g} s)")

    def begin_restart(self, fault):
        if self.running(fault):
            self.alive.discard(fault.node)
            self.holding.add(fault.node)
            self.node(fault).daemon.signal(signal.SIGTERM)

    def end_restart(self, fault):
        node = self.node(fault)
        if not node.is_up():
            return
        end = time.monotonic() + 10
        while node.daemon is not None and node.daemon.alive():
            if time.monotonic() > end:
                node.kill_clusterd()  # it is frozen, say
                break
            time.sleep(0.01)
        self.start(fault.node)

    # --- cables and switches -----------------------------------------------------------------------------
    def begin_nic_down(self, fault):
        self.sh(fault.node, f"ip link set {fault.detail} down")

    def end_nic_down(self, fault):
        if self.up(fault):
            self.node(fault).nic_up(fault.detail)

    @staticmethod
    def nics(fault):
        return ("eth0", "eth1") if fault.detail == "both" else (fault.detail,)

    def begin_unplug(self, fault):
        self.lab.ports.set([f"{fault.node}-{nic}" for nic in self.nics(fault)], up=False)

    def end_unplug(self, fault):
        self.lab.ports.set([f"{fault.node}-{nic}" for nic in self.nics(fault)], up=True)

    def begin_switch_down(self, fault):
        self.lab.switch_down(LAN if fault.where == "lan" else HEARTBEAT)

    def end_switch_down(self, fault):
        self.lab.switch_up(LAN if fault.where == "lan" else HEARTBEAT)

    def hosts(self, fault):
        which = fault.detail or fault.where
        return ("r1", "r2") if which == "both" else (which,)

    def begin_host_down(self, fault):
        for host in self.hosts(fault):
            self.lab.host_down(host)

    def end_host_down(self, fault):
        for host in self.hosts(fault):
            self.lab.host_up(host)

    def begin_split(self, fault):
        if fault.where == "lan":
            self.lab.isolate_nodes()
        else:
            self.lab.cut_between_nodes()

    def end_split(self, fault):
        if fault.where == "lan":
            self.lab.isolate_nodes(False)
        else:
            self.lab.join_nodes()

    # --- frames that vanish ------------------------------------------------------------------------------
    @staticmethod
    def rule(source, target=None, percent=100.0, match=""):
        def names(hosts):
            ports = [port for host in hosts for port in (ports_of(host) if host in NODES else [host])]
            return "{ " + ", ".join(f'"{port}"' for port in ports) + " }"
        goal = f"oifname {names(target)}" if target else ""
        chance = "" if percent >= 100 else f"numgen random mod 1000 < {round(percent * 10)}"
        return f"add rule bridge faults forward iifname {names(source)} {goal} {match} {chance} counter drop"

    def filter(self, fault, rules):
        if rules:
            self._rules[id(fault)] = rules
        else:
            self._rules.pop(id(fault), None)
        lines = ["flush chain bridge faults forward"] + [rule for some in self._rules.values() for rule in some]
        self.lab.switch.run("nft", "-f", "-", input="\n".join(lines) + "\n")

    def unfilter(self, fault):
        self.filter(fault, None)

    def begin_one_way(self, fault):
        targets = [other(fault.node)] if fault.detail == "peer" else None
        self.filter(fault, [self.rule([fault.node], targets)])

    def begin_isolate(self, fault):
        everybody_else = ["r1", "r2", "c", "obs", other(fault.node)]
        self.filter(fault, [self.rule([fault.node]), self.rule(everybody_else, [fault.node])])

    def begin_loss(self, fault):
        everybody = list(NODES) if fault.where == "nodes" else list(NODES) + ["r1", "r2", "c"]
        self.filter(fault, [self.rule(everybody, everybody, fault.number)])

    def begin_host_cut(self, fault):
        hosts = list(self.hosts(fault))
        self.filter(fault, [self.rule(hosts, [fault.node]), self.rule([fault.node], hosts)])

    def begin_ssh_cut(self, fault):
        self.filter(fault, [self.rule(list(NODES), list(NODES), match=f"tcp {side} 22") for side in ("sport", "dport")])

    end_one_way = end_isolate = end_loss = end_host_cut = end_ssh_cut = unfilter

    # --- units, files, mirrors ---------------------------------------------------------------------------
    def begin_unit_killed(self, fault):
        self.sh(fault.node, f"pkill -KILL -f {fault.detail}")

    def flag(self, fault, name):
        self.sh(fault.node, f"mkdir -p {FLAGS}; touch {FLAGS}/{name}")

    def unflag(self, fault, name):
        self.sh(fault.node, f"rm -f {FLAGS}/{name}")

    def begin_unit_broken(self, fault):
        self.flag(fault, "broken")
        self.sh(fault.node, "pkill -KILL -f store.py")

    def end_unit_broken(self, fault):
        self.unflag(fault, "broken")

    def begin_unit_stubborn(self, fault):
        self.flag(fault, "stubborn")
        self.order(fault.node, "move", "web", other(fault.node))

    def end_unit_stubborn(self, fault):
        self.unflag(fault, "stubborn")

    def begin_unit_stuck(self, fault):
        self.flag(fault, "stuck")
        self.order(fault.node, "move", "web", other(fault.node))

    def end_unit_stuck(self, fault):
        self.sh(fault.node, f"rm -f {FLAGS}/stuck")

    def begin_disk_full(self, fault):
        self.sh(fault.node, f"cd {fault.detail} && fallocate -l $(($(stat -f -c %a .) * $(stat -f -c %S .))) .hog; "
                            "head -c 1000000 /dev/zero >>.hog")

    def end_disk_full(self, fault):
        self.sh(fault.node, f"rm -f {fault.detail}/.hog")

    def begin_mirror_killed(self, fault):
        self.sh(fault.node, f"pkill -KILL -x {fault.detail}")

    def begin_address_removed(self, fault):
        self.sh(fault.node, f"ip -o -4 address | sed -n 's/^[0-9]*: \\([^ ]*\\) .* \\({SERVICE_ADDRESS}[^ ]*\\) .*/"
                            "ip address del \\2 dev \\1/p' | sh")

    def begin_garbage(self, fault):
        self._orders.append((("garbage",), self.lab["c"].popen(
            "/usr/bin/python3", "-c", GARBAGE.format(target=self.lab[fault.node].address),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)))

    # --- administrators ----------------------------------------------------------------------------------
    def order(self, node, *words):
        """As an administrator types it; how it ends is looked at when the round is over."""
        if self.lab[node].is_up():
            self._orders.append((words, self.lab[node].popen(
                tools.program("clusterctl"), *words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                errors="replace", stdin=subprocess.DEVNULL, start_new_session=True)))

    def begin_move(self, fault):
        self.order(fault.node, "move", "web", *([fault.detail] if fault.detail else []))

    def begin_move_both(self, fault):
        for node in NODES:
            self.order(node, "move", "web", other(node))
            self.order(node, "resync", "web")

    def begin_standby(self, fault):
        self.order(fault.node, "standby", fault.detail)

    def end_standby(self, fault):
        self.order(fault.node, "online", fault.detail)

    def begin_resync(self, fault):
        self.order(fault.node, "resync", "web")
        self.order(fault.node, "mirror", "run", "web")

    def begin_stop_services(self, fault):
        self.order(fault.node, "stop-services")

    def end_stop_services(self, fault):
        self.begin_restart(fault)
        self.end_restart(fault)

    def begin_look(self, fault):
        for words in (("status",), ("why", "web"), ("events",), ("check",), ("backups", "list"), ("mirror", "status"),
                      ("status", "--json"), ("diverged",)):
            self.order(fault.node, *words)

    def begin_forced(self, fault):
        """Both are off; the one that was not active comes alone, and an administrator who knows forces it."""
        for node in (other(fault.node), fault.node):
            if self.lab[node].is_up():
                self.alive.discard(node)
                self.lab[node].power_off()
        self.lab[other(fault.node)].power_on()
        self.alive.add(other(fault.node))
        self.ground.until(lambda: self.ground.status(other(fault.node)), "the node that came alone is asked")
        self.lab[other(fault.node)].ctl("start", "--force", "web", check=False)
        self.ground.await_active(other(fault.node))

    end_forced = end_power

    def judge_orders(self):
        """Every clusterctl ends, in one of the documented ways."""
        end = time.monotonic() + 2
        for words, process in self._orders:
            try:
                text, _ = process.communicate(timeout=max(0.01, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGTERM)  # a move may wait for minutes; its administrator does not
                process.communicate(timeout=20)
                continue
            code = process.returncode
            allowed = (0, 1, 3, 4, 137, -9) if words[0] != "garbage" else (0, 1, 137, -9)
            if code not in allowed:  # 137 and -9: its node was switched off
                self.finding(f"clusterctl ended with {code}: {' '.join(words)}: {text.strip()[-300:]}")
        self._orders.clear()

    # --- the end of all faults ---------------------------------------------------------------------------
    def heal(self):
        self._rules.clear()
        self.lab.heal()
        self.lab.switch_up(LAN)
        self.lab.switch_up(HEARTBEAT)
        for name in NODES:
            node = self.lab[name]
            if not node.is_up():
                node.power_on()
                self.alive.add(name)
                continue
            node.thaw()
            for nic in ("eth0", "eth1"):
                node.nic_up(nic)
            self.sh(name, f"rm -f {FLAGS}/broken {FLAGS}/stubborn {FLAGS}/stuck " +
                    " ".join(f"{folder}/.hog" for folder in HOGS))
            if node.daemon is None or not node.daemon.alive():
                if name in self.alive:
                    self.finding(f"the daemon of {name} ended by itself")
                self.start(name)
        self.judge_orders()
        self.holding.clear()
        self.silenced.clear()

    def administer(self):
        """What a human does whom `status` asks: nothing else is done for a service that does not come back."""
        for node in NODES:
            status = self.ground.status(node)
            if not status:
                continue
            service = status["services"][0]
            leaving = status["nodes"][node]["leaving"]
            if leaving and self.lab[node].daemon is not None:
                self.lab[node].stop_clusterd()
                self.start(node)
            elif service["wants_human"] or service["blocked"][node] or status["nodes"][node]["locked"] \
                    or status["moves_stopped"]:
                self.ground.order(node, "online", service="", target=node)
            if service["diverged"]:
                self.ground.order(node, "accept-diverged")

