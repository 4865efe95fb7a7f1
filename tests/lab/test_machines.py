"""The most important faults once more, on machines with their own systemd: real units, boots and shutdowns.

Those that are marked slow are not slow by themselves: booting machines for each would lengthen every test run.
"""
import time

import pytest

from lab import WebClient, config_files
from story import ADDRESS
from test_daemon import THROUGH_THE_SWITCH


@pytest.fixture
def machines(make_cluster):
    """nginx.service is active on serv1; both machines start clusterd at boot."""
    return make_cluster(machines={})


def nginx_runs_only_on(cluster, node):
    for name in ("serv1", "serv2"):
        state = cluster.node(name).run("systemctl", "is-active", "nginx.service", check=False).stdout.strip()
        assert (state == "active") == (name == node), f"{name}: nginx.service is {state}"


def test_power_off_and_the_machine_boots_into_a_ready_standby(machines):
    web = WebClient(machines.lab, ADDRESS)
    machines.serv1.power_off()
    machines.await_active("serv2")
    web.await_answers()
    machines.serv1.power_on()
    machines.await_ready("serv1")
    nginx_runs_only_on(machines, "serv2")
    machines.observer.never_dual("serv1", "serv2")


@pytest.mark.slow
def test_cold_start_of_both_machines(machines):
    for node in machines.lab.nodes:
        node.power_off()
    machines.lab.power_on_all()
    machines.await_active("serv1")
    machines.await_ready("serv2")
    machines.client.await_answers()
    machines.observer.never_dual("serv1")


@pytest.mark.slow
def test_the_service_nic_goes_down(machines):
    machines.serv1.nic_down("eth0")
    machines.await_active("serv2")
    machines.client.await_answers()
    nginx_runs_only_on(machines, "serv2")
    machines.serv1.nic_up("eth0")
    machines.await_ready("serv1")
    machines.observer.never_dual("serv1", "serv2")


def test_a_killed_daemon_is_silent_within_its_lease(machines):
    lease = machines.lease("serv1")
    machines.serv1.kill_clusterd()
    killed = time.monotonic()
    machines.await_active("serv2")
    machines.client.await_answers()
    assert machines.observer.last_heard("serv1") <= killed + lease + THROUGH_THE_SWITCH
    machines.serv1.start_clusterd()
    machines.await_ready("serv1")
    nginx_runs_only_on(machines, "serv2")
    machines.observer.never_dual("serv1", "serv2")


@pytest.mark.slow
def test_a_killed_daemon_is_started_again_by_systemd(machines):
    machines.serv1.kill_clusterd(restarts=True)
    machines.until(lambda: machines.status("serv1"), "serv1's daemon answers again")
    machines.until(lambda: sorted(str(machines.role(node)) for node in ("serv1", "serv2")) == ["active", "standby"],
                   "one node is active, the other one standby")
    active = "serv1" if machines.role("serv1") == "active" else "serv2"
    machines.client.await_answers()
    machines.until(lambda: machines.service(active)["ready"][{"serv1": "serv2", "serv2": "serv1"}[active]], "ready")
    nginx_runs_only_on(machines, active)
    machines.observer.never_dual(*(["serv1"] if active == "serv1" else ["serv1", "serv2"]))


@pytest.mark.slow
def test_a_frozen_daemon_is_replaced_by_the_other_node(machines):
    lease = machines.lease("serv1")
    machines.serv1.freeze()
    frozen = time.monotonic()
    machines.await_active("serv2")
    machines.client.await_answers()
    assert machines.observer.last_heard("serv1") <= frozen + lease + THROUGH_THE_SWITCH
    machines.serv1.thaw()
    machines.await_ready("serv1")
    nginx_runs_only_on(machines, "serv2")
    machines.observer.never_dual("serv1", "serv2")


@pytest.mark.slow
def test_a_daemon_that_stays_frozen_is_replaced_by_systemd(machines):
    """WatchdogSec: systemd ends what no longer answers, and starts a new one."""
    machines.serv1.freeze()
    frozen = machines.serv1.daemon
    machines.await_active("serv2")
    machines.until(lambda: not frozen.alive(), "systemd's watchdog ends the frozen daemon", 120)
    machines.await_ready("serv1")
    machines.observer.never_dual("serv1", "serv2")


def orderly(cluster, web):
    """serv2 serves by a handover, not by a takeover, and the web client waited for it at most once."""
    cluster.await_active("serv2")
    web.await_answers()
    kinds = [event["kind"] for event in cluster.events("serv2")]
    assert "moved" in kinds and "takeover" not in kinds, kinds
    report = web.report()
    assert report["nodes"] == ["serv1", "serv2"], report
    times = [lost[0] for lost in report["lost"]]
    assert not times or times[-1] - times[0] < cluster.window(), report
    return report


def test_reboot_of_the_active_machine_is_an_orderly_handover(machines):
    """logind lets the reboot wait until nginx has been handed over."""
    web = WebClient(machines.lab, ADDRESS)
    web.await_answers()
    web.reset()
    machines.serv1.reboot()
    orderly(machines, web)
    machines.await_ready("serv1")
    log = machines.serv1.log_text()
    assert log.index("the system goes down") < log.index("before the shutdown") < log.index("Stopping clusterd.service")
    assert "crashed" not in log
    nginx_runs_only_on(machines, "serv2")
    machines.observer.never_dual("serv1", "serv2")


@pytest.mark.slow
def test_a_reboot_that_goes_round_logind_is_handed_over_all_the_same(machines):
    """As Ctrl-Alt-Del: systemd stops clusterd and nginx at the same time, and that is no crash of nginx."""
    web = WebClient(machines.lab, ADDRESS)
    web.await_answers()
    web.reset()
    before = machines.serv1.system_pid()
    machines.serv1.run("systemctl", "start", "--no-block", "--job-mode=replace-irreversibly", "reboot.target")
    machines.serv1.await_boot(after=before)
    orderly(machines, web)
    machines.await_ready("serv1")
    assert "crashed" not in machines.serv1.log_text()
    machines.observer.never_dual("serv1", "serv2")


@pytest.mark.slow
def test_the_journal_knows_each_notice_by_its_fields_and_explains_it(machines):
    ok, text = machines.order("serv1", "move", target="serv2")
    assert ok, text
    machines.await_active("serv2")
    shown = machines.serv2.sh("journalctl --update-catalog; journalctl --sync; "
                              "journalctl --no-pager -x CLUSTERD_NOTICE=moved CLUSTERD_SERVICE=web")
    assert "moved: serv2 takes over web" in shown and "in good order" in shown, shown


def test_a_crash_of_the_unit_is_repaired_in_place(machines):
    epoch = machines.epoch("serv1")
    machines.serv1.run("systemctl", "kill", "--signal=KILL", "nginx.service")
    machines.until(lambda: machines.serv1.run("systemctl", "is-active", "nginx.service", check=False).returncode == 0,
                   "nginx runs again")
    machines.await_active("serv1")
    machines.nothing_moved("serv1", epoch)
    machines.observer.never_dual("serv1")


@pytest.mark.slow
def test_unit_files_and_programs_of_systemd_are_compared(machines):
    def says(text):
        for node in ("serv1", "serv2"):
            machines.until(lambda: any(text in one["text"] for one in
                                       (machines.service(node)["likeness"] or {"differences": []})["differences"]),
                           f"{node} says: {text}")

    def alike():
        for node in ("serv1", "serv2"):
            machines.until(lambda: (machines.service(node)["likeness"] or {}).get("compared") and
                           machines.service(node)["likeness"]["differ"] == 0, f"{node} says that all is alike")

    alike()
    assert machines.service("serv1")["likeness"]["same"] >= 2, "nginx.service and /usr/sbin/nginx at least"
    drop_in = "/etc/systemd/system/nginx.service.d/limits.conf"
    machines.serv2.sh(f"mkdir -p $(dirname {drop_in}); printf '[Service]\\nLimitNOFILE=4096\\n' > {drop_in}; systemctl daemon-reload")
    says(f"{drop_in} is not on serv1")
    machines.serv2.sh(f"rm {drop_in}; systemctl daemon-reload")
    alike()
    machines.serv2.sh("printf x >> /usr/sbin/nginx")
    says("/usr/sbin/nginx differs (serv1: ")
    machines.serv2.sh("mv /usr/sbin/nginx /usr/sbin/nginx.away")
    says("/usr/sbin/nginx does not exist on serv2")
    machines.until(lambda: not machines.service("serv1")["prepared"]["serv2"], "serv2 is not prepared")
    assert machines.service("serv2")["lacks"] == "/usr/sbin/nginx does not exist"
    text = machines.serv1.ctl("status").stdout
    assert "web: its standby could not run it as it is: /usr/sbin/nginx does not exist on serv2" in text, text
    machines.serv2.sh("mv /usr/sbin/nginx.away /usr/sbin/nginx; "
                      "mv /lib/systemd/system/nginx.service /etc/init.d/nginx /root/; systemctl daemon-reload")
    says("nginx.service is not installed on serv2")


@pytest.mark.slow
def test_the_hardened_unit_permits_what_services_do(make_cluster):
    """Commands that run below clusterd.service mount, open sockets and keep setuid files; so do mirrors and the gate."""
    cluster = make_cluster(machines={}, units=[
        '{ name = "volume", start = "mount -t tmpfs volume /mnt", stop = "umount /mnt", status = "mountpoint -q /mnt" }',
        '{ name = "responder", run = "/usr/local/bin/responder 7000" }'],
        mirror=config_files.mirror_toml(["/srv/web/"]))
    assert "gate: bpf" in cluster.serv1.ctl("status").stdout
    cluster.serv1.run("mountpoint", "-q", "/mnt")
    cluster.serv1.write("/srv/web/tool", "#!/bin/sh\n", mode=0o4755)
    cluster.mirror_now("serv1")
    assert cluster.serv2.sh("stat -c %a /srv/web/tool").strip() == "4755"
    responder = cluster.serv1.sh("pgrep -x responder")
    cluster.serv1.restart_clusterd()
    cluster.await_ready("serv2")
    assert cluster.serv1.sh("pgrep -x responder") == responder, "commands outlive the daemon"
    ok, text = cluster.order("serv1", "move", target="serv2")
    assert ok, text
    cluster.await_active("serv2")
    cluster.serv2.run("mountpoint", "-q", "/mnt")
    assert cluster.serv1.run("mountpoint", "-q", "/mnt", check=False).returncode != 0
    cluster.observer.never_dual("serv1", "serv2")
