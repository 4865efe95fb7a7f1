"""What if: the simulation begins where the real services are, and agrees with what really happens."""
import json


def what_if(node, *arguments):
    done = node.ctl("whatif", "--json", *arguments, check=False)
    assert done.returncode in (0, 4), done.stderr
    return json.loads(done.stdout)


def single(told, fault):
    return next(run for run in told["singles"] if run["faults"] == [fault])


def test_the_simulation_begins_with_the_live_cluster_and_foresees_a_power_failure(make_cluster):
    cluster = make_cluster(client=False)
    ok, text = cluster.order("serv1", "move", target="serv2")
    assert ok, text
    cluster.await_active("serv2")
    cluster.await_ready("serv1")

    told = what_if(cluster.serv1, "--faults", "2")
    foreseen = single(told, "serv2 loses its power")["services"][0]
    assert foreseen["before"] == "serv2" and foreseen["active"] == "serv1" and foreseen["up"], foreseen
    assert single(told, "serv1 loses its power")["services"][0]["active"] == "serv2"
    assert told["counts"]["pairs"]["both"] == 0, told["counts"]
    assert cluster.role("serv2") == "active", "nothing was done to the cluster"

    findings = cluster.serv1.ctl("check", "--deep", "--local", "--json", check=False).stdout
    assert any(finding["topic"] == "what if" for finding in json.loads(findings)["findings"])

    cluster.serv2.power_off()
    cluster.await_active("serv1")
