"""Files go from the active node to the standby, and nothing is lost on the way back."""
import os
import subprocess

from lab import config_files
from story import tree


def mirrored(make_cluster, every="1h", extra="", **options):
    cluster = make_cluster(mirror=config_files.mirror_toml(["/srv/web/"], every=every, extra=extra), **options)
    cluster.await_mirrored("serv1")
    return cluster


def same(cluster):
    """rsync is the judge: it must print nothing."""
    done = subprocess.run(["rsync", "-aHAXS", "--numeric-ids", "--delete", "-n", "-i", "--checksum",
                           cluster.serv1.path("/srv/web/"), cluster.serv2.path("/srv/web/")],
                          capture_output=True, text=True, check=True)
    return done.stdout == "", done.stdout


def test_files_of_every_kind_arrive(make_cluster):
    cluster = mirrored(make_cluster)
    cluster.serv1.sh("""
        cd /srv/web; mkdir -p deep/er; echo text >deep/er/file; ln -s file deep/er/link; ln deep/er/file hard
        mkfifo fifo; truncate -s 1M sparse; printf 'x' >"$(printf 'name with \\377 and\\nnewline')"
        chown 1234:4321 deep; chmod 2750 deep; setfattr -n user.note -v yes hard; setfacl -m u:99:rw hard
        touch -d '1999-08-01 12:00:00.123456789' deep/er/file; head -c 3000000 /dev/urandom >big; mkdir empty""")
    cluster.mirror_now("serv1")
    ok, difference = same(cluster)
    assert ok, difference
    cluster.serv1.sh("cd /srv/web; rm -r deep; mv big bigger; echo more >>hard")
    cluster.mirror_now("serv1")
    ok, difference = same(cluster)
    assert ok, difference


def test_the_schedule_mirrors_by_itself(make_cluster):
    cluster = mirrored(make_cluster, every="1s")
    cluster.serv1.write("/srv/web/new", "content\n")
    cluster.until(lambda: os.path.exists(cluster.serv2.path("/srv/web/new")), "the schedule carries the file over")


def test_active_node_dies_while_files_change_and_returns(make_cluster):
    """Resync, a loss report that lists exactly what had not been mirrored, a backup of each; then move back."""
    cluster = mirrored(make_cluster)
    cluster.serv1.sh("cd /srv/web; for i in $(seq 200); do echo first >file$i; done")
    cluster.mirror_now("serv1")
    cluster.serv1.sh("cd /srv/web; for i in $(seq 1 7); do echo second >file$i; done; echo new >created; rm file9")

    cluster.serv1.power_off()
    cluster.await_active("serv2")
    assert cluster.serv2.read("/srv/web/file1") == "first\n"
    cluster.serv2.sh("cd /srv/web; echo third >file100; echo other >made-on-serv2")
    cluster.serv1.power_on()

    cluster.await_event("serv2", "resync-done")
    cluster.await_ready("serv1")
    ok, difference = same(cluster)
    assert ok, difference
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
    cluster.client.await_answers()
    cluster.observer.never_dual("serv1", "serv2", "serv1")


def test_backups_are_listed_shown_restored_and_purged(make_cluster):
    cluster = mirrored(make_cluster)
    cluster.serv1.write("/srv/web/precious", "only here\n")
    cluster.serv1.power_off()
    cluster.await_active("serv2")
    cluster.serv1.power_on()
    cluster.await_event("serv2", "resync-done")
    cluster.await_ready("serv1")
    name = cluster.backup_sets("serv1")[-1]["set"]["name"]
    assert name in cluster.serv1.ctl("backups", "list").stdout
    assert "/srv/web/precious" in cluster.serv1.ctl("backups", "show", "web", name).stdout
    cluster.serv1.sh("mkdir /srv/restored")
    done = cluster.serv1.ctl("backups", "restore", "web", name, "--to", "/srv/restored", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert cluster.serv1.read("/srv/restored/srv/web/precious") == "only here\n"
    done = cluster.serv1.ctl("backups", "purge", "web", name, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not cluster.backup_sets("serv1")


def test_nothing_is_mirrored_towards_an_active_node(make_cluster):
    """S8: whoever asks to write on the active node is refused."""
    cluster = mirrored(make_cluster)
    for epoch in (0, cluster.epoch("serv1"), cluster.epoch("serv1") + 5):
        ok, text = cluster.order("serv1", "mirror-receive", text="files", epoch=epoch)
        assert not ok and text
    ok, text = cluster.order("serv2", "mirror-run")
    assert not ok, "a standby is no source"
    assert cluster.role("serv1") == "active"


def test_a_disk_that_is_full_on_the_standby_raises_an_alarm_and_keeps_the_entry_dirty(make_cluster):
    cluster = make_cluster(start=False, mirror=config_files.mirror_toml(["/srv/web/"], every="2s"))
    cluster.serv2.small_disk("/srv/web", "1m")
    cluster.start()
    cluster.await_mirrored("serv1")
    cluster.serv1.sh("head -c 3000000 /dev/urandom >/srv/web/too-big")
    cluster.await_event("serv1", "mirror-failed")
    assert cluster.service("serv1")["mirrors"][0]["state"] in ("failed", "running", "halted")
    cluster.serv2.sh("mount -o remount,size=20m /srv/web")
    cluster.until(lambda: cluster.serv2.run("test", "-s", "/srv/web/too-big", check=False).returncode == 0,
                  "the file is carried over when there is room")
    cluster.nothing_moved("serv1", cluster.epoch("serv1"))
    cluster.observer.never_dual("serv1")


def test_a_target_that_cannot_be_written_raises_an_alarm(make_cluster):
    cluster = make_cluster(start=False, mirror=config_files.mirror_toml(["/srv/web/"], every="2s"))
    cluster.serv2.small_disk("/srv/web", "4m")
    cluster.start()
    cluster.await_mirrored("serv1")
    cluster.serv2.sh("mount -o remount,ro /srv/web")
    cluster.serv1.write("/srv/web/new", "x\n")
    cluster.until(lambda: cluster.events("serv1", "mirror-failed") or cluster.events("serv1", "mirror-halted"),
                  "the alarm is raised")
    cluster.serv2.sh("mount -o remount,rw /srv/web")
    cluster.until(lambda: cluster.serv2.run("test", "-e", "/srv/web/new", check=False).returncode == 0,
                  "the file is carried over")


def test_a_mirror_root_that_was_emptied_halts_the_mirror_until_confirmed(make_cluster):
    """S10: disaster is not mirrored."""
    cluster = mirrored(make_cluster)
    cluster.serv1.sh("cd /srv/web; for i in $(seq 50); do echo x >file$i; done")
    cluster.mirror_now("serv1")
    cluster.serv1.sh("rm -rf /srv/web/*")
    cluster.order("serv1", "mirror-run")
    cluster.await_event("serv1", "mirror-halted")
    assert len(os.listdir(cluster.serv2.path("/srv/web"))) == 50, "the standby still has everything"
    ok, text = cluster.order("serv1", "mirror-confirm", text="files")
    assert ok, text
    cluster.until(lambda: not os.listdir(cluster.serv2.path("/srv/web")), "the confirmed deletion is carried out")


def test_a_mirror_root_that_vanished_halts_the_mirror(make_cluster):
    cluster = make_cluster(start=False, mirror=config_files.mirror_toml(["/srv/web/"]))
    cluster.serv1.small_disk("/srv/web", "4m")
    cluster.start()
    cluster.serv1.sh("cd /srv/web; for i in $(seq 20); do echo x >file$i; done")
    cluster.await_mirrored("serv1")
    cluster.mirror_now("serv1")
    cluster.serv1.unmount("/srv/web")
    cluster.order("serv1", "mirror-run")
    cluster.await_event("serv1", "mirror-halted")
    assert len(os.listdir(cluster.serv2.path("/srv/web"))) == 20


def test_heartbeat_cable_out_the_mirror_goes_over_the_lan(make_cluster):
    cluster = mirrored(make_cluster)
    for node in (cluster.serv1, cluster.serv2):
        node.unplug("eth1")
    cluster.await_event("serv1", "link-lost", "heartbeat")
    cluster.serv1.write("/srv/web/over-the-lan", "x\n")
    cluster.mirror_now("serv1")
    assert os.path.exists(cluster.serv2.path("/srv/web/over-the-lan"))
