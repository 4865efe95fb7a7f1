"""S6: both nodes were off; one comes alone."""


def both_off(cluster):
    """serv1 was active at the end."""
    cluster.serv2.power_off()
    cluster.await_event("serv1", "peer-lost")
    cluster.serv1.power_off()


def test_the_last_active_node_starts_alone(cluster):
    both_off(cluster)
    cluster.serv1.power_on()
    cluster.await_active("serv1")
    cluster.client.await_answers()
    cluster.serv2.power_on()
    cluster.await_ready("serv2")
    assert cluster.role("serv1") == "active"
    cluster.observer.never_dual()


def test_the_other_node_waits_for_its_peer(cluster):
    both_off(cluster)
    cluster.serv2.power_on()
    cluster.until(lambda: cluster.service("serv2"), "serv2 runs")
    cluster.stays(5 * cluster.window(), lambda: cluster.role("serv2") == "standby", "serv2 waits")
    assert cluster.service("serv2")["detail"], "it says what it waits for"
    cluster.serv1.power_on()
    cluster.await_active("serv1")
    cluster.await_ready("serv2")
    cluster.observer.never_dual()


def test_the_other_node_starts_when_it_is_forced(cluster):
    both_off(cluster)
    cluster.serv2.power_on()
    cluster.until(lambda: cluster.service("serv2"), "serv2 runs")
    done = cluster.serv2.ctl("start", "web", "--force", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    cluster.await_active("serv2")
    cluster.client.await_answers()
    cluster.serv1.power_on()
    cluster.await_role("serv1", "standby")
    cluster.await_ready("serv1")
    cluster.serves("serv2")
    cluster.observer.never_dual("serv1", "serv2")


def test_both_together_serve_where_it_was_last(cluster):
    ok, text = cluster.order("serv1", "move", target="serv2")
    assert ok, text
    cluster.await_active("serv2")
    cluster.await_ready("serv1")
    for node in (cluster.serv1, cluster.serv2):
        node.power_off()
    cluster.lab.power_on_all()
    cluster.until(lambda: "active" in (cluster.role("serv1"), cluster.role("serv2")), "somebody serves")
    cluster.client.await_answers()
    cluster.observer.never_dual()


def test_a_new_cluster_starts_on_the_preferred_node(make_cluster):
    cluster = make_cluster(prefer="serv2", start=False)
    for node in cluster.lab.nodes:
        node.start_clusterd()
    cluster.await_active("serv2")
    cluster.await_ready("serv1")
    cluster.observer.never_dual("serv2")


def test_a_node_that_lost_its_state_waits_for_its_peer(cluster):
    """The state file is gone: believing nothing is survivable, believing wrongly is not."""
    both_off(cluster)
    cluster.serv1.power_on(start_clusterd=False)
    cluster.serv1.sh("rm -rf /var/lib/clusterd/*")
    cluster.serv1.start_clusterd()
    cluster.until(lambda: cluster.service("serv1"), "serv1 runs")
    cluster.stays(5 * cluster.window(), lambda: cluster.role("serv1") == "standby", "serv1 waits")
    cluster.serv2.power_on()
    cluster.until(lambda: "active" in (cluster.role("serv1"), cluster.role("serv2")), "somebody serves")
    cluster.observer.never_dual()
