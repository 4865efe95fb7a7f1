"""The flight recorder of real daemons: a failover is recorded, and the core decides the same again."""
import json
import os

RECORDS = "/var/lib/clusterd/record"


def recordings(node):
    folder = node.path(RECORDS)
    return sorted(name for name in os.listdir(folder) if name.endswith(".rec"))


def replay(node, *arguments):
    """(exit code, JSON) of `clusterctl replay` on a node."""
    done = node.ctl("replay", "--json", *arguments, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout.strip() else {}


def replayed_equal(cluster, node, *arguments):
    code, told = replay(node, *arguments)
    assert told, f"{node.name}: nothing was replayed (exit code {code})"
    assert told["difference"] is None, told["difference"]
    assert told["equal"] and told["same_core"], told
    assert told["steps"] > 20
    return code, told


def test_a_failover_is_replayed_equal_on_both_nodes_and_damage_is_noticed(make_cluster):
    cluster = make_cluster(client=False)
    serv1, serv2 = cluster.serv1, cluster.serv2

    serv1.kill_clusterd()
    cluster.await_active("serv2")
    serv1.start_clusterd()
    cluster.await_ready("serv1")
    ok, text = cluster.order("serv2", "move", target="serv1")
    assert ok, text
    cluster.await_active("serv1")

    # A life that has ended in good order is there to its last step.
    for node in (serv1, serv2):
        node.stop_clusterd()
        code, told = replayed_equal(cluster, node)
        assert code == 0 and told["damage"] is None, told
        assert told["lost"] == 0 and told["gaps"] == 0
        decisions = [line["text"] for line in told["told"] if line["decision"]]
        assert any("takes over web" in text for text in decisions), decisions

    # A life that was killed is there up to its last block, which may be a second old.
    first = f"{RECORDS}/{recordings(serv1)[0]}"
    code, told = replay(serv1, first)
    assert code in (0, 1) and told["difference"] is None, told

    # The decision can be asked for by name, and nothing of the secret is in the file.
    text = serv2.ctl("replay", "--decisions").stdout
    assert "serv2 takes over web at epoch" in text
    assert "reproduced: " in text
    with open(serv2.path("/etc/cluster.d/secret.key"), encoding="utf-8") as file:
        secret = file.read().strip()
    newest = serv2.path(f"{RECORDS}/{recordings(serv2)[-1]}")
    with open(newest, "rb") as file:
        content = bytearray(file.read())
    assert secret.encode() not in content
    assert os.stat(newest).st_mode & 0o077 == 0

    content[len(content) // 2] ^= 0x10
    with open(newest, "wb") as file:
        file.write(content)
    code, told = replay(serv2, f"{RECORDS}/{recordings(serv2)[-1]}")
    assert code == 1
    assert "damaged" in told["damage"]
    assert told["difference"] is None

    with open(newest, "wb") as file:
        file.write(b"something else")
    assert replay(serv2, f"{RECORDS}/{recordings(serv2)[-1]}")[0] == 1

