"""From two bare nodes to a protected service in three commands, and what is said to those who mistype them."""
import os
import re
import shutil
import subprocess

import guide
from story import ADDRESS, PATIENCE, tree

# Stands in for systemd where a node does not have it: starts and stops clusterd as its unit would.
SYSTEMCTL = """#!/bin/sh
pid=$(cat /run/clusterd.pid 2>/dev/null)
case $1 in
  restart)
    if [ -n "$pid" ]; then kill "$pid"; while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done; fi
    setsid clusterd </dev/null >>LOGS/$(hostname)-clusterd.log 2>&1 & echo $! >/run/clusterd.pid ;;
  is-active) kill -0 "$pid" 2>/dev/null ;;
  is-enabled) echo disabled; exit 1 ;;
  cat) case $3 in missing.service) exit 1 ;; esac ;;
esac
"""
WEB = ["service", "add", "web", "--address", ADDRESS, "--run", "/usr/sbin/nginx -c /etc/cluster-nginx.conf", "--mirror",
       "/srv/web/", "--every", "1h", "--check", "tcp:80", "--prefer", "serv1"]


def bare(cluster):
    """Two hosts as they are after Debian's installer: sshd with its own keys, no key of anybody else, no cluster."""
    lab = cluster.lab
    if lab.machines is not None:
        for node in lab.nodes:
            guide.bare(node)
        return
    shim = f"{lab.folder}/shim"
    os.makedirs(shim)
    with open(f"{shim}/systemctl", "w", encoding="ascii") as file:
        file.write(SYSTEMCTL.replace("LOGS", lab.logs))
    os.chmod(f"{shim}/systemctl", 0o755)
    lab.environment["PATH"] = f"{shim}:{lab.environment['PATH']}"
    for node in lab.nodes:
        node.sh("rm -rf /etc/cluster.d; mount -t tmpfs -o mode=0700 root /root; kill $(cat /run/sshd.pid); "
                "rm -f /etc/ssh/ssh_host_*; ssh-keygen -A >/dev/null")
        node.spawn("sshd", "/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-o", "PidFile=/run/sshd.pid", "-o", "UsePAM=no",
                   "-o", "SetEnv=" + " ".join(f"{name}={value}" for name, value in lab.environment.items()))


class Waiting:
    """`clusterctl init --write` or `pair` on a node, with the code that it prints."""

    def __init__(self, node, *arguments):
        self.node = node
        self.process = node.popen("sh", "-c", 'echo $$ >/run/pairing.pid; exec "$@"', "sh", node.program("clusterctl"),
                                  *arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True)
        self.said = ""
        self.address = self.code = None
        while self.code is None:
            line = self.process.stdout.readline()
            assert line, f"it ended: {self.said}"
            self.said += line
            found = re.search(r"clusterctl join (\S+) (\S{4}-\S{4})", line)
            if found:
                self.address, self.code = found.groups()

    def interrupt(self):
        self.node.sh("kill -INT $(cat /run/pairing.pid)")

    def end(self):
        """(exit code, everything that it said)"""
        rest, _ = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, self.said + rest


def fingerprint(text):
    return re.search(r"Fingerprint, the same on both: (\S+)", text).group(1)


def test_two_bare_nodes_protect_a_service_after_three_commands(make_cluster):
    cluster = make_cluster(start=False)
    bare(cluster)
    serv1, serv2 = cluster.serv1, cluster.serv2
    for node in cluster.lab.nodes:
        node.sh("mkdir -p /srv/web")  # with a mode that lets the web server read
    serv1.write("/srv/web/index.html", "kept")

    waiting = Waiting(serv1, "init", "--write")                             # 1
    joined = serv2.ctl("join", waiting.address, waiting.code).stdout         # 2
    code, said = waiting.end()
    assert code == 0, said
    assert fingerprint(said) == fingerprint(joined)
    told = serv1.ctl(*WEB, timeout=120).stdout                               # 3

    folders = [tree(node.path("/etc/cluster.d")) for node in cluster.lab.nodes]
    assert folders[0] == folders[1]
    assert {"cluster.toml", "secret.key", "services/web.toml", "known_hosts", "mirror_key"} <= set(folders[0])
    for name in ("secret.key", "mirror_key"):
        for node in cluster.lab.nodes:
            assert node.sh(f"stat -c %a /etc/cluster.d/{name}").strip() == "600"

    cluster.await_active("serv1")
    cluster.await_ready("serv2")
    cluster.client.await_answers(PATIENCE)
    for node in ("serv1", "serv2"):
        cluster.await_counted(node)
    assert serv2.read("/srv/web/index.html") == "kept", "mirrored with the keys that the pairing made"
    cluster.observer.reset()
    cluster.serves("serv1")
    serv1.ctl("move", "web", "serv2", timeout=PATIENCE)
    cluster.await_active("serv2")
    cluster.serves("serv2")
    assert cluster.observer.never_dual("serv1", "serv2")
    cluster.until(lambda: "kept" in cluster.lab["c"].sh(f"curl -s http://{ADDRESS}/", check=False),
                  "serv2 serves the page")

    secret = folders[0]["secret.key"].decode().strip()
    for text in (said, joined, told, serv1.log_text(), serv2.log_text()):
        assert secret not in text
    assert waiting.code not in serv1.log_text() + serv2.log_text()
    for line in serv1.sh("ss -Hltnp sport = :7413").splitlines():
        assert "clusterd-config" in line, "nobody waits for a node any more"

    refused(serv1, ["service", "remove", "web"], 1, "web is active on serv2", "service remove web --stop")
    serv1.ctl("service", "remove", "web", "--stop", timeout=120)
    cluster.until(lambda: all(cluster.service(node) is None for node in ("serv1", "serv2")), "no node knows the service")
    assert not os.path.exists(serv2.path("/etc/cluster.d/services/web.toml"))
    cluster.nobody_serves()


def test_three_wrong_codes_end_a_code_and_a_pairing_can_be_resumed(make_cluster):
    cluster = make_cluster(start=False, client=False)
    bare(cluster)
    serv1, serv2 = cluster.serv1, cluster.serv2
    waiting = Waiting(serv1, "init", "--write", "--no-start")
    wrong = ("1" if waiting.code[0] != "1" else "2") + waiting.code[1:]
    for _ in range(3):
        done = serv2.ctl("join", waiting.address, wrong, check=False)
        assert done.returncode == 1 and "the code was refused" in done.stderr, done.stderr
    code, said = waiting.end()
    assert code == 1 and "third wrong code" in said, said
    done = serv2.ctl("join", waiting.address, waiting.code, check=False)
    assert done.returncode == 3 and "is `clusterctl pair`" in done.stderr, "nobody listens any more"
    assert not os.path.exists(serv2.path("/etc/cluster.d/secret.key"))

    interrupted = Waiting(serv1, "pair", "--no-start")
    assert interrupted.code != waiting.code
    interrupted.interrupt()
    code, said = interrupted.end()
    assert code == 1 and "`clusterctl pair` goes on" in said, said

    resumed = Waiting(serv1, "pair", "--no-start")
    joined = serv2.ctl("join", resumed.address, resumed.code.lower(), "--no-start").stdout
    code, said = resumed.end()
    assert code == 0 and fingerprint(said) == fingerprint(joined)

    # A broken node is replaced: the same name and addresses, an empty disk.
    serv2.sh("rm -rf /etc/cluster.d")
    resumed = Waiting(serv1, "pair", "--no-start")
    serv2.ctl("join", resumed.address, resumed.code, "--no-start")
    assert resumed.end()[0] == 0
    assert tree(serv1.path("/etc/cluster.d")) == tree(serv2.path("/etc/cluster.d"))


def refused(node, arguments, code, *texts, prefix=()):
    done = node.run(*prefix, node.program("clusterctl"), *arguments, check=False)
    assert done.returncode == code, (arguments, done)
    for text in texts:
        assert text in done.stderr, (arguments, text, done.stderr)


# Mistakes on a node without a configuration: what is typed, the exit code, what is wrong, what to do about it.
BEFORE = [
    (["init", "--link", "service=eth9"], 1, "no NIC eth9; it has eth0 (192.168.1.11/24", "--link service=NIC"),
    (["init", "--link", "service=eth2"], 1, "eth2 has no address", "network configuration"),
    (["init", "--link", "service=eth0,192.168.1.99/24"], 1, "does not have 192.168.1.99/24", "an address that the NIC has"),
    (["init", "--link", "heartbeat=eth1"], 1, "no link is called service", "--link service=eth1"),
    (["init", "--link", "eth0"], 2, "write it as", "--link service=eth0"),
    (["pair"], 1, "cluster.toml does not exist", "clusterctl init --write"),
    (["service", "add", "web", "--unit", "nginx"], 1, "cluster.toml does not exist", "clusterctl init --write"),
    (["join", "serv2", "7K4M-Q9XR"], 2, "is no address", "`clusterctl pair` prints"),
    (["join", "192.168.1.12", "7K4M-Q9X"], 2, "no pairing code", "eight letters and digits"),
    (["join", "192.168.1.12", "7K4M-Q9XR"], 3, "Connection refused", "is `clusterctl pair`"),
    (["join", "192.168.1.99", "7K4M-Q9XR"], 3, "192.168.1.99: ", "ping 192.168.1.99"),
    (["import", "--from", "keepalived", "/nowhere"], 1, "no such file or folder", "clusterctl import --help"),
]
# The same on one that has one, of both nodes.
AFTER = [
    (["init", "--write"], 1, "exists, and was not changed", "clusterctl pair"),
    (["join", "192.168.1.12", "7K4M-Q9XR"], 1, "this node has a configuration", "--force"),
    (["service", "add", "web", "--address", "192.168.1.12"], 78, "192.168.1.12 is already serv2's own address",
     "an address that nothing else has"),
    (["service", "add", "web", "--address", "192.168.1.1"], 78, "already a reference host", "nothing else has"),
    (["service", "add", "web", "--address", "10.9.9.9"], 1, "in the network of no link", "that its clients reach"),
    (["service", "add", "a b", "--address", ADDRESS], 78, "cannot be called", "letters, digits"),
    (["service", "add", "web", "--address", ADDRESS, "--unit", "missing"], 1, "knows no unit missing.service", "list-unit-files"),
    (["service", "add", "web", "--address", ADDRESS, "--mirror", "/srv"], 1, "/srv is a folder", "--mirror /srv/"),
    (["service", "add", "web", "--address", ADDRESS, "--mirror", "/srv/none/"], 1, "does not exist here", "make it"),
    (["service", "add", "web", "--address", ADDRESS, "--mirror", "/etc/"], 78, "/etc", "remedy"),
    (["service", "add", "web", "--address", ADDRESS, "--check", "445"], 2, "write it as", "--check tcp:445"),
    (["service", "add", "web", "--address", ADDRESS, "--prefer", "serv9"], 78, "serv9", "serv1"),
    (["service", "add", "web"], 78, "nothing to move", "addresses"),
    (["service", "remove", "web"], 1, "no service \"web\"", "clusterctl service list"),
]


def test_each_mistake_has_a_message_that_says_what_to_do(make_cluster):
    cluster = make_cluster(start=False, client=False)
    bare(cluster)
    serv1, serv2 = cluster.serv1, cluster.serv2
    for arguments, code, *texts in BEFORE:
        refused(serv1, arguments, code, *texts)
    nobody = ("setpriv", "--reuid", "65534", "--clear-groups")
    for arguments in (["init", "--write"], ["pair"], ["join", "192.168.1.12", "7K4M-Q9XR"],
                      ["service", "add", "web", "--unit", "x"], ["service", "remove", "web"]):
        refused(serv1, arguments, 77, "has to be run by root", "sudo clusterctl", prefix=nobody)

    def pairing_fails(prepare, undo, *texts, options=()):
        serv2.sh(prepare)
        serv1.sh("rm -rf /etc/cluster.d")
        waiting = Waiting(serv1, *options, "init", "--write", "--no-start")
        refused(serv2, [*options, "join", waiting.address, waiting.code, "--no-start"], 1, *texts)
        code, said = waiting.end()
        assert code == 1 and "clusterctl pair" in said, said
        assert not os.path.exists(serv2.path("/etc/cluster.d/secret.key")), "nothing is written unless all is well"
        serv2.sh(undo)

    pairing_fails("hostname serv1", "hostname serv2", "both nodes are called serv1", "hostnamectl set-hostname")
    pairing_fails("ip address del 192.168.1.12/24 dev eth0; ip address add 192.168.1.12/16 dev eth0",
                  "ip address del 192.168.1.12/16 dev eth0; ip address add 192.168.1.12/24 dev eth0",
                  "is of another length than 192.168.1.11/24", "give serv2 an address there")

    serv1.sh("rm -rf /etc/cluster.d")
    waiting = Waiting(serv1, "init", "--write", "--no-start")
    refused(serv1, ["pair", "--no-start"], 1, "TCP port 7413 cannot be opened", "another `clusterctl pair`")
    serv2.ctl("join", waiting.address, waiting.code, "--no-start")
    assert waiting.end()[0] == 0
    for arguments, code, *texts in AFTER:
        refused(serv1, arguments, code, *texts)
    serv1.sh("sed -i 's/^profile/profil/' /etc/cluster.d/cluster.toml")
    refused(serv1, ["service", "add", "web", "--address", ADDRESS], 78, "unknown key \"profil\"", "did you mean profile")


def test_old_configurations_are_imported_where_they_are(make_cluster):
    cluster = make_cluster(start=False, client=False)
    bare(cluster)
    data = shutil.copytree(f"{os.path.dirname(os.path.dirname(os.path.abspath(__file__)))}/unit/import/testdata",
                           cluster.lab.shared + "/old")
    serv1 = cluster.serv1
    told = ["--node", "serv1:service=eth0,203.1.2.11/24", "--node", "serv2:service=eth0,203.1.2.12/24"]
    refused(serv1, ["import", "--from", "clusterd-0.93", f"{data}/clusterd-0.93"], 1, "the old files do not say",
            "--node serv2:service=eth0,ADDRESS/LENGTH")
    assert not os.path.exists(serv1.path("/etc/cluster.d/cluster.toml"))
    done = serv1.ctl("import", "--from", "clusterd-0.93", f"{data}/clusterd-0.93", "--reference-host", "203.1.2.254", *told)
    assert "serv1/Fmail:4: " in done.stdout and "2 nodes, 2 services" in done.stdout
    refused(serv1, ["import", "--from", "clusterd-0.93", f"{data}/clusterd-0.93", *told], 1, "--force")
    assert "of-serv1" in serv1.ctl("service", "list").stdout
