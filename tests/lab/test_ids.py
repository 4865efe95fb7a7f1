"""Owners of mirrored files on nodes that have given different numbers to the same users."""
import os

from test_live_mirror import await_file, await_following, live, mirror_of

NAMED = 'ids   = "name"\n'
WEB = {"serv1": 1701, "serv2": 1805}  # the user web42 on each node; on serv2 1701 is eve


def add_user(cluster, node, name, number):
    cluster.node(node).sh(f"echo '{name}:x:{number}:{number}::/:/bin/sh' >>/etc/passwd; echo '{name}:x:{number}:' >>/etc/group")


def remove_user(cluster, node, name):
    cluster.node(node).sh(f"sed -i '/^{name}:/d' /etc/passwd /etc/group")


def with_users(make_cluster, extra=""):
    cluster = live(make_cluster, extra)
    for node, number in WEB.items():
        add_user(cluster, node, "web42", number)
    add_user(cluster, "serv2", "eve", WEB["serv1"])
    return cluster


def owner(cluster, node, path):
    try:
        found = os.lstat(cluster.node(node).path(path))
    except FileNotFoundError:
        return None
    return found.st_uid, found.st_gid


def await_owner(cluster, node, path, number):
    cluster.until(lambda: owner(cluster, node, path) == (number, number), f"{path} belongs to {number} on {node}")


def differences(cluster, node):
    likeness = (cluster.service(node) or {}).get("likeness") or {}
    return [one["text"] for one in likeness.get("differences", [])]


def detail(cluster, node):
    return (mirror_of(cluster, node) or {}).get("detail") or ""


def test_numbers_that_mean_somebody_else_are_told(make_cluster):
    cluster = with_users(make_cluster)
    cluster.serv1.sh(f"cd /srv/web; echo hers >file; chown {WEB['serv1']}:{WEB['serv1']} file")
    await_owner(cluster, "serv2", "/srv/web/file", WEB["serv1"])
    said = f"user web42 is number {WEB['serv1']} on serv1, and {WEB['serv2']} on serv2"
    for node in ("serv1", "serv2"):
        cluster.until(lambda: said in differences(cluster, node), f"{node} says: {said}")
        cluster.until(lambda: said.replace("user", "group", 1) in differences(cluster, node), "and of the group")
        check = cluster.node(node).ctl("check", "--local", check=False).stdout
        assert f"web: {said}" in check, check
        assert "usermod -u" in check and 'ids = "name"' in check, check
    assert f"web: serv2 could take it over, but: {said}" in cluster.serv1.ctl("status").stdout

    remove_user(cluster, "serv2", "eve")
    remove_user(cluster, "serv2", "web42")
    cluster.until(lambda: f"number {WEB['serv1']} is user web42 on serv1, and no user on serv2" in differences(cluster, "serv1"),
                  "serv1 says that serv2 has no such user")
    add_user(cluster, "serv2", "web42", WEB["serv1"])
    for node in ("serv1", "serv2"):
        cluster.until(lambda: differences(cluster, node) == [], f"{node} says that all is alike")


def test_owners_by_name_arrive_by_name_and_come_back_so(make_cluster):
    cluster = with_users(make_cluster, NAMED)
    cluster.serv1.sh("cd /srv/web; mkdir d; for i in $(seq 20); do echo text$i >d/file$i; done; head -c 900000 /dev/zero | tr '\\0' x >d/large; "
                     "setfacl -m u:web42:rw d/file1; chown -R web42:web42 d; echo root >of-root")
    for name in ("d", "d/file1", "d/file20", "d/large"):
        await_owner(cluster, "serv2", f"/srv/web/{name}", WEB["serv2"])
    await_file(cluster, "serv2", "/srv/web/of-root", "root\n")
    assert owner(cluster, "serv2", "/srv/web/of-root") == (0, 0)
    assert "user:web42:rw-" in cluster.serv2.sh("getfacl /srv/web/d/file1")
    assert f"user:{WEB['serv2']}:rw-" in cluster.serv2.sh("getfacl -n /srv/web/d/file1")
    assert not any("web42" in text for text in differences(cluster, "serv1")), "their numbers may differ"

    # Both ends anew: everything is compared, and nothing is found.
    for node, verb in (("serv1", "agent"), ("serv2", "accept")):
        cluster.node(node).run("pkill", "-KILL", "-f", f"clusterd-mirror {verb}", check=False)
    cluster.serv1.write("/srv/web/after", "text\n")
    await_file(cluster, "serv2", "/srv/web/after", "text\n")
    await_following(cluster, "serv1")
    ok, text = cluster.order("serv1", "mirror-run")
    assert ok, text

    def compared_to_be_equal():
        last = mirror_of(cluster, "serv1")["last"]
        return last and (last["kind"], last["outcome"], last["files"], last["bytes"]) == ("run", "done", 0, 0)
    cluster.until(compared_to_be_equal, "a compare sends nothing")

    # A takeover and the way back: what the returned node has is the same by name, so nothing is lost or overwritten.
    cluster.serv1.power_off()
    cluster.await_active("serv2")
    cluster.serv2.sh("cd /srv/web; echo new >of-serv2; chown web42:web42 of-serv2")
    cluster.serv1.power_on()
    cluster.await_event("serv2", "resync-done")
    cluster.await_ready("serv1")
    await_owner(cluster, "serv1", "/srv/web/of-serv2", WEB["serv1"])
    for name in ("d", "d/file1", "d/large"):
        assert owner(cluster, "serv1", f"/srv/web/{name}") == (WEB["serv1"], WEB["serv1"])
    sets = cluster.backup_sets("serv1")
    assert not any(entry["path"].startswith("/srv/web/d/") for one in sets for entry in one["lost"]), sets


def test_the_files_of_an_unknown_user_wait_until_he_exists(make_cluster):
    cluster = with_users(make_cluster, NAMED)
    add_user(cluster, "serv1", "alice", 1900)
    add_user(cluster, "serv2", "mallory", 1900)
    cluster.serv1.sh("cd /srv/web; echo hers >of-alice; chown alice:alice of-alice; echo his >of-web42; chown web42:web42 of-web42")
    await_owner(cluster, "serv2", "/srv/web/of-web42", WEB["serv2"])
    said = "/srv/web/of-alice: user alice does not exist on serv2: create it there, or write ids = \"numeric\""
    cluster.until(lambda: said in detail(cluster, "serv1"), "the status of serv1 names the user and the file")
    assert f"mirror web files: 1 file waits at serv2: {said}" in cluster.serv1.ctl("status").stdout
    uid = owner(cluster, "serv2", "/srv/web/of-alice")
    assert uid is None or uid[0] != 1900, "they are not mallory's"
    add_user(cluster, "serv2", "alice", 2000)
    await_owner(cluster, "serv2", "/srv/web/of-alice", 2000)
    cluster.until(lambda: "alice" not in detail(cluster, "serv1"), "the status has nothing to say any more")
    cluster.nothing_moved("serv1", cluster.epoch("serv1"))
