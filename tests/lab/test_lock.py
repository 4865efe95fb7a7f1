"""The standby lock: a node that was put aside takes nothing over until it is released."""


def test_a_locked_node_stays_aside_over_a_reboot_until_released(cluster):
    ok, text = cluster.order("serv1", "standby", service="", target="serv2")
    assert ok, text
    cluster.until(lambda: cluster.status("serv2")["nodes"]["serv2"]["locked"], "serv2 is locked")
    cluster.serv2.power_off()
    cluster.serv2.power_on()
    cluster.until(lambda: cluster.status("serv2"), "serv2 runs")
    assert cluster.status("serv2")["nodes"]["serv2"]["locked"]
    cluster.await_links("serv2")
    cluster.await_links("serv1")
    assert cluster.status("serv1")["nodes"]["serv2"]["locked"], "serv1 knows"

    cluster.serv1.power_off()
    cluster.until(lambda: cluster.events("serv2", "peer-lost"), "serv2 misses serv1")
    cluster.stays(5 * cluster.window(), lambda: cluster.role("serv2") == "standby", "serv2 stays aside")

    ok, text = cluster.order("serv2", "online", service="", target="serv2")
    assert ok, text
    cluster.await_active("serv2")
    cluster.client.await_answers()
    cluster.observer.never_dual("serv1", "serv2")


def test_locking_the_active_node_moves_its_services_away_first(cluster):
    ok, text = cluster.order("serv1", "standby", service="", target="serv1")
    assert ok, text
    cluster.await_active("serv2")
    cluster.client.await_answers()
    assert cluster.status("serv1")["nodes"]["serv1"]["locked"]
    ok, text = cluster.order("serv2", "move", target="serv1")
    assert not ok and "lock" in text
    cluster.observer.never_dual("serv1", "serv2")


def test_rejoin_manual_locks_the_node_that_failed(make_cluster):
    cluster = make_cluster(cluster='rejoin = "manual"')
    cluster.serv1.power_off()
    cluster.await_active("serv2")
    cluster.serv1.power_on()
    cluster.until(lambda: (cluster.status("serv1") or {"nodes": {"serv1": {"locked": False}}})
                  ["nodes"]["serv1"]["locked"], "the returned node is put aside")
    cluster.await_event("serv1", "node-locked")
    done = cluster.serv1.ctl("online", "serv1", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    cluster.await_ready("serv1")
    cluster.serves("serv2")
    cluster.observer.never_dual("serv1", "serv2")


def test_too_many_takeovers_within_an_hour_stop_automatic_moves(make_cluster):
    cluster = make_cluster(start=False)
    for node in cluster.lab.nodes:
        text = node.read("/etc/cluster.d/cluster.toml")
        node.write("/etc/cluster.d/cluster.toml",
                   text.replace("max_takeovers_per_hour = 100", "max_takeovers_per_hour = 1"))
    cluster.start()
    for victim, successor in (("serv1", "serv2"), ("serv2", "serv1"), ("serv1", "serv2")):
        cluster.node(victim).power_off()
        cluster.await_active(successor)
        cluster.node(victim).power_on()
        cluster.await_role(victim, "standby")
    cluster.await_event("serv2", "moves-stopped")
    assert cluster.status("serv2")["moves_stopped"]
    cluster.observer.never_dual()
