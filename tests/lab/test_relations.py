"""Two related services, and what the standby's machine lacks."""
from lab import config_files

# Each notes its start and its end on its node; the first one before it counts as started.
WEB_SCRIPT = """#!/bin/sh
case $1 in
  start) echo "web starts" >>/etc/order; setsid PROGRAM 7000 </dev/null >/dev/null 2>&1 & echo $! >/run/web.pid ;;
  stop) kill "$(cat /run/web.pid)"; echo "web ends" >>/etc/order ;;
esac
"""
APP_SCRIPT = """#!/bin/sh
echo "app starts" >>/etc/order
trap 'kill $child; echo "app ends" >>/etc/order; exit 0' TERM
sleep 1000000 &
child=$!
wait
"""
WEB = '{ name = "web", start = "/etc/web start", stop = "/etc/web stop", pid_file = "/run/web.pid", stop_timeout = "5s" }'
APP = """
with  = ["web"]
after = ["web"]
units = [{ name = "app", run = "/etc/app", stop_timeout = "5s" }]
"""


def related(make_cluster):
    web = config_files.service_toml(units=[WEB])
    # "app" comes before "web" in every list of names: only the relation gives another order.
    cluster = make_cluster(start=False, services={"app": APP, "web": web})
    for node in cluster.lab.nodes:
        node.write("/etc/web", WEB_SCRIPT.replace("PROGRAM", config_files.responder()), mode=0o755)
        node.write("/etc/app", APP_SCRIPT, mode=0o755)
    return cluster


def order(cluster, node):
    """What was noted there; an end once, however often it was asked for."""
    noted = cluster.node(node).sh("cat /etc/order 2>/dev/null || true").split("\n")[:-1]
    return [line for line, before in zip(noted, ["", *noted]) if line != before]


def await_both(cluster, node):
    """Both are active, and their programs have begun: a program that is started has yet to note it."""
    for service in ("web", "app"):
        cluster.await_active(node, service)
    cluster.until(lambda: order(cluster, node)[-1:] == ["app starts"], f"app has begun on {node}")


def test_a_group_starts_stops_moves_and_is_taken_over_in_order(make_cluster):
    cluster = related(make_cluster)
    cluster.start()
    await_both(cluster, "serv1")
    cluster.await_ready("serv2", "app")
    assert order(cluster, "serv1") == ["web starts", "app starts"]

    accepted, text = cluster.order("serv1", "move", "web", "serv2")
    assert accepted, text
    await_both(cluster, "serv2")
    assert order(cluster, "serv1")[2:] == ["app ends", "web ends"]
    assert order(cluster, "serv2") == ["web starts", "app starts"]
    cluster.await_ready("serv1", "web")
    cluster.await_ready("serv1", "app")

    cluster.serv2.power_off()
    await_both(cluster, "serv1")
    assert order(cluster, "serv1")[4:] == ["web starts", "app starts"]
    cluster.observer.never_dual("serv1", "serv2", "serv1")


def test_a_restart_of_the_daemon_stops_nothing(make_cluster):
    cluster = related(make_cluster)
    cluster.start()
    await_both(cluster, "serv1")
    before = cluster.epoch("serv1", "app")
    cluster.serv1.stop_clusterd()
    cluster.serv1.start_clusterd()
    await_both(cluster, "serv1")
    cluster.nothing_moved("serv1", before, "app")
    assert order(cluster, "serv1") == ["web starts", "app starts"]


def test_what_the_standby_lacks_is_said_on_both_nodes_before_it_is_needed(make_cluster):
    cluster = related(make_cluster)
    cluster.serv2.sh("rm /etc/app")
    cluster.start()
    event = cluster.await_event("serv2", "standby-not-ready", "/etc/app does not exist")
    assert event["service"] == "app"
    cluster.until(lambda: not cluster.service("serv1", "app")["prepared"]["serv2"], "serv1 knows of it")
    assert cluster.service("serv2", "app")["lacks"] == "/etc/app does not exist"
    assert cluster.service("serv1", "web")["prepared"]["serv2"]
    assert cluster.service("serv1", "app")["ready"]["serv2"], "a takeover would be tried all the same"
