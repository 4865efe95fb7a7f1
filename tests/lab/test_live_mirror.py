"""mode = "live": every change is on the standby at once, and nothing is lost on the way back."""
import json
import os
import subprocess

from story import tree


def live(make_cluster, extra="", **options):
    text = '[[mirror]]\nname  = "files"\npaths = ["/srv/web/"]\nmode  = "live"\n' + extra
    cluster = make_cluster(mirror=text, **options)
    await_following(cluster, "serv1")
    return cluster


def mirror_of(cluster, source):
    service = cluster.service(source)
    return service["mirrors"][0] if service else None


def await_following(cluster, source):
    def following():
        mirror = mirror_of(cluster, source)
        return mirror and mirror["synced"] and mirror["state"] == "following"
    cluster.until(following, f"the mirror from {source} follows")


def await_file(cluster, node, path, text):
    def there():
        try:
            with open(cluster.node(node).path(path), encoding="utf-8") as file:
                return file.read() == text
        except OSError:
            return False
    cluster.until(there, f"{path} is on {node}")


def await_same(cluster):
    """rsync is the judge: it must print nothing."""
    def same():
        done = subprocess.run(["rsync", "-aHAXS", "--numeric-ids", "--delete", "-n", "-i", "--checksum",
                               cluster.serv1.path("/srv/web/"), cluster.serv2.path("/srv/web/")],
                              capture_output=True, text=True, check=False)
        return done.returncode == 0 and done.stdout == ""
    cluster.until(same, "rsync finds no difference")


def test_a_file_written_through_the_service_appears_on_the_standby(make_cluster):
    cluster = live(make_cluster)
    cluster.serv1.sh("cd /srv/web; mkdir -p deep/er; echo one >deep/er/file; ln -s file deep/er/link; ln deep/er/file hard")
    await_file(cluster, "serv2", "/srv/web/deep/er/file", "one\n")
    cluster.serv1.sh("cd /srv/web; echo two >deep/er/file; mv deep moved; rm hard")
    await_file(cluster, "serv2", "/srv/web/moved/er/file", "two\n")
    await_same(cluster)
    status = cluster.serv1.ctl("status").stdout
    assert "following" in status
    assert mirror_of(cluster, "serv1")["mode"] == "live"
    assert mirror_of(cluster, "serv1")["behind"] is not None
    cluster.nothing_moved("serv1", cluster.epoch("serv1"))


def test_active_node_dies_and_returns(make_cluster):
    """Takeover, return with a loss report and a backup of each lost version, and back."""
    cluster = live(make_cluster)
    cluster.serv1.sh("cd /srv/web; for i in $(seq 50); do echo first >file$i; done")
    await_file(cluster, "serv2", "/srv/web/file50", "first\n")
    await_same(cluster)
    # What the source has on record as agreed on; a loss report may name what was mirrored a moment before that.
    def on_record():
        known = cluster.serv1.sh("cat /var/lib/clusterd/mirror/web.*.manifest*", check=False)
        return all(f"file{i}" in known for i in range(1, 51))
    cluster.until(on_record, "serv1 has all 50 files on record")
    # What is written while the source stands still has not been mirrored when the power fails.
    cluster.serv1.run("pkill", "-STOP", "-f", "clusterd-mirror agent")
    cluster.serv1.sh("cd /srv/web; for i in $(seq 1 7); do echo second >file$i; done; echo new >created; rm file9")
    cluster.serv1.power_off()
    cluster.await_active("serv2")
    assert cluster.serv2.read("/srv/web/file1") == "first\n"
    cluster.serv2.sh("cd /srv/web; echo third >file40; echo other >made-on-serv2")
    cluster.serv1.power_on()

    cluster.await_event("serv2", "resync-done")
    cluster.await_ready("serv1")
    await_same(cluster)
    report = cluster.backup_sets("serv1")[-1]
    lost = {entry["path"]: entry["change"] for entry in report["lost"]}
    expected = {f"/srv/web/file{i}": "changed" for i in range(1, 8)}
    expected.update({"/srv/web/created": "created", "/srv/web/file9": "deleted"})
    assert lost == expected
    kept = tree(report["folder"] + "/files/srv/web")
    for number in range(1, 8):
        assert kept[f"file{number}"] == b"second\n"
    assert kept["created"] == b"new\n"

    ok, text = cluster.order("serv2", "move", target="serv1")
    assert ok, text
    cluster.await_active("serv1")
    assert cluster.serv1.read("/srv/web/made-on-serv2") == "other\n"
    await_following(cluster, "serv1")
    cluster.observer.never_dual("serv1", "serv2", "serv1")


def test_a_move_brings_the_last_write_along(make_cluster):
    cluster = live(make_cluster)
    cluster.serv1.write("/srv/web/last", "written just before the move\n")
    ok, text = cluster.order("serv1", "move", target="serv2")
    assert ok, text
    cluster.await_active("serv2")
    assert cluster.serv2.read("/srv/web/last") == "written just before the move\n"
    await_following(cluster, "serv2")
    cluster.serv2.write("/srv/web/back", "from the other side\n")
    await_file(cluster, "serv1", "/srv/web/back", "from the other side\n")


def connected_over(cluster, node):
    """The links over which the source has connected, in order, as its log tells."""
    lines = cluster.node(node).log_text().splitlines()
    return [line.rsplit(" ", 1)[1] for line in lines if "connected with" in line and "over link" in line]


def test_the_stream_goes_over_another_link_and_back(make_cluster):
    cluster = live(make_cluster)
    assert connected_over(cluster, "serv1")[-1] == "heartbeat"
    cluster.serv1.unplug("eth1")
    cluster.serv1.write("/srv/web/during", "over the other link\n")
    await_file(cluster, "serv2", "/srv/web/during", "over the other link\n")
    assert connected_over(cluster, "serv1")[-1] == "service"
    cluster.serv1.plug("eth1")
    cluster.until(lambda: connected_over(cluster, "serv1")[-1] == "heartbeat", "the stream goes back to the private link")
    cluster.serv1.write("/srv/web/after", "over the private link\n")
    await_file(cluster, "serv2", "/srv/web/after", "over the private link\n")
    await_same(cluster)
    cluster.nothing_moved("serv1", cluster.epoch("serv1"))


def test_either_mirror_process_may_die(make_cluster):
    cluster = live(make_cluster)
    for number, (node, verb) in enumerate([("serv1", "agent"), ("serv2", "accept"), ("serv2", "serve")]):
        pids = cluster.node(node).run("pgrep", "-f", f"clusterd-mirror {verb}").stdout.split()
        assert pids, f"no {verb} on {node}"
        for pid in pids:
            cluster.node(node).run("kill", "-KILL", pid, check=False)
        cluster.serv1.write(f"/srv/web/after-{number}", f"{verb}\n")
        await_file(cluster, "serv2", f"/srv/web/after-{number}", f"{verb}\n")
    await_same(cluster)
    cluster.nothing_moved("serv1", cluster.epoch("serv1"))


def test_strangers_on_the_mirrors_port_disturb_nobody(make_cluster):
    cluster = live(make_cluster)
    epoch = cluster.epoch("serv1")
    noise = """
import os, socket, sys
for number in range(60):
    s = socket.socket()
    s.settimeout(5)
    try:
        s.connect((sys.argv[1], 7411))
        s.sendall(os.urandom(2000))
        while s.recv(4096):
            pass
    except OSError:
        pass
    s.close()
"""
    # From a client of the LAN, and from the peer itself, which has the right address but not the secret.
    cluster.lab["c"].run("python3", "-c", noise, "192.168.1.12")
    cluster.serv1.run("python3", "-c", noise, "192.168.1.12")
    cluster.until(lambda: "connections to port 7411 refused" in cluster.serv2.log_text(), "the refusals are counted")
    cluster.serv1.write("/srv/web/still", "here\n")
    await_file(cluster, "serv2", "/srv/web/still", "here\n")
    cluster.nothing_moved("serv1", epoch)


def test_an_emptied_root_halts_the_mirror(make_cluster):
    cluster = live(make_cluster)
    cluster.serv1.sh("cd /srv/web; echo precious >one; mkdir sub; echo too >sub/two")
    await_file(cluster, "serv2", "/srv/web/sub/two", "too\n")
    cluster.serv1.sh("umount /srv/web 2>/dev/null; mount -t tmpfs none /srv/web")
    ok, text = cluster.order("serv1", "mirror-run")
    assert ok, text
    cluster.await_event("serv1", "mirror-halted")
    assert cluster.serv2.read("/srv/web/one") == "precious\n"
    cluster.serv1.sh("umount /srv/web")
    ok, text = cluster.order("serv1", "mirror-confirm", text="files")
    assert ok, text
    await_following(cluster, "serv1")
    await_same(cluster)


def damage(node, path):
    """As a disk does it: another byte, and neither size nor time say so."""
    node.sh(f"cp -p {path} /tmp/before; printf '!' | dd of={path} bs=1 seek=2 conv=notrunc status=none; touch -r /tmp/before {path}; rm /tmp/before")


def test_a_scrub_finds_what_nothing_else_sees(make_cluster):
    cluster = live(make_cluster)
    cluster.serv1.sh("cd /srv/web; for i in $(seq 20); do echo content$i >file$i; done")
    await_file(cluster, "serv2", "/srv/web/file20", "content20\n")

    def proved():
        done = cluster.serv1.ctl("mirror", "scrub", "web", "--json")
        scrub = json.loads(done.stdout)[0]["scrub"]
        return scrub["skipped"] == 0 and scrub["proved_unix"]
    cluster.until(proved, "a scrub that left nothing out proves all to be equal")
    cluster.await_event("serv1", "mirror-proved")
    assert "proved equal" in cluster.serv1.ctl("mirror", "status").stdout

    damage(cluster.serv2, "/srv/web/file7")
    done = cluster.serv1.ctl("mirror", "scrub", "web", check=False)
    assert done.returncode == 4
    assert "1 differed and is sent anew: /srv/web/file7" in done.stdout
    cluster.await_event("serv1", "mirror-differed")
    await_file(cluster, "serv2", "/srv/web/file7", "content7\n")
    await_same(cluster)


def test_a_paused_mirror_waits_and_then_brings_what_has_changed(make_cluster):
    cluster = live(make_cluster)
    assert "mirror resume" in cluster.serv1.ctl("mirror", "pause", "web").stdout
    cluster.serv1.write("/srv/web/later", "written in the pause\n")
    assert "paused" in cluster.serv1.ctl("mirror", "status").stdout
    assert not os.path.exists(cluster.serv2.path("/srv/web/later"))
    cluster.serv1.ctl("mirror", "resume", "web", "files")
    await_file(cluster, "serv2", "/srv/web/later", "written in the pause\n")
    await_following(cluster, "serv1")
    await_same(cluster)
