"""OCF resource agents of the Debian package resource-agents as units of a service."""
import glob
import os
import shutil

import pytest

from lab import config_files

AGENTS = "/usr/lib/ocf/resource.d/heartbeat"
EXTRA_ADDRESS = "192.168.1.77"
STATE = "/run/resource-agents/Dummy-web.dummy.state"
PG_BIN = os.path.dirname((glob.glob("/usr/lib/postgresql/*/bin/postgres") or ["/x/x"])[0])

pytestmark = pytest.mark.skipif(not os.path.exists(AGENTS + "/Dummy"), reason="needs resource-agents")


def agent(name, type_, extra="", **parameters):
    told = ", ".join(f'{key} = "{value}"' for key, value in parameters.items())
    return f'{{ name = "{name}", ocf = "ocf:heartbeat:{type_}", monitor_every = "500ms", start_timeout = "1min", ' \
           f'stop_timeout = "1min", parameters = {{ {told} }}{extra} }}'


def with_agents(make_cluster, units, start=True, **options):
    cluster = make_cluster(start=False, units=units + [config_files.responder_unit()], **options)
    for node in cluster.lab.nodes:
        # What the package's tmpfiles.d does at boot.
        node.sh("systemd-tmpfiles --create /usr/lib/tmpfiles.d/resource-agents.conf")
    if start:
        cluster.start()
    return cluster


def exists(cluster, node, path):
    return cluster.node(node).sh(f"test -e {path} && echo yes || true").strip() == "yes"


def addresses(cluster, node):
    return cluster.node(node).sh("ip -4 address show dev eth0")


def mounts(cluster, node):
    return cluster.node(node).sh("cat /proc/self/mountinfo")


def test_agents_start_move_and_stop_in_order(make_cluster):
    """Dummy, IPaddr2 and Filesystem: on the active node, and nowhere else."""
    cluster = with_agents(make_cluster, [
        agent("dummy", "Dummy"),
        agent("second-address", "IPaddr2", ip=EXTRA_ADDRESS, nic="eth0", cidr_netmask="24"),
        agent("files", "Filesystem", device="tmpfs", directory="/run/files", fstype="tmpfs")])

    def is_on(node):
        return exists(cluster, node, STATE) and EXTRA_ADDRESS in addresses(cluster, node) and \
            " /run/files " in mounts(cluster, node)

    def is_off(node):
        return not exists(cluster, node, STATE) and EXTRA_ADDRESS not in addresses(cluster, node) and \
            " /run/files " not in mounts(cluster, node)

    assert is_on("serv1") and is_off("serv2")
    ok, text = cluster.order("serv1", "move", target="serv2")
    assert ok, text
    cluster.await_active("serv2")
    cluster.client.await_answers()
    assert is_on("serv2") and is_off("serv1")
    cluster.observer.never_dual("serv1", "serv2")


def test_a_unit_that_its_agent_finds_dead_is_started_again(make_cluster):
    cluster = with_agents(make_cluster, [agent("dummy", "Dummy")])
    epoch = cluster.epoch("serv1")
    cluster.serv1.sh(f"rm {STATE}")
    cluster.until(lambda: exists(cluster, "serv1", STATE), "it is started again")
    cluster.await_active("serv1")
    cluster.nothing_moved("serv1", epoch)
    assert "exit code 7 (does not run)" in cluster.serv1.log_text()


def test_a_restarted_daemon_leaves_agents_running(make_cluster):
    cluster = with_agents(make_cluster, [agent("dummy", "Dummy")])
    before = cluster.serv1.sh(f"stat -c %Y.%i {STATE}")
    cluster.serv1.stop_clusterd()
    cluster.serv1.start_clusterd()
    cluster.await_active("serv1")
    assert cluster.serv1.sh(f"stat -c %Y.%i {STATE}") == before
    cluster.observer.never_dual("serv1")


def test_the_agents_reason_is_shown(make_cluster):
    """IPaddr2 with a NIC that is not there: what it says on stderr stands in the notice."""
    cluster = with_agents(make_cluster, [agent("second-address", "IPaddr2", ip=EXTRA_ADDRESS, nic="eth77", cidr_netmask="24")],
                          start=False, service_extra='restarts = { max = 0, within = "10min" }')
    for node in cluster.lab.nodes:
        node.start_clusterd()
    event = cluster.await_event("serv1", "service-failed")
    assert "eth77" in event["text"] and "exit code" in event["text"], event["text"]


def test_nginx_by_its_agent(make_cluster):
    cluster = with_agents(make_cluster, [
        agent("nginx", "nginx", httpd="/usr/sbin/nginx", configfile="/etc/nginx-by-agent.conf")], start=False)
    for node in cluster.lab.nodes:
        node.write("/etc/nginx-by-agent.conf",
                   config_files.NGINX.replace("daemon off;\n", "").replace("error_log stderr", "error_log /run/nginx/error.log"))
    cluster.start()

    def answers(node):
        return cluster.node(node).sh("pgrep -c nginx || true").strip() != "0"

    assert answers("serv1") and not answers("serv2")
    cluster.serv1.sh("pkill -9 nginx")
    cluster.until(lambda: answers("serv1"), "it is started again")
    cluster.await_active("serv1")
    cluster.serv1.power_off()
    cluster.await_active("serv2")
    cluster.until(lambda: answers("serv2"), "it runs on the other node")
    cluster.observer.never_dual("serv1", "serv2")


@pytest.mark.skipif(not os.path.exists(PG_BIN), reason="needs PostgreSQL")
def test_postgresql_by_its_agent(make_cluster):
    cluster = with_agents(make_cluster, [
        agent("db", "pgsql", pgctl=f"{PG_BIN}/pg_ctl", psql=shutil.which("psql"), pgdata="/var/lib/pg-by-agent/data",
              config="/var/lib/pg-by-agent/data/postgresql.conf", socketdir="/run/pg",
              logfile="/var/lib/pg-by-agent/log", tmpdir="/run/pg-tmp")], start=False)
    for node in cluster.lab.nodes:
        node.sh("mkdir -p /var/lib/pg-by-agent /run/pg /run/pg-tmp && chown postgres /var/lib/pg-by-agent /run/pg /run/pg-tmp && "
                f"setpriv --reuid postgres --regid postgres --clear-groups {PG_BIN}/initdb -N -D /var/lib/pg-by-agent/data "
                "-A trust >/dev/null && echo \"unix_socket_directories = '/run/pg'\" >>/var/lib/pg-by-agent/data/postgresql.conf")
    cluster.start()

    def select(node):
        return cluster.node(node).sh("psql -h /run/pg -U postgres -Atc 'select 6*7' 2>/dev/null || true").strip() == "42"

    assert select("serv1") and not select("serv2")
    ok, text = cluster.order("serv1", "move", target="serv2")
    assert ok, text
    cluster.await_active("serv2")
    assert select("serv2") and not select("serv1")
    cluster.observer.never_dual("serv1", "serv2")


def test_check_asks_the_agents(make_cluster):
    cluster = with_agents(make_cluster, [
        agent("files", "Filesystem", device="tmpfs", directory="/run/files", fstype="tmpfs", run_fsk="no"),
        agent("incomplete", "IPaddr2", nic="eth0"),
        '{ name = "absent", ocf = "ocf:heartbeat:Absent" }',
        '{ name = "hasty", ocf = "ocf:heartbeat:Dummy", start_timeout = "5s" }'], start=False)
    done = cluster.serv1.ctl("check", "--local", check=False)
    text = " ".join(done.stdout.split())
    for part in ("has no parameter run_fsk", "did you mean run_fsck?", "lacks the parameter ip", "add ip = ",
                 "ocf:heartbeat:Absent is not installed on this node", "apt install resource-agents",
                 "start_timeout = 5s, and its agent advises 20s", 'write start_timeout = "20s" in services/web.toml'):
        assert part in text, f"{part}: {done.stdout}"
    assert done.returncode != 0
