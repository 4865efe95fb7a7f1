#!/usr/bin/python3
"""The story that ./demo tells: a cluster, a power failure, the return, and the figures."""
import argparse
import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from lab import Client, Lab, LabError, Observer, config_files  # noqa: E402
from lab.hosts import wait_for  # noqa: E402

ADDRESS = config_files.SERVICE_ADDRESS
ADDRESS_6 = config_files.SERVICE_ADDRESS_6
MIRRORED, LATE = 500, 5


class Broken(Exception):
    """Something that the story promises did not hold."""


class Story:
    def __init__(self, arguments):
        self.arguments = arguments
        self.pauses = not arguments.once and sys.stdin.isatty()
        self.colour = sys.stdout.isatty()
        self.figures = {"profile": arguments.profile, "takeover_ms": None, "move_ms": None, "files_mirrored": 0,
                        "files_lost_report": 0, "files_in_backup_set": 0, "dual_active_ms": None, "result": "failed"}
        self.started = time.monotonic()

    # --- telling ----------------------------------------------------------------------------------------
    def chapter(self, title):
        if self.pauses and title[0] != "1":
            input("\n    (Enter)")
        bold, plain = ("\033[1m", "\033[0m") if self.colour else ("", "")
        print(f"\n{bold}{title}{plain}", flush=True)

    @staticmethod
    def say(text):
        print("    " + text, flush=True)

    def shows(self, node, *command):
        print(f"\n    {node.name}# clusterctl {' '.join(command)}")
        done = node.ctl(*command, check=False)
        for line in (done.stdout + done.stderr).rstrip().splitlines():
            print("    | " + line)
        print(flush=True)

    # --- waiting ----------------------------------------------------------------------------------------
    def service(self, node):
        status = node.status() if node.is_up() else None
        return status["services"][0] if status else None

    def await_role(self, node, role, seconds=60):
        wait_for(lambda: (self.service(node) or {"roles": {node.name: None}})["roles"][node.name] == role, seconds,
                 f"web is {role} on {node.name}", every=0.05)

    def await_ready(self, node, seconds=90):
        wait_for(lambda: all((self.service(one) or {"ready": {node.name: False}})["ready"][node.name]
                             for one in self.lab.nodes), seconds, f"{node.name} is a ready standby", every=0.05)

    def await_mirrored(self, source, probe):
        """Until `probe`, a file that was written last, lies on the other node, and the run has ended."""
        target = self.lab.nodes[1 - self.lab.nodes.index(source)]
        wait_for(lambda: os.path.exists(target.path(probe)) and
                 all(mirror["synced"] and mirror["state"] == "idle" for mirror in self.service(source)["mirrors"]),
                 60, "the mirror has carried everything over", every=0.05)

    def expect(self, truth, promise):
        if not truth:
            raise Broken(promise)
        self.say(promise + ".")

    def page(self, name):
        done = self.lab["c"].run("curl", "-s", "-i", "--max-time", "5", f"http://{ADDRESS}/{name}", check=False)
        head, _, body = done.stdout.partition("\n\n")  # text mode has made line ends of \r\n
        server = [line.split(": ", 1)[1] for line in head.splitlines() if line.lower().startswith("x-node: ")]
        return (server or ["nobody"])[0], body

    # --- the story --------------------------------------------------------------------------------------
    def tell(self):
        with Lab() as self.lab:
            self.serv1, self.serv2 = self.lab.nodes
            try:
                self.begin()
                self.write_files()
                self.pull_the_plug()
                self.power_returns()
                self.move_back()
                self.sum_up()
            except (Broken, LabError):
                self.shows_what_happened()
                raise
            if self.pauses:
                self.play()

    def begin(self):
        self.chapter("1. Two servers, a router, a second reference host, and a client")
        self.say("They live in network namespaces of this machine, joined by a LAN switch and a heartbeat switch.")
        web = config_files.service_toml(
            units=[config_files.nginx_unit()], checks=['{ tcp = "80" }'], hot=True,
            mirrors=config_files.mirror_toml(["/srv/web/"], every="10min"))
        self.setup = config_files.Setup(self.lab, {"web": web}, profile=self.arguments.profile,
                                        cluster="max_takeovers_per_hour = 100")
        self.setup.install()
        for path, text in self.setup.files().items():
            print(f"\n    {path}")
            for line in text.replace(self.lab.folder, "/var/lib/lab").splitlines():
                if line.strip():
                    print("    | " + line)
        print()
        self.observer = Observer(self.lab, [ADDRESS, ADDRESS_6])
        self.client = Client(self.lab, ADDRESS)
        self.serv1.write("/srv/web/index.html", "hello from the cluster\n")
        for node in self.lab.nodes:
            node.start_clusterd()
        self.await_role(self.serv1, "active")
        self.await_ready(self.serv2)
        self.client.await_answers()
        mac = self.lab["c"].sh(f"ip neigh show {ADDRESS}").split("lladdr ")[1].split()[0]
        self.client.static_entry(mac)
        self.say(f"The client asks {ADDRESS} every millisecond. Its ARP entry for it is nailed to {mac}:")
        self.say("it will never learn anything new about where the service is.")
        self.shows(self.serv1, "status")

    def write_files(self):
        self.chapter("2. People work: files are written on the active node and mirrored to the standby")
        self.serv1.sh(f"""mkdir -p /srv/web/docs && cd /srv/web/docs &&
            for i in $(seq {MIRRORED}); do echo "document $i, first version" >doc$i.txt; done; echo end >../.written""")
        self.serv1.ctl("mirror", "run", "web")
        self.await_mirrored(self.serv1, "/srv/web/.written")
        docs = os.listdir(self.serv2.path("/srv/web/docs"))
        self.figures["files_mirrored"] = len(docs)
        self.expect(len(docs) == MIRRORED, f"{len(docs)} files are on both nodes")
        self.serv1.sh(f"""cd /srv/web/docs && for i in $(seq {LATE}); do
            echo "document $i, second version" >doc$i.txt; done""")
        self.say(f"Then {LATE} of them are changed, and before the next mirror run …")

    def pull_the_plug(self):
        self.chapter("3. … the power of the active node fails")
        self.client.reset()
        self.client.await_answers()
        instant = self.serv1.power_off()
        self.say("serv1 is off: its cables are dead and every process of it is gone, in the same instant.")
        gap = self.client.gap_around(instant)
        self.figures["takeover_ms"] = round(gap["ms"], 1)
        self.await_role(self.serv2, "active")
        self.say(f"The client is answered again after {gap['ms']:.0f} ms, without having learnt anything.")
        server, body = self.page("docs/doc100.txt")
        self.expect(server == "serv2" and body == "document 100, first version\n",
                    f"Its web page comes from {server} now, with the mirrored files")
        self.shows(self.serv2, "why", "web")
        self.serv2.sh("cd /srv/web/docs && echo 'written while serv1 was away' >doc200.txt && echo new >new.txt")
        self.say("Work goes on there: one file is changed, one is new.")

    def power_returns(self):
        self.chapter("4. The power is back: serv1 returns, and nothing is lost")
        self.serv1.power_on()
        self.await_ready(self.serv1)
        self.expect(self.page("docs/doc200.txt") == ("serv2", "written while serv1 was away\n"),
                    "serv2 has served all the time; serv1 was brought up to date meanwhile")
        self.identical()
        reports = self.backups()
        lost = sorted(entry["path"] for report in reports for entry in report["lost"])
        self.figures["files_lost_report"] = len(lost)
        expected = sorted(f"/srv/web/docs/doc{number}.txt" for number in range(1, LATE + 1))
        self.expect(lost == expected,
                    f"The loss report names exactly the {LATE} files that had not been mirrored before the failure")
        kept = self.kept_versions(reports)
        self.figures["files_in_backup_set"] = len(kept)
        self.expect(all(kept.get(path) == f"document {path.split('doc')[-1][:-4]}, second version\n"
                        for path in expected), "and their versions are all kept in a backup set on serv1")
        self.shows(self.serv1, "backups", "list")

    def identical(self):
        done = subprocess.run(["rsync", "-aHAXS", "--numeric-ids", "--delete", "-n", "-i", "--checksum",
                               self.serv2.path("/srv/web/"), self.serv1.path("/srv/web/")],
                              capture_output=True, text=True, check=True)
        self.expect(not done.stdout, "rsync --checksum finds no difference between the nodes' files")

    def backups(self):
        folder = self.serv1.path("/var/lib/clusterd/backups/web")
        reports = []
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            try:
                with open(f"{folder}/{name}/report.json", encoding="utf-8") as file:
                    reports.append(dict(json.load(file), folder=f"{folder}/{name}"))
            except OSError:
                pass
        return reports

    @staticmethod
    def kept_versions(reports):
        kept = {}
        for report in reports:
            root = report["folder"] + "/files"
            for folder, _, names in os.walk(root):
                for name in names:
                    full = os.path.join(folder, name)
                    with open(full, encoding="utf-8", errors="replace") as file:
                        kept[full[len(root):]] = file.read()
        return kept

    def move_back(self):
        self.chapter("5. An administrator moves the service back")
        self.client.reset()
        self.client.await_answers()
        print("\n    serv2# clusterctl move web serv1")
        done = self.serv2.ctl("move", "web", "serv1", check=False)
        print("    | " + (done.stdout + done.stderr).strip().replace("\n", "\n    | ") + "\n")
        self.await_role(self.serv1, "active")
        self.client.await_answers()
        time.sleep(0.2)
        self.figures["move_ms"] = round(self.client.longest_gap_ms(), 1)
        self.expect(done.returncode == 0 and self.page("docs/new.txt") == ("serv1", "new\n"),
                    f"Done: the client missed it for {self.figures['move_ms']:.0f} ms "
                    "(the files are flushed to the other node first)")
        self.await_ready(self.serv2)
        self.shows(self.serv1, "status")

    def sum_up(self):
        self.chapter("6. What it was worth")
        order = self.observer.tenures()
        self.figures["dual_active_ms"] = round(self.observer.dual_active_ms(["serv1", "serv2", "serv1"]), 3)
        self.expect(order == ["serv1", "serv2", "serv1"] and self.figures["dual_active_ms"] == 0,
                    "An observer on the switch saw exactly one node speak for the address at any time: "
                    + ", ".join(order))
        self.figures["result"] = "ok"
        for name, text in (("takeover_ms", "power failure: ms until the client was answered again"),
                           ("move_ms", "orderly move: ms"), ("files_mirrored", "files mirrored"),
                           ("files_lost_report", "files in the loss report"),
                           ("files_in_backup_set", "files in the backup set"),
                           ("dual_active_ms", "ms with two nodes answering")):
            self.say(f"{self.figures[name]:>10}  {text}")
        self.say(f"(profile {self.arguments.profile}; the whole story took {time.monotonic() - self.started:.0f} s)")

    def shows_what_happened(self):
        for node in self.lab.nodes:
            print(f"    --- last lines of {node.name}'s log")
            for line in node.log_text().splitlines()[-15:]:
                print("    | " + line)

    def play(self):
        self.chapter("7. It is yours")
        name = self.lab.name
        self.say("In another terminal, for example:")
        for line in (f"lab/lab --lab {name} exec serv1 clusterctl status --watch",
                     f"lab/lab --lab {name} fault power-off serv1", f"lab/lab --lab {name} fault power-on serv1",
                     f"lab/lab --lab {name} fault cut-nodes", f"lab/lab --lab {name} heal", "lab/lab --help"):
            self.say("    sudo " + line)
        input("\n    (Enter ends it and removes everything)")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true", help="do not wait for keys")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--profile", default="steady", choices=["steady", "fast", "realtime"])
    arguments = parser.parse_args()

    def interrupted(number, _):
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    story = Story(arguments)
    code = 0
    try:
        story.tell()
    except KeyboardInterrupt:
        code = 130
    except (Broken, LabError, OSError, KeyError) as error:
        print(f"\n    This did not hold: {error}", flush=True)
        code = 1
    if arguments.json:
        print(json.dumps(story.figures), flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
