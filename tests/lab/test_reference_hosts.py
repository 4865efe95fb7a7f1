"""Reference hosts go and come, in any order with a failure of a node."""

QUICK = '\n[timing]\nhost_gone = "4s"\nhost_back = "2s"\n'


def counted(cluster, node, host, key):
    for entry in cluster.status(node)["hosts"]:
        if entry["host"] == host:
            return entry["counted"][node][key]
    raise AssertionError(f"{host} is not shown")


def sets_are_ordered(cluster):
    """S_A is within S_B, as far as each node knows its own."""
    active = {entry["host"] for entry in cluster.status("serv1")["hosts"] if entry["counted"]["serv1"]["to_stay"]}
    standby = {entry["host"] for entry in cluster.status("serv2")["hosts"]
               if entry["counted"]["serv2"]["to_take_over"]}
    return active <= standby


def test_a_host_that_is_gone_for_good_stops_counting_and_takeover_stays_possible(make_cluster):
    cluster = make_cluster(extra=QUICK)
    cluster.until(lambda: counted(cluster, "serv2", "192.168.1.2", "to_take_over"), "r2 counts at first")

    cluster.lab.host_down("r2")

    cluster.until(lambda: sets_are_ordered(cluster) and not counted(cluster, "serv2", "192.168.1.2", "to_take_over"),
                  "r2 counts no more")
    cluster.serv1.power_off()
    cluster.await_active("serv2")
    cluster.client.await_answers()
    cluster.observer.never_dual("serv1", "serv2")


def test_a_host_that_comes_back_counts_again(make_cluster):
    cluster = make_cluster(extra=QUICK)
    cluster.lab.host_down("r2")
    cluster.until(lambda: not counted(cluster, "serv2", "192.168.1.2", "to_take_over"), "r2 counts no more")
    cluster.lab.host_up("r2")
    cluster.until(lambda: counted(cluster, "serv1", "192.168.1.2", "to_stay") and sets_are_ordered(cluster),
                  "r2 counts again, for both")
    cluster.serv1.power_off()
    cluster.await_active("serv2")
    cluster.observer.never_dual("serv1", "serv2")


def test_a_host_that_is_missing_just_now_forbids_a_takeover_until_it_stops_counting(make_cluster):
    """The other way round: the node fails first, and the host with it. The standby cannot know, and waits."""
    cluster = make_cluster(extra=QUICK)
    cluster.lab.host_down("r2")
    cluster.serv1.power_off()
    cluster.stays(2, lambda: cluster.role("serv2") == "standby", "serv2 waits for r2")
    cluster.lab.host_up("r2")
    cluster.await_active("serv2")
    cluster.observer.never_dual("serv1", "serv2")


def test_sets_stay_ordered_while_hosts_come_and_go(make_cluster):
    cluster = make_cluster(extra=QUICK)
    epoch = cluster.epoch("serv1")
    for host in ("r1", "r2", "r1"):
        cluster.lab.host_down(host)
        cluster.stays(6, lambda: sets_are_ordered(cluster), "S_A is within S_B")
        cluster.lab.host_up(host)
        cluster.stays(3, lambda: sets_are_ordered(cluster), "S_A is within S_B")
    cluster.nothing_moved("serv1", epoch)
    cluster.observer.never_dual("serv1")
