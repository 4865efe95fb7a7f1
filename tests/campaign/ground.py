"""The cluster on which campaigns run: tests/lab's, with the store as service, its client and a frequent mirror."""
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [ROOT, ROOT + "/tests/lab"]

from lab import config_files, tools  # noqa: E402
from story import ADDRESS, Cluster  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
STORE_PORT = 7001
STORE = "/srv/web/store"


class Ground(Cluster):
    def __init__(self, profile, every, seed, pause_ms, keys=60, max_size=20000, **options):
        units = [config_files.responder_unit(),
                 f'{{ name = "store", run = "/usr/bin/python3 {HERE}/store.py {STORE_PORT} {STORE}", '
                 'stop_timeout = "5s" }']
        mirror = config_files.mirror_toml(["/srv/web/"], every=every, extra=options.pop("mirror_extra", ""))
        super().__init__(profile=profile, client=False, units=options.pop("units", units), mirror=mirror, **options)
        self._traffic_options = [str(seed), str(pause_ms), str(keys), str(max_size)]
        self.traffic = None
        self.journal = None

    def begin(self):
        """The cluster serves, and the client's traffic has begun."""
        self.up()
        self.start()
        self.journal = self.lab.logs + "/traffic.jsonl"
        self.traffic = TrafficProcess(self.lab["c"].popen(
            "/usr/bin/python3", HERE + "/traffic.py", ADDRESS, str(STORE_PORT), self.journal,
            *self._traffic_options, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        self.lab.add_watcher(self.traffic)


class TrafficProcess:
    def __init__(self, process):
        self._process = process
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the campaign's client did not start")

    def ask(self, command):
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self):
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


__all__ = ["Ground", "TrafficProcess", "STORE", "HERE", "ROOT", "config_files", "tools"]
