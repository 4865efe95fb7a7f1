"""The daemon itself dies, freezes, or is restarted. The kernel holds the lease."""
import time

import pytest

# The last frame leaves within L of the last renewal (S3); the kernel's clock decides, so a stall of the machine
# does not lengthen it. What is added covers the way through the switch only.
THROUGH_THE_SWITCH = 0.02


def test_killed_daemon_is_silent_within_its_lease_and_the_other_node_takes_over(cluster):
    lease = cluster.lease("serv1")
    cluster.serv1.kill_clusterd()
    killed = time.monotonic()
    cluster.await_active("serv2")
    cluster.client.await_answers()
    assert cluster.observer.last_heard("serv1") <= killed + lease + THROUGH_THE_SWITCH
    cluster.observer.never_dual("serv1", "serv2")

    cluster.serv1.start_clusterd()
    cluster.await_ready("serv1")
    cluster.serves("serv2")
    cluster.observer.never_dual("serv1", "serv2")


@pytest.mark.parametrize("seconds", [0.1, 1, 5, pytest.param(60, marks=pytest.mark.slow)])
def test_frozen_daemon_is_silent_and_sends_nothing_when_it_goes_on_before_it_knows_that_it_may(cluster, seconds):
    lease = cluster.lease("serv1")
    cluster.serv1.freeze()
    frozen = time.monotonic()
    time.sleep(seconds)  # the fault itself
    if seconds > 2 * cluster.window():
        cluster.await_active("serv2")
        assert cluster.observer.last_heard("serv1") <= frozen + lease + THROUGH_THE_SWITCH
    cluster.serv1.thaw()

    def settled():
        roles = sorted(str(cluster.role(node)) for node in ("serv1", "serv2"))
        return roles == ["active", "standby"]
    cluster.until(settled, "one node is active, the other one standby")
    cluster.client.await_answers()
    active = "serv1" if cluster.role("serv1") == "active" else "serv2"
    cluster.serves(active)
    cluster.observer.never_dual(*(["serv1"] if active == "serv1" else ["serv1", "serv2"]))


def test_both_daemons_killed_and_started_again(cluster):
    for node in (cluster.serv2, cluster.serv1):
        node.kill_clusterd()
    cluster.nobody_serves()
    for node in (cluster.serv2, cluster.serv1):
        node.start_clusterd()
    # Whichever is there first may have waited for the other one long enough.
    cluster.until(lambda: "active" in (cluster.role("serv1"), cluster.role("serv2")), "somebody serves")
    cluster.client.await_answers()
    cluster.observer.never_dual()


def test_clean_restart_is_not_noticed_by_clients(cluster):
    """Stop, upgrade, start: the service keeps running and is answered all the time."""
    epoch = cluster.epoch("serv1")
    unit = cluster.serv1.sh("pgrep -x responder").strip()
    ok, text = cluster.order("serv1", "prepare-restart", service="")
    assert ok, text
    cluster.serv1.await_end_of_clusterd()
    assert cluster.serv1.sh("pgrep -x responder").strip() == unit, "the unit runs on without the daemon"
    cluster.serv1.start_clusterd()
    cluster.await_active("serv1")
    cluster.await_ready("serv2")
    report = cluster.client.report()
    assert cluster.epoch("serv1") == epoch
    assert cluster.serv1.sh("pgrep -x responder").strip() == unit
    assert report["sent"] - report["answered"] <= 5, "hardly an answer was missed"
    cluster.observer.never_dual("serv1")


def test_stop_by_signal_is_a_clean_restart(cluster):
    epoch = cluster.epoch("serv1")
    cluster.serv1.stop_clusterd()
    cluster.serv1.start_clusterd()
    cluster.await_active("serv1")
    cluster.await_ready("serv2")
    assert cluster.epoch("serv1") == epoch
    cluster.observer.never_dual("serv1")


def test_restart_of_the_standby_moves_nothing(cluster):
    epoch = cluster.epoch("serv1")
    cluster.serv2.stop_clusterd()
    cluster.serv2.start_clusterd()
    cluster.await_ready("serv2")
    cluster.nothing_moved("serv1", epoch)
    report = cluster.client.report()
    assert report["sent"] - report["answered"] <= 5
    cluster.observer.never_dual("serv1")


def test_stop_that_lasts_is_taken_over_after_the_promise(cluster):
    """The promise of a clean restart has an end: nobody waits for ever for a daemon that does not come back."""
    cluster.serv1.stop_clusterd()
    cluster.await_active("serv2")
    cluster.client.await_answers()
    cluster.observer.never_dual("serv1", "serv2")


def test_stop_services_hands_over(cluster):
    ok, text = cluster.order("serv1", "stop-services", service="")
    assert ok, text
    cluster.await_active("serv2")
    cluster.client.await_answers()
    cluster.observer.never_dual("serv1", "serv2")


def test_frozen_standby_moves_nothing(cluster):
    epoch = cluster.epoch("serv1")
    cluster.serv2.freeze()
    cluster.await_event("serv1", "peer-lost")
    cluster.serv2.thaw()
    cluster.await_ready("serv2")
    cluster.nothing_moved("serv1", epoch)
    cluster.observer.never_dual("serv1")
