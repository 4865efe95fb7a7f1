"""The service's own process crashes, does not start, or does not stop."""
from lab import config_files
from story import ADDRESS

# Obeys files on its node: /etc/broken = does not start.
SCRIPT = """#!/bin/sh
echo start >>/etc/starts
[ -e /etc/broken ] && exit 1
exec {responder} 7000
"""
# A start/stop/status unit: /etc/stubborn = its stop does nothing.
STUBBORN = """#!/bin/sh
case $1 in
  start) touch /run/thing ;;
  stop) [ -e /etc/stubborn ] || rm -f /run/thing ;;
  status) [ -e /run/thing ] ;;
esac
"""


def with_script(make_cluster, **options):
    options.setdefault("units", ['{ name = "thing", run = "/etc/thing", stop_timeout = "5s" }'])
    cluster = make_cluster(start=False, **options)
    for node in cluster.lab.nodes:
        node.write("/etc/thing", SCRIPT.format(responder=config_files.responder()), mode=0o755)
    return cluster


def starts(cluster, node):
    return cluster.node(node).sh("cat /etc/starts 2>/dev/null || true").count("start")


def crash(cluster, node):
    cluster.node(node).sh('kill -9 "$(pgrep -x responder)"')


def test_a_crash_is_repaired_by_a_restart_in_place(make_cluster):
    cluster = with_script(make_cluster, service_extra='restarts = { max = 3, within = "10min" }')
    cluster.start()
    epoch = cluster.epoch("serv1")
    crash(cluster, "serv1")
    cluster.until(lambda: starts(cluster, "serv1") == 2, "it is started again")
    cluster.await_active("serv1")
    cluster.nothing_moved("serv1", epoch)
    cluster.observer.never_dual("serv1")


def test_crashes_again_and_again_lead_to_the_other_node_after_the_budget(make_cluster):
    cluster = with_script(make_cluster, service_extra='restarts = { max = 2, within = "10min" }')
    cluster.start()
    for number in range(3):
        cluster.until(lambda: cluster.node("serv1").sh("pgrep -x responder || true").strip(), "it runs")
        crash(cluster, "serv1")
        cluster.until(lambda number=number: starts(cluster, "serv1") > number + 1 or
                      cluster.role("serv1") != "active", "the crash was noticed")
    cluster.await_active("serv2")
    cluster.client.await_answers()
    cluster.await_event("serv1", "service-failed")
    assert cluster.service("serv1")["blocked"]["serv1"]
    assert starts(cluster, "serv1") == 3, "the first start and the budget of two"
    ok, text = cluster.order("serv2", "move", target="serv1")
    assert not ok and "online" in text
    cluster.observer.never_dual("serv1", "serv2")


def test_a_service_that_does_not_start_goes_to_the_other_node(make_cluster):
    cluster = with_script(make_cluster, service_extra='restarts = { max = 1, within = "10min" }')
    cluster.serv1.write("/etc/broken", "")
    for node in cluster.lab.nodes:
        node.start_clusterd()
    cluster.await_active("serv2")
    cluster.client.await_answers()
    cluster.await_event("serv1", "service-failed")


def test_a_service_that_starts_nowhere_ends_with_an_alarm_and_without_flapping(make_cluster):
    cluster = with_script(make_cluster, service_extra='restarts = { max = 1, within = "10min" }')
    for node in cluster.lab.nodes:
        node.write("/etc/broken", "")
        node.start_clusterd()
    cluster.until(lambda: cluster.events("serv1", "service-failed") and cluster.events("serv2", "service-failed"),
                  "both nodes tell a human")
    cluster.until(lambda: all((cluster.service(node) or {"wants_human": False})["wants_human"]
                              for node in ("serv1", "serv2")), "the service waits for a human")
    counts = [starts(cluster, node) for node in ("serv1", "serv2")]
    cluster.stays(5, lambda: [starts(cluster, node) for node in ("serv1", "serv2")] == counts, "no more attempts")

    for node in cluster.lab.nodes:
        node.sh("rm /etc/broken")
    for node in ("serv1", "serv2"):
        cluster.order(node, "online", service="", target=node)
    cluster.client.await_answers()
    cluster.observer.never_dual()


def test_a_service_that_does_not_stop_is_silenced_and_nobody_takes_over(make_cluster):
    """S7: a stop that fails is not a stop."""
    cluster = make_cluster(start=False, units=[
        '{ name = "thing", start = "/etc/thing start", stop = "/etc/thing stop", status = "/etc/thing status", '
        'stop_timeout = "2s" }'])
    for node in cluster.lab.nodes:
        node.write("/etc/thing", STUBBORN, mode=0o755)
    cluster.start()
    epoch = cluster.epoch("serv1")
    cluster.serv1.write("/etc/stubborn", "")

    cluster.order("serv1", "move", target="serv2")

    cluster.await_event("serv1", "stop-failed")
    cluster.nobody_serves()
    cluster.stays(3, lambda: cluster.role("serv2") == "standby", "serv2 does not take over")
    assert cluster.epoch("serv2") == epoch

    cluster.serv1.sh("rm -f /etc/stubborn /run/thing")
    cluster.order("serv1", "online", service="", target="serv1")
    cluster.until(lambda: "active" in (cluster.role("serv1"), cluster.role("serv2")), "it is served again")
    cluster.client.await_answers()
    cluster.observer.never_dual()


def test_a_failing_check_counts_as_a_failed_service(make_cluster):
    cluster = with_script(make_cluster, service_extra='restarts = { max = 0, within = "10min" }', checks=[
        '{ command = "test ! -e /etc/sick", every = "200ms", grace = "0s", failures = 2 }'])
    cluster.start()
    cluster.serv1.write("/etc/sick", "")
    cluster.await_active("serv2")
    cluster.client.await_answers()
    cluster.observer.never_dual("serv1", "serv2")


def test_move_there_and_back(cluster):
    for target in ("serv2", "serv1"):
        ok, text = cluster.order("serv1", "move", target=target)
        assert ok, text
        cluster.await_active(target)
        cluster.client.await_answers()
        cluster.await_ready({"serv1": "serv2", "serv2": "serv1"}[target])
    cluster.observer.never_dual("serv1", "serv2", "serv1")


def test_move_by_clusterctl(cluster):
    done = cluster.serv2.ctl("move", "web", "serv2", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    cluster.await_active("serv2")
    assert "administrator" in cluster.serv1.ctl("why", "web").stdout
    assert "serv1" in cluster.serv2.ctl("why", "web").stdout


def test_check_finds_nothing_wrong_with_a_healthy_cluster(cluster):
    done = cluster.serv1.ctl("check", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "window" in done.stdout and "gate" in done.stdout


def test_status_fits_one_screen_and_says_the_same_as_json(cluster):
    text = cluster.serv1.ctl("status").stdout
    assert "web" in text and "ACTIVE" in text and len(text.splitlines()) <= 30
    assert cluster.serv1.status()["services"][0]["active_on"] == "serv1"


def test_automatic_failback_to_the_preferred_node(make_cluster):
    cluster = make_cluster(service_extra='failback = "auto"\nfailback_after = "3s"')
    cluster.serv1.power_off()
    cluster.await_active("serv2")
    cluster.serv1.power_on()
    cluster.await_active("serv1")
    cluster.client.await_answers()
    cluster.observer.never_dual("serv1", "serv2", "serv1")


def test_address_of_the_service_in_use_by_a_stranger_vetoes_the_takeover(cluster):
    """Before activation the address is probed on the LAN: any answer vetoes and alarms."""
    cluster.lab["r2"].run("ip", "address", "add", f"{ADDRESS}/32", "dev", "eth0")
    cluster.serv1.power_off()
    cluster.await_event("serv2", "address-in-use")
    cluster.stays(3, lambda: cluster.role("serv2") == "standby", "serv2 does not take over")
    cluster.lab["r2"].run("ip", "address", "del", f"{ADDRESS}/32", "dev", "eth0")
    cluster.await_active("serv2")
    cluster.observer.never_dual("serv1", "serv2")
