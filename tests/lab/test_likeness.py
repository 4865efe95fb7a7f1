"""What a service needs beside its data is compared between the nodes, before anybody has to take over with it."""
import pytest

from lab import config_files
from lab.network import NODES

PROGRAM = "/etc/app"  # /etc is each node's own
SITE = "/etc/site"
UNIT = f'{{ name = "app", run = "{PROGRAM}", stop_timeout = "5s" }}'


def likeness(cluster, node):
    return (cluster.service(node) or {}).get("likeness") or {"compared": False, "differ": 0, "differences": []}


def texts(cluster, node):
    return [one["text"] for one in likeness(cluster, node)["differences"]]


def await_alike(cluster):
    for node in NODES:
        cluster.until(lambda: likeness(cluster, node)["compared"] and likeness(cluster, node)["differ"] == 0,
                      f"{node} says that all is alike")


def await_text(cluster, text):
    """On both nodes: each compares for itself."""
    for node in NODES:
        cluster.until(lambda: any(text in one for one in texts(cluster, node)), f"{node} says: {text}")


def status_text(cluster, node):
    return cluster.node(node).ctl("status").stdout


@pytest.fixture
def site(make_cluster):
    toml = config_files.service_toml(units=[UNIT], extra=f'alike = ["{SITE}/"]')
    cluster = make_cluster(start=False, client=False, services={"web": toml})
    for node in cluster.lab.nodes:
        node.write(PROGRAM, f"#!/bin/sh\nexec {config_files.responder()} {config_files.PORT}\n", mode=0o755)
        node.sh(f"mkdir -p {SITE}/sub")
        node.write(f"{SITE}/conf", "the same\n")
        node.write(f"{SITE}/sub/more", "the same\n")
    cluster.start()
    cluster.await_active("serv1")
    cluster.await_ready("serv2")
    await_alike(cluster)
    return cluster


def test_what_differs_on_the_standby_is_said_on_both_nodes_until_it_is_alike_again(site):
    cluster = site
    epoch = cluster.epoch("serv1")
    assert "could take it over, but" not in status_text(cluster, "serv1")
    before = likeness(cluster, "serv1")["same"]
    assert before == 5, "the program, two directories and two files"

    cluster.serv2.write(f"{SITE}/conf", "another one\n")
    cluster.serv2.write(f"{SITE}/sub/own", "of serv2 alone\n")
    await_text(cluster, f"{SITE}/conf differs")
    await_text(cluster, f"{SITE}/sub/own is not on serv1")
    for node in NODES:
        text = status_text(cluster, node)
        assert f"web: serv2 could take it over, but: {SITE}/conf differs (" in text, text
        assert "serv1: 9 bytes of " in text and "serv2: 12 bytes of " in text, text
        assert f"web: {SITE}/conf differs" in cluster.node(node).ctl("check", "--local", check=False).stdout
        assert cluster.service(node)["prepared"]["serv2"], "it is no reason not to start"
    cluster.until(lambda: "standby-differs: web: serv2 could take it over, but: " in cluster.serv2.log_text(),
                  "serv2 has it in its log")
    assert "standby-differs" not in cluster.serv1.log_text(), "the active node leaves that to the standby"

    cluster.serv2.write(f"{SITE}/conf", "the same\n")
    cluster.serv2.sh(f"rm {SITE}/sub/own")
    await_alike(cluster)
    assert "could take it over, but" not in status_text(cluster, "serv1")
    cluster.until(lambda: "standby-alike: web: " in cluster.serv2.log_text(), "serv2 has that in its log, too")
    cluster.nothing_moved("serv1", epoch)


def test_without_the_program_the_standby_could_not_run_it_and_takes_over_all_the_same(site):
    cluster = site
    cluster.serv2.sh(f"mv {PROGRAM} {PROGRAM}.away")
    await_text(cluster, f"{PROGRAM} does not exist on serv2")
    cluster.until(lambda: not cluster.service("serv1")["prepared"]["serv2"], "serv2 is not prepared")
    text = status_text(cluster, "serv1")
    assert f"web: its standby could not run it as it is: {PROGRAM} does not exist on serv2" in text, text
    assert "standby, NOT prepared" in text, text
    assert cluster.service("serv1")["ready"]["serv2"], "a takeover would be tried"

    cluster.serv2.sh(f"mv {PROGRAM}.away {PROGRAM}")
    await_alike(cluster)
    cluster.until(lambda: cluster.service("serv1")["prepared"]["serv2"], "serv2 is prepared again")

    cluster.serv2.write(f"{SITE}/conf", "another one\n")
    await_text(cluster, f"{SITE}/conf differs")
    cluster.serv1.power_off()
    cluster.await_active("serv2")


def test_while_the_nodes_cannot_be_compared_check_says_why(site):
    cluster = site
    for node in (cluster.serv1, cluster.serv2):
        node.sh("nft add table inet cut; nft 'add chain inet cut in { type filter hook input priority 0; }'; "
                "nft add rule inet cut in tcp dport 7413 drop; nft add rule inet cut in tcp sport 7413 drop")
    cluster.serv2.write(f"{SITE}/conf", "another one\n")
    cluster.until(lambda: not likeness(cluster, "serv2")["compared"], "serv2 cannot ask serv1 any more")
    said = cluster.serv2.ctl("check", "--local", check=False).stdout
    assert "web: not compared with serv1 yet: " in said, said
    for node in (cluster.serv1, cluster.serv2):
        node.sh("nft delete table inet cut")
    await_text(cluster, f"{SITE}/conf differs")
