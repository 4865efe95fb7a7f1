"""Mounts and init scripts as units."""
from lab import config_files

# As the LSB wants it; /etc/broken: its exit code of start.
SCRIPT = """#!/bin/sh
### BEGIN INIT INFO
# Provides: thing
### END INIT INFO
case $1 in
  start) [ -e /etc/broken ] && exit "$(cat /etc/broken)"; setsid sleep 100000 & echo $! >/run/thing.pid ;;
  stop) [ -e /run/thing.pid ] && kill "$(cat /run/thing.pid)"; rm -f /run/thing.pid ;;
  status) [ -e /run/thing.pid ] || exit 3; kill -0 "$(cat /run/thing.pid)" 2>/dev/null || exit 1 ;;
  *) exit 2 ;;
esac
"""


def mounted(cluster, node, where):
    return f" {where} " in cluster.node(node).sh("cat /proc/self/mountinfo")


def runs(cluster, node):
    return cluster.node(node).sh("/etc/init.d/thing status && echo yes || true").strip() == "yes"


def with_script(make_cluster, **options):
    units = ['{ name = "thing", lsb = "thing" }', config_files.responder_unit()]
    cluster = make_cluster(start=False, units=units, **options)
    for node in cluster.lab.nodes:
        node.write("/etc/init.d/thing", SCRIPT, mode=0o755)
    return cluster


def test_a_mount_is_where_the_service_is(make_cluster):
    units = ['{ name = "scratch", mount = { what = "tmpfs", where = "/run/scratch", type = "tmpfs", options = "size=1m,mode=0700" } }',
             '{ name = "bound", mount = { what = "/etc", where = "/run/bound", options = "bind,ro" } }',
             config_files.responder_unit()]
    cluster = make_cluster(start=False, units=units)
    for node in cluster.lab.nodes:
        node.sh("mkdir -p /run/scratch /run/bound")
    cluster.start()
    for where in ("/run/scratch", "/run/bound"):
        assert mounted(cluster, "serv1", where) and not mounted(cluster, "serv2", where)
    ok, text = cluster.order("serv1", "move", target="serv2")
    assert ok, text
    cluster.await_active("serv2")
    for where in ("/run/scratch", "/run/bound"):
        assert mounted(cluster, "serv2", where) and not mounted(cluster, "serv1", where)
    cluster.observer.never_dual("serv1", "serv2")


def test_who_keeps_a_mount_busy_is_killed(make_cluster):
    units = ['{ name = "scratch", stop_timeout = "2s", mount = { what = "tmpfs", where = "/run/scratch", type = "tmpfs" } }',
             config_files.responder_unit()]
    cluster = make_cluster(start=False, units=units)
    for node in cluster.lab.nodes:
        node.sh("mkdir -p /run/scratch")
    cluster.start()
    busy = cluster.serv1.sh("cd /run/scratch && setsid sleep 100000 >/dev/null 2>&1 & echo $!").strip()
    cluster.until(lambda: cluster.serv1.sh(f"readlink /proc/{busy}/cwd || true").strip() == "/run/scratch", "it is busy")
    ok, text = cluster.order("serv1", "move", target="serv2")
    assert ok, text
    cluster.await_active("serv2")
    assert not mounted(cluster, "serv1", "/run/scratch")
    assert cluster.serv1.sh(f"test -e /proc/{busy} && echo alive || true").strip() == ""
    assert "did not stop" in cluster.serv1.log_text()


def test_an_init_script_starts_is_watched_and_stops(make_cluster):
    cluster = with_script(make_cluster)
    cluster.start()
    assert runs(cluster, "serv1") and not runs(cluster, "serv2")
    epoch = cluster.epoch("serv1")
    cluster.serv1.sh("kill -9 $(cat /run/thing.pid)")
    cluster.until(lambda: runs(cluster, "serv1"), "it is started again")
    cluster.await_active("serv1")
    cluster.nothing_moved("serv1", epoch)
    ok, text = cluster.order("serv1", "move", target="serv2")
    assert ok, text
    cluster.await_active("serv2")
    assert runs(cluster, "serv2") and not runs(cluster, "serv1")
    cluster.observer.never_dual("serv1", "serv2")


def test_a_script_that_is_not_configured_is_not_tried_again_here(make_cluster):
    cluster = with_script(make_cluster, service_extra='restarts = { max = 100, within = "10min" }')
    cluster.serv1.write("/etc/broken", "6")
    for node in cluster.lab.nodes:
        node.start_clusterd()
    cluster.await_active("serv2")
    event = cluster.await_event("serv1", "service-failed")
    assert "not configured" in event["text"] and "no use here" in event["text"], event["text"]


def test_check_looks_at_scripts_and_mounts(make_cluster):
    units = ['{ name = "thing", lsb = "thing" }', '{ name = "none", lsb = "no-such-script" }',
             '{ name = "data", mount = { what = "/srv/no-such-source", where = "/srv/no-such-folder", options = "bind" } }']
    cluster = make_cluster(start=False, units=units)
    cluster.serv1.write("/etc/init.d/thing", SCRIPT, mode=0o644)
    done = cluster.serv1.ctl("check", "--local", check=False)
    text = " ".join(done.stdout.split())
    for part in ("/etc/init.d/thing (web) may not be executed", "chmod +x /etc/init.d/thing",
                 "/etc/init.d/no-such-script (web) does not exist on this node", "correct lsb in services/web.toml",
                 "/srv/no-such-folder is no folder on this node", "mkdir -p /srv/no-such-folder",
                 "/srv/no-such-source does not exist on this node"):
        assert part in text, f"{part}: {done.stdout}"
