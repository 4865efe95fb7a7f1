"""Whatever needs a human is told, in order, with a number, and never blocks the daemon."""

HOOK = """#!/bin/sh
{ env | grep ^CLUSTERD_ | sort | tr '\\n' ' '; echo "ARGS $*"; } >>/etc/told
[ -e /etc/slow ] && sleep 3600
exit 0
"""


def told(cluster, node):
    return cluster.node(node).sh("cat /etc/told 2>/dev/null || true")


def with_hook(make_cluster):
    cluster = make_cluster(start=False, extra='\n[notify]\ncommand = "/etc/notify"\n')
    for node in cluster.lab.nodes:
        node.write("/etc/notify", HOOK, mode=0o755)
    return cluster


def test_events_are_told_in_order(make_cluster):
    cluster = with_hook(make_cluster)
    cluster.start()
    cluster.serv1.power_off()
    cluster.await_active("serv2")
    cluster.until(lambda: "takeover" in told(cluster, "serv2"), "the takeover is told")
    numbers = [event["sequence"] for event in cluster.events("serv2")]
    assert numbers == sorted(numbers) and len(set(numbers)) == len(numbers)
    text = told(cluster, "serv2")
    assert text.index("peer-lost") < text.index("takeover")


def test_a_hook_that_hangs_does_not_hold_up_the_daemon(make_cluster):
    cluster = with_hook(make_cluster)
    for node in cluster.lab.nodes:
        node.write("/etc/slow", "")
    cluster.start()
    cluster.serv1.power_off()
    cluster.await_active("serv2")
    cluster.client.await_answers()
    cluster.observer.never_dual("serv1", "serv2")
