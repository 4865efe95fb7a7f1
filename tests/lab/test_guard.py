"""guard = true: on the standby nobody but the mirror writes, and what takes over finds its files writable."""
import json
import os

import pytest
from story import tree
from test_live_mirror import await_file, await_following, await_same

from lab import config_files

LIVE = '[[mirror]]\nname  = "files"\npaths = ["/srv/web/"]\nmode  = "live"\nguard = true\n'
RSYNC = config_files.mirror_toml(["/srv/web/"], extra="guard = true")
# Its start fails where the files cannot be written to: that is no start at all.
WRITER = '{ name = "writer", start = "echo started on $(hostname) >>/srv/web/started && touch /run/writer", ' \
         'stop = "rm -f /run/writer", status = "test -e /run/writer" }'


def guarded(make_cluster, mirror=LIVE, **options):
    cluster = make_cluster(mirror=mirror, units=[config_files.responder_unit(), WRITER], **options)
    cluster.await_mirrored("serv1")
    await_guarded(cluster, "serv2")
    return cluster


def await_guarded(cluster, node):
    def is_so():
        service = cluster.service(node)
        return service and service["guarded"][node]
    cluster.until(is_so, f"{node} is guarded")


def refusal(node, path="/srv/web/by-mistake"):
    return node.run("sh", "-c", f"echo mistake >{path}", check=False).stderr


def is_refused(node, path="/srv/web/by-mistake"):
    return "Read-only file system" in refusal(node, path)


def mounts_at(node, path="/srv/web"):
    points = [line.split()[4] for line in node.sh("cat /proc/self/mountinfo").splitlines()]
    return points.count(path)


def behind_the_guard(node, script):
    """As if there were no guard: what a broken disk does, or somebody who means it."""
    node.run("unshare", "--mount", "--propagation", "private", "sh", "-c", "umount /srv/web && " + script)


@pytest.mark.parametrize("mirror", [LIVE, RSYNC], ids=["live", "rsync"])
def test_a_write_on_the_standby_is_refused_and_the_mirror_goes_on(make_cluster, mirror):
    cluster = guarded(make_cluster, mirror)
    assert is_refused(cluster.serv2)
    assert is_refused(cluster.serv2, "/srv/web/started")
    for script in ("rm /srv/web/started", "mkdir /srv/web/folder", "chmod 600 /srv/web/started", "rmdir /srv/web"):
        assert cluster.serv2.run("sh", "-c", script, check=False).returncode != 0, script
    cluster.serv1.sh("cd /srv/web; mkdir -p deep/er; echo one >deep/er/file; mv started moved; echo two >>moved")
    if mirror == RSYNC:
        cluster.mirror_now("serv1")
    await_file(cluster, "serv2", "/srv/web/deep/er/file", "one\n")
    await_same(cluster)
    # Both nodes know it, and say it.
    cluster.until(lambda: cluster.service("serv1")["guarded"]["serv2"], "serv1 knows that serv2 is guarded")
    for node in (cluster.serv1, cluster.serv2):
        assert "standby, ready, guarded" in node.ctl("status").stdout
    assert cluster.service("serv2")["mirrors"][0]["guard"] == {"state": "set", "detail": ""}
    assert cluster.service("serv1")["guarded"]["serv1"] is False
    assert "is guarded: its folders are read-only here" in cluster.serv2.ctl("check", "--local", check=False).stdout
    cluster.nothing_moved("serv1", cluster.epoch("serv1"))


@pytest.mark.parametrize("mirror", [LIVE, RSYNC], ids=["live", "rsync"])
def test_a_move_takes_the_guard_along(make_cluster, mirror):
    cluster = guarded(make_cluster, mirror)
    assert mounts_at(cluster.serv1) == 0
    for source, target in (("serv1", "serv2"), ("serv2", "serv1")):
        ok, text = cluster.order(source, "move", target=target)
        assert ok, text
        cluster.await_active(target)
        assert cluster.node(target).read("/srv/web/started").endswith(f"started on {target}\n")
        assert mounts_at(cluster.node(target)) == 0
        await_guarded(cluster, source)
        assert is_refused(cluster.node(source))
        cluster.await_ready(source)
    cluster.observer.never_dual("serv1", "serv2", "serv1")


def test_a_takeover_finds_its_files_writable_and_the_return_is_guarded(make_cluster):
    """The power of the active node fails with writes that were not mirrored: they are kept, behind the guard."""
    cluster = guarded(make_cluster)
    await_following(cluster, "serv1")
    cluster.serv1.sh("cd /srv/web; for i in $(seq 20); do echo first >file$i; done")
    await_file(cluster, "serv2", "/srv/web/file20", "first\n")
    await_same(cluster)
    cluster.serv1.run("pkill", "-STOP", "-f", "clusterd-mirror agent")
    cluster.serv1.sh("cd /srv/web; echo second >file1; echo new >created")
    cluster.serv1.power_off()
    cluster.await_active("serv2")
    cluster.serves("serv2")
    assert cluster.serv2.read("/srv/web/started").endswith("started on serv2\n")
    cluster.serv2.write("/srv/web/file2", "third\n")

    cluster.serv1.power_on()
    cluster.await_event("serv2", "resync-done")
    await_guarded(cluster, "serv1")
    cluster.await_ready("serv1")
    await_same(cluster)
    assert is_refused(cluster.serv1)
    report = cluster.backup_sets("serv1")[-1]
    kept = tree(report["folder"] + "/files/srv/web")
    assert kept["file1"] == b"second\n" and kept["created"] == b"new\n"
    # Not even a restore writes there; elsewhere it does.
    name = os.path.basename(report["folder"])
    done = cluster.serv1.ctl("backups", "restore", "web", name, check=False)
    assert done.returncode != 0
    assert "restore on the active node" in done.stdout + done.stderr


def test_the_guard_outlives_the_daemon_of_the_standby(make_cluster):
    cluster = guarded(make_cluster)
    cluster.serv2.kill_clusterd()
    assert is_refused(cluster.serv2)
    cluster.serv1.write("/srv/web/meanwhile", "written\n")
    cluster.serv2.start_clusterd()
    await_guarded(cluster, "serv2")
    assert is_refused(cluster.serv2)
    assert mounts_at(cluster.serv2) == 1
    await_file(cluster, "serv2", "/srv/web/meanwhile", "written\n")
    cluster.await_ready("serv2")
    # A daemon that finds the guard of another one lifts it, too.
    ok, text = cluster.order("serv1", "move", target="serv2")
    assert ok, text
    cluster.await_active("serv2")
    assert cluster.serv2.read("/srv/web/started").endswith("started on serv2\n")
    assert mounts_at(cluster.serv2) == 0


def test_the_daemon_of_the_active_node_is_killed(make_cluster):
    cluster = guarded(make_cluster)
    await_following(cluster, "serv1")
    cluster.serv1.kill_clusterd()
    cluster.await_active("serv2")
    assert cluster.serv2.read("/srv/web/started").endswith("started on serv2\n")
    assert refusal(cluster.serv2, "/srv/web/here") == ""
    cluster.serv1.start_clusterd()
    await_guarded(cluster, "serv1")
    assert is_refused(cluster.serv1)
    await_following(cluster, "serv2")
    await_same(cluster)


def test_a_daemon_that_goes_on_by_its_lease_finds_a_forgotten_guard(make_cluster):
    """As after a crash between two actions: the guard is there, and the node is the active one."""
    cluster = guarded(make_cluster)
    cluster.serv1.stop_clusterd()
    cluster.serv1.sh("mount --bind /srv/web /srv/web && mount -o remount,bind,ro /srv/web")
    assert is_refused(cluster.serv1)
    cluster.serv1.start_clusterd()
    cluster.until(lambda: refusal(cluster.serv1, "/srv/web/here") == "", "the new daemon lifts the guard")
    cluster.await_active("serv1")
    assert mounts_at(cluster.serv1) == 0


def test_who_was_there_before_is_named_and_not_thrown_out(make_cluster):
    cluster = make_cluster(mirror=LIVE, start=False)
    cluster.serv2.sh("mkdir -p /srv/web")
    editor = cluster.serv2.popen("sh", "-c", "exec 3>>/srv/web/draft; echo open; read line; echo late >&3; echo done",
                                 stdin=-1, stdout=-1, text=True)
    assert editor.stdout.readline() == "open\n"
    cluster.start()
    cluster.until(lambda: "open for writing" in (cluster.service("serv2")["mirrors"][0]["guard"] or {}).get("detail", ""),
                  "the editor is named")
    checked = cluster.serv2.ctl("check", "--local", check=False).stdout
    assert "not from who was there before" in checked and "/srv/web/draft" in checked
    editor.stdin.write("\n")
    editor.stdin.flush()
    assert editor.stdout.readline() == "done\n"
    editor.wait(timeout=60)
    cluster.until(lambda: cluster.service("serv2")["mirrors"][0]["guard"]["detail"] == "", "nobody is left")
    assert is_refused(cluster.serv2)


def test_a_configuration_without_guard_lifts_it(make_cluster):
    cluster = guarded(make_cluster)
    for node in (cluster.serv1, cluster.serv2):
        node.sh("sed -i '/^guard/d' /etc/cluster.d/services/web.toml")
    for node in (cluster.serv1, cluster.serv2):
        node.run("pkill", "-HUP", "-x", "clusterd")
    cluster.until(lambda: mounts_at(cluster.serv2) == 0, "the guard is lifted")
    assert refusal(cluster.serv2) == ""
    cluster.until(lambda: (cluster.service("serv2") or {"guarded": 0})["guarded"] is None, "the new configuration runs")
    cluster.await_ready("serv2")


def test_all_guards_are_lifted_before_the_package_is_removed(make_cluster):
    cluster = guarded(make_cluster)
    program = cluster.serv2.program("clusterd")
    busy = cluster.serv2.run(program, "--lift-guards", check=False)
    assert busy.returncode != 0 and "another clusterd" in busy.stderr
    cluster.serv2.stop_clusterd()
    assert is_refused(cluster.serv2)
    cluster.serv2.run(program, "--lift-guards")
    assert refusal(cluster.serv2) == ""
    assert mounts_at(cluster.serv2) == 0


def test_what_is_mounted_below_meanwhile_is_guarded_and_mirrored(make_cluster):
    cluster = guarded(make_cluster)
    await_following(cluster, "serv1")
    cluster.serv1.sh("mkdir /srv/web/big")
    cluster.until(lambda: os.path.isdir(cluster.serv2.path("/srv/web/big")), "the folder is on serv2")
    cluster.serv2.sh("mount -t tmpfs none /srv/web/big")
    cluster.until(lambda: is_refused(cluster.serv2, "/srv/web/big/by-mistake"), "what was mounted is guarded")
    cluster.serv2.run("rm", "-f", "/srv/web/big/by-mistake", check=False)
    cluster.serv1.write("/srv/web/big/file", "on the file system that was mounted\n")
    def there():
        done = cluster.serv2.run("cat", "/srv/web/big/file", check=False)
        return done.stdout == "on the file system that was mounted\n"
    cluster.until(there, "the mirror writes on the new file system")


def test_a_scrub_goes_through_the_guard(make_cluster):
    cluster = guarded(make_cluster)
    await_following(cluster, "serv1")
    cluster.serv1.sh("cd /srv/web; for i in $(seq 5); do echo content$i >file$i; done")
    await_file(cluster, "serv2", "/srv/web/file5", "content5\n")
    def damaged():
        behind_the_guard(cluster.serv2, "cp -p /srv/web/file3 /tmp/before; printf '!' | dd of=/srv/web/file3 bs=1 seek=2 "
                         "conv=notrunc status=none; touch -r /tmp/before /srv/web/file3")
        done = cluster.serv1.ctl("mirror", "scrub", "web", "--json", check=False)
        return json.loads(done.stdout)[0]["scrub"]["differed"] == 1
    cluster.until(damaged, "the scrub finds the damage")
    await_file(cluster, "serv2", "/srv/web/file3", "content3\n")
    await_same(cluster)
    assert is_refused(cluster.serv2)
