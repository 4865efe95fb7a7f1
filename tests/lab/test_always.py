"""The always mirror: the site's own files are the same on both nodes, wherever they are edited; what is not plain waits for a human."""
import json
import os

import pytest

from lab import LabError
from lab.network import NODES, other

HOSTS = "/etc/hosts"
SITE = "/etc/site"
ALWAYS = f'[always]\npaths = ["{HOSTS}", "{SITE}/"]\nexclude = ["*.bak"]\n'
REPLACED = "/var/lib/clusterd/always/replaced"


def show(cluster, node):
    done = cluster.node(node).ctl("always", "--json", check=False)
    return json.loads(done.stdout) if done.returncode in (0, 4) else {}


def state(cluster, node, path):
    """How this node sees the path: None if there is nothing to tell of it."""
    for file in show(cluster, node).get("files", []):
        if file["path"] == path:
            return file["state"]
    return None


def content(cluster, node, path):
    try:
        return cluster.node(node).read(path)
    except LabError:
        return None


def await_content(cluster, node, path, text):
    cluster.until(lambda: content(cluster, node, path) == text, f"{path} on {node} is {text!r}")


def await_agreed(cluster):
    """Both nodes have met, have all the same, and have noted it."""
    def agreed():
        for node in NODES:
            shown = show(cluster, node)
            if not shown or not shown["met"] or shown["halted"] or shown["no_contact"] or shown["files"]:
                return False
            if not all(path["agreed"] for path in shown["paths"]):
                return False
        return agreements(cluster, "serv1") == agreements(cluster, "serv2")
    cluster.until(agreed, "the always mirror is in agreement")


def agreements(cluster, node):
    """By path: the digest that the node has noted on disk, and its number."""
    try:
        body = json.loads(content(cluster, node, "/var/lib/clusterd/always/agreed.json"))["body"]
    except (TypeError, ValueError):
        return None
    return {path: (one["entry"].get("content"), one["number"]) for path, one in body["agreed"].items()}


def await_conflict(cluster, path):
    for node in NODES:
        cluster.until(lambda: state(cluster, node, path) == "conflict", f"{node} tells of the conflict at {path}")


def kept(cluster, node):
    """What was replaced on the node, as a set of texts."""
    folder = cluster.node(node).path(REPLACED)
    texts = set()
    for place, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(place, name), encoding="utf-8") as file:
                texts.add(file.read())
    return texts


@pytest.fixture
def site(make_cluster):
    """Both nodes have the same files, and have agreed on them."""
    cluster = make_cluster(extra=ALWAYS, client=False, start=False)
    for node in (cluster.serv1, cluster.serv2):
        node.sh(f"rm -rf {SITE}; mkdir -p {SITE}/sub")
        node.write(HOSTS, "127.0.0.1 localhost\n")
        for name in ("a", "b", "c"):
            node.write(f"{SITE}/{name}", f"this is {name}\n")
    cluster.start()
    await_agreed(cluster)
    return cluster


def cut(cluster):
    """No versions, and nothing of the always mirror, between the nodes; heartbeats go on."""
    for node in (cluster.serv1, cluster.serv2):
        node.sh("nft add table inet cut; nft 'add chain inet cut in { type filter hook input priority 0; }'; "
                "nft add rule inet cut in tcp dport 7413 drop; nft add rule inet cut in tcp sport 7413 drop")


def join(cluster):
    for node in (cluster.serv1, cluster.serv2):
        node.sh("nft delete table inet cut")


def test_what_is_edited_on_either_node_arrives_on_the_other(site):
    cluster = site
    epoch = cluster.epoch("serv1")
    for number, node in enumerate(NODES + NODES):
        text = f"127.0.0.1 localhost\n192.168.1.{number} host{number}\n"
        cluster.node(node).write(HOSTS, text)
        await_content(cluster, other(node), HOSTS, text)
        # At once again, before anybody may have noted that they agree.
        cluster.node(other(node)).write(HOSTS, text + "# and more\n")
        await_content(cluster, node, HOSTS, text + "# and more\n")
    cluster.serv1.sh(f"printf '\\000\\377\\n' > {SITE}/sub/bytes; chmod 640 {SITE}/sub/bytes; chown 1:2 {SITE}/sub/bytes; "
                     f"ln -s /nowhere/at/all {SITE}/link; mkdir -m 711 {SITE}/new; echo x > {SITE}/new/x; echo own > {SITE}/own.bak")
    cluster.until(lambda: content(cluster, "serv2", f"{SITE}/new/x") == "x\n", "what is in a new directory has arrived")
    await_agreed(cluster)
    look = f"cd {SITE}; stat -c '%n %F %a %u %g' sub/bytes link new; readlink link; md5sum < sub/bytes"
    assert cluster.serv1.sh(look) == cluster.serv2.sh(look)
    assert content(cluster, "serv2", f"{SITE}/own.bak") is None, "what is excluded stays where it is"
    # The mode alone, and a file in the link's place.
    cluster.serv2.sh(f"chmod 600 {SITE}/a; rm {SITE}/link; echo now a file > {SITE}/link")
    cluster.until(lambda: cluster.serv1.sh(f"stat -c %a {SITE}/a").strip() == "600", "the mode has arrived")
    await_content(cluster, "serv1", f"{SITE}/link", "now a file\n")
    await_agreed(cluster)
    assert "127.0.0.1 localhost\n" in kept(cluster, "serv2"), "what was replaced is kept"
    assert not cluster.events("serv1", "always-stuck") and not cluster.events("serv2", "always-stuck")
    cluster.nothing_moved("serv1", epoch)


def test_what_is_deleted_on_one_node_goes_on_the_other(site):
    cluster = site
    cluster.serv2.sh(f"rm {SITE}/b; rmdir {SITE}/sub")
    cluster.until(lambda: cluster.serv1.sh(f"ls {SITE}").split() == ["a", "c"], "it is gone on serv1, too")
    await_agreed(cluster)
    assert "this is b\n" in kept(cluster, "serv1")
    # And made anew, on the node where it was not deleted.
    cluster.serv1.write(f"{SITE}/b", "again\n")
    await_content(cluster, "serv2", f"{SITE}/b", "again\n")


def test_edits_on_both_nodes_are_a_conflict_that_a_human_decides(site):
    cluster = site
    cut(cluster)
    cluster.serv1.write(HOSTS, "of serv1\n")
    cluster.serv2.write(HOSTS, "of serv2\n")
    cluster.serv1.write(f"{SITE}/a", "edited on serv1 alone\n")
    cluster.until(lambda: state(cluster, "serv1", f"{SITE}/a") == "waiting" and show(cluster, "serv1")["no_contact"],
                  "serv1 says that it waits for serv2")
    join(cluster)
    await_conflict(cluster, HOSTS)
    await_content(cluster, "serv2", f"{SITE}/a", "edited on serv1 alone\n")
    for node in NODES:
        cluster.await_event(node, "always-stuck", f"{HOSTS}: it was changed on both nodes since they last agreed")
        assert content(cluster, node, HOSTS) == f"of {node}\n", "nothing is overwritten"
        done = cluster.node(node).ctl("always", check=False)
        assert done.returncode == 4 and f"clusterctl always keep {HOSTS} --from {node}" in done.stdout, done.stdout
        assert "of serv1" not in done.stdout and "9 bytes" in done.stdout, done.stdout
        assert "clusterctl always" in cluster.node(node).ctl("status").stdout

    # Decided on the node whose file does not hold.
    said = cluster.serv1.ctl("always", "keep", HOSTS, "--from", "serv2").stdout
    assert "what serv2 has at /etc/hosts holds" in said, said
    await_content(cluster, "serv1", HOSTS, "of serv2\n")
    await_agreed(cluster)
    assert "of serv1\n" in kept(cluster, "serv1")
    cluster.until(lambda: not cluster.status("serv1")["always_stuck"], "status tells of it no more")
    assert cluster.serv1.ctl("always").stdout and "clusterctl always" not in cluster.serv1.ctl("status").stdout
    # It is an agreement as any other: the next edit arrives.
    cluster.serv1.write(HOSTS, "and on\n")
    await_content(cluster, "serv2", HOSTS, "and on\n")


def test_different_files_at_the_first_meeting_wait_and_a_missing_one_is_copied(make_cluster):
    cluster = make_cluster(extra=ALWAYS, client=False, start=False)
    for node in (cluster.serv1, cluster.serv2):
        node.sh(f"rm -rf {SITE}; mkdir {SITE}")
        node.write(HOSTS, f"of {node.name}\n")
    cluster.serv2.write(f"{SITE}/only-there", "x\n")
    cluster.start()
    await_content(cluster, "serv1", f"{SITE}/only-there", "x\n")
    await_conflict(cluster, HOSTS)
    for node in NODES:
        assert content(cluster, node, HOSTS) == f"of {node}\n"
    cluster.serv1.ctl("always", "keep", HOSTS, "--from", "serv1")
    await_content(cluster, "serv2", HOSTS, "of serv1\n")
    await_agreed(cluster)


def test_a_node_that_was_off_catches_up(site):
    cluster = site
    cluster.serv2.power_off()
    cluster.await_event("serv1", "peer-lost")
    cluster.serv1.write(f"{SITE}/a", "edited while serv2 was off\n")
    cluster.serv1.sh(f"rm {SITE}/c; echo new > {SITE}/d")
    hosts = cluster.serv1.read(HOSTS)
    cluster.serv2.power_on(start_clusterd=False)
    cluster.serv2.write(HOSTS, hosts)  # the lab writes that at each boot
    cluster.serv2.start_clusterd()
    await_content(cluster, "serv2", f"{SITE}/a", "edited while serv2 was off\n")
    cluster.until(lambda: cluster.serv2.sh(f"ls {SITE}").split() == ["a", "b", "d", "sub"], "what was deleted is gone there, too")
    await_agreed(cluster)


def test_killed_daemons_lose_nothing(site):
    cluster = site
    for number in range(3):
        text = f"edit {number}\n"
        cluster.serv1.write(HOSTS, text)
        cluster.node(NODES[number % 2]).kill_clusterd()
        cluster.node(NODES[number % 2]).start_clusterd()
        await_content(cluster, "serv2", HOSTS, text)
    await_agreed(cluster)
    assert content(cluster, "serv1", HOSTS) == "edit 2\n"


def test_an_emptied_directory_is_not_emptied_on_the_other_node(site):
    cluster = site
    cluster.serv1.sh(f"rm -rf {SITE}/*")
    for name in ("a", "b", "c"):
        await_conflict(cluster, f"{SITE}/{name}")
    cluster.await_event("serv2", "always-stuck", "have vanished on serv1 at once")
    assert cluster.serv2.sh(f"ls {SITE}").split() == ["a", "b", "c", "sub"]
    # An edit on the other node comes through all the same, and brings nothing back by itself.
    cluster.serv2.write(HOSTS, "goes on\n")
    await_content(cluster, "serv1", HOSTS, "goes on\n")
    cluster.serv1.ctl("always", "keep", f"{SITE}/", "--from", "serv2")
    cluster.until(lambda: cluster.serv1.sh(f"ls {SITE}").split() == ["a", "b", "c", "sub"], "the files are back")
    await_agreed(cluster)
    # And the other way round: they are meant to be gone.
    cluster.serv2.sh(f"rm -rf {SITE}")
    await_conflict(cluster, SITE)
    assert "this is a" in cluster.serv1.read(f"{SITE}/a")
    cluster.serv2.ctl("always", "keep", SITE, "--from", "serv2")
    cluster.until(lambda: not os.path.exists(cluster.serv1.path(SITE)), "the directory is gone on serv1, too")
    assert "this is a\n" in kept(cluster, "serv1")


def test_a_directory_that_is_emptied_slowly_is_an_emptied_one(site):
    cluster = site
    cluster.serv1.sh(f"for n in $(seq 40); do echo $n > {SITE}/$n; done")
    cluster.until(lambda: cluster.serv2.sh(f"ls {SITE} | wc -l").strip() == "44", "all have arrived")
    await_agreed(cluster)
    cluster.serv1.sh(f"for n in $(seq 40); do rm {SITE}/$n; sleep 0.2; done")
    for name in ("1", "20", "40"):
        await_conflict(cluster, f"{SITE}/{name}")
    assert cluster.serv2.sh(f"ls {SITE} | wc -l").strip() == "44"


def test_a_lost_memory_overwrites_nothing(site):
    """The node's state is put back to an empty one, with older files: nobody knows any more which are newer."""
    cluster = site
    cluster.serv1.write(HOSTS, "the newer one\n")
    await_content(cluster, "serv2", HOSTS, "the newer one\n")
    await_agreed(cluster)
    cluster.serv2.kill_clusterd()
    cluster.serv2.sh("echo '{' > /var/lib/clusterd/always/agreed.json")
    cluster.serv2.write(HOSTS, "from a backup\n")
    cluster.serv2.start_clusterd()
    await_conflict(cluster, HOSTS)
    assert content(cluster, "serv1", HOSTS) == "the newer one\n"
    assert content(cluster, "serv2", HOSTS) == "from a backup\n"


def test_nodes_with_different_lists_carry_nothing(site):
    cluster = site
    file = "/etc/cluster.d/cluster.toml"
    cluster.serv2.kill_clusterd()
    cluster.serv2.write(file, cluster.serv2.read(file).replace(f'"{HOSTS}", ', ""))
    # As after an installation by hand: without the version that both had.
    cluster.serv2.sh("rm -rf /var/lib/clusterd/config")
    cluster.serv2.start_clusterd()
    cluster.until(lambda: "another configuration" in show(cluster, "serv1").get("halted", ""),
                  "serv1 says that serv2 has another configuration")
    cluster.serv1.write(f"{SITE}/a", "edited\n")
    cluster.until(lambda: "another configuration" in show(cluster, "serv2").get("halted", ""), "so does serv2")
    cluster.stays(3, lambda: content(cluster, "serv2", f"{SITE}/a") == "this is a\n", "nothing is carried")


def test_what_cannot_be_carried_is_told(site):
    cluster = site
    cluster.serv1.sh(f"head -c 5000000 /dev/zero > {SITE}/big; echo ok > {SITE}/small")
    await_content(cluster, "serv2", f"{SITE}/small", "ok\n")
    cluster.await_event("serv2", "always-stuck", f"{SITE}/big: on serv1 it is longer than 4 MiB")
    assert cluster.serv1.ctl("always", check=False).returncode == 4
    cluster.serv1.sh(f"rm {SITE}/big")
    await_agreed(cluster)
    # As much as may be, of all bytes: it takes several messages.
    cluster.serv1.sh(f"for n in $(seq 12); do head -c 3500000 /dev/urandom > {SITE}/$n; done")
    cluster.until(lambda: cluster.serv2.sh(f"ls {SITE} | wc -l").strip() == "17", "all have arrived")
    await_agreed(cluster)
    md5 = f"cd {SITE}; md5sum $(seq 12)"
    assert cluster.serv1.sh(md5) == cluster.serv2.sh(md5)


def test_messages_of_those_who_mistype(site):
    cluster = site
    for words, code, part in [
            (["always", "keep", HOSTS], 2, "--from is required"),
            (["always", "keep", HOSTS, "--from", "serv3"], 1, "there is no node"),
            (["always", "keep", HOSTS, "--from", "serv1"], 1, "there is no conflict at /etc/hosts"),
    ]:
        done = cluster.serv1.ctl(*words, check=False)
        assert done.returncode == code, (words, done.stdout, done.stderr)
        assert part in done.stdout + done.stderr, (words, done.stdout, done.stderr)
