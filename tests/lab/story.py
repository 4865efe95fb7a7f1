"""A cluster as the tests tell of it: what is done to it, what is awaited, what must never be seen."""
import http.client
import json
import os
import socket
import time

from lab import Client, Lab, LabError, Observer
from lab import config_files
from lab.hosts import wait_for
from lab.network import NODES, default_machines, other

PATIENCE = float(os.environ.get("CLUSTERD_PATIENCE", "60"))  # machines stall; a deadline is no measurement
ADDRESS = config_files.SERVICE_ADDRESS
ADDRESS_6 = config_files.SERVICE_ADDRESS_6
SOCKET = "/run/clusterd/control.sock"
RUN_DIR_OF_TESTS = "/run/story"  # gone after a power cycle


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        # Reached through /proc, the path may exceed what a socket address holds: go by its folder's descriptor.
        folder = os.open(os.path.dirname(self._path), os.O_PATH | os.O_DIRECTORY)
        try:
            self.sock.connect(f"/proc/self/fd/{folder}/{os.path.basename(self._path)}")
        finally:
            os.close(folder)


class Cluster:
    """Two nodes with service "web", an observer of its addresses and a client that asks each millisecond."""

    def __init__(self, services=None, profile="steady", client=True, mirror=None, cluster="", extra="",
                 hosts=("192.168.1.1", "192.168.1.2"), service_extra="", machines=None, **web):
        """`machines`: nodes with their own systemd, and nginx.service as the service (see Lab). Without that, the nodes are
        of the kind that CLUSTERD_HOSTS asks for, and the service is the same little one on both."""
        self.lab = Lab(machines=default_machines() if machines is None else machines)
        if machines is not None:
            web.setdefault("units", [config_files.NGINX_SERVICE])
        if mirror is not None:
            web["mirrors"] = mirror
        web["extra"] = service_extra
        self._services = services or {"web": config_files.service_toml(**web)}
        self._options = {"profile": profile, "cluster": "max_takeovers_per_hour = 100\n" + cluster, "extra": extra,
                         "hosts": hosts}
        self._wants_client = client
        self.setup = None
        self.client = None
        self.observer = None

    # --- life -------------------------------------------------------------------------------------------
    def up(self):
        self.lab.up()
        self.setup = config_files.Setup(self.lab, self._services, **self._options)
        self.setup.install()
        self.observer = Observer(self.lab, [ADDRESS, ADDRESS_6])
        if self._wants_client:
            self.client = Client(self.lab, ADDRESS)
        return self

    def start(self):
        for node in self.lab.nodes:
            node.start_clusterd()
        self.await_active("serv1")
        self.await_ready("serv2")
        for node in NODES:
            self.await_links(node)
            self.await_counted(node)
        if self.client:
            self.client.await_answers(PATIENCE)
            self.client.reset()  # what was asked before there was a service is not missed

    def down(self):
        self.lab.down()

    @property
    def serv1(self):
        return self.lab["serv1"]

    @property
    def serv2(self):
        return self.lab["serv2"]

    def node(self, name):
        return self.lab[name]

    # --- asking the daemons -----------------------------------------------------------------------------
    def api(self, node, method, path, body=None):
        """(status code, JSON) of a request to the node's control socket; (0, None) while there is none."""
        host = self.lab[node]
        if not host.is_up():
            return 0, None
        connection = _UnixConnection(f"{host.root()}{SOCKET}")
        try:
            connection.request(method, path, None if body is None else json.dumps(body),
                               {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, ValueError, http.client.HTTPException):
            return 0, None
        finally:
            connection.close()

    def status(self, node):
        return self.api(node, "GET", "/v1/status")[1]

    def service(self, node, name="web"):
        status = self.status(node)
        for service in (status or {}).get("services", []):
            if service["name"] == name:
                return service
        return None

    def order(self, node, kind, service="web", target="", text="", epoch=0):
        """Gives an order at a node; returns (accepted, text)."""
        code, answer = self.api(node, "POST", "/v1/command", {"kind": kind, "service": service, "node": target,
                                                               "text": text, "epoch": epoch})
        return code == 200, (answer or {}).get("text", "no answer")

    def events(self, node, kind=None):
        answer = self.api(node, "GET", "/v1/events?after=0")[1] or {"events": []}
        return [event for event in answer["events"] if kind is None or event["kind"] == kind]

    def role(self, node, name="web"):
        service = self.service(node, name)
        return service["roles"][node] if service else None

    def epoch(self, node, name="web"):
        service = self.service(node, name)
        return service["epoch"] if service else None

    # --- awaiting ---------------------------------------------------------------------------------------
    def until(self, condition, what, seconds=PATIENCE):
        try:
            return wait_for(condition, seconds, what, every=0.02)
        except LabError as error:
            raise AssertionError(str(error)) from None

    def await_role(self, node, role, name="web", seconds=PATIENCE):
        self.until(lambda: self.role(node, name) == role, f"{name} is {role} on {node}", seconds)

    def await_active(self, node, name="web", seconds=PATIENCE):
        self.await_role(node, "active", name, seconds)

    def await_ready(self, node, name="web"):
        """The standby node says, and its active peer knows, that it could take over."""
        def ready():
            services = [self.service(one, name) for one in NODES]
            return all(service and service["ready"][node] for service in services)
        self.until(ready, f"{node} is a ready standby for {name}")

    def await_links(self, node):
        """The node hears its peer on every link: whatever is cut later is then missed."""
        self.until(lambda: all(link["up"] for link in (self.status(node) or {"links": [{"up": False}]})["links"]),
                   f"{node} hears its peer on every link")

    def await_counted(self, node):
        """The node may stay active on its reference hosts alone; before that it cannot take over either."""
        def counted():
            status = self.status(node)
            return status and all(host["counted"][node]["to_stay"] for host in status["hosts"])
        self.until(counted, f"{node} counts its reference hosts")

    def await_event(self, node, kind, containing="", after=0):
        def found():
            for event in self.events(node, kind):
                if event["sequence"] > after and containing in event["text"]:
                    return event
            return None
        return self.until(found, f"{node} sends the event {kind} {containing}")

    def last_event(self, node):
        events = self.events(node)
        return events[-1]["sequence"] if events else 0

    def await_mirrored(self, source, name="web"):
        def synced():
            service = self.service(source, name)
            return service and service["mirrors"] and all(mirror["synced"] for mirror in service["mirrors"])
        self.until(synced, f"the mirrors of {name} have been completed from {source}")

    def mirror_now(self, source, name="web"):
        """Runs the scheduled mirrors and waits until they have carried everything that is there now."""
        before = self._last_runs(source, name)
        ok, text = self.order(source, "mirror-run", name)
        assert ok, text
        def done():
            service = self.service(source, name)
            return service and all(
                mirror["synced"] and mirror["state"] == "idle" for mirror in service["mirrors"]) \
                and self._last_runs(source, name) != before
        self.until(done, f"the mirrors of {name} have run")

    def _last_runs(self, source, name):
        """Something that changes with each completed run: when it began, as an instant."""
        status = self.status(source)
        now = time.monotonic()
        for service in status["services"]:
            if service["name"] == name:
                return [mirror["lag_s"] is not None and round(now - mirror["lag_s"], 1)
                        for mirror in service["mirrors"]]
        return []

    # --- what must be seen, or not ----------------------------------------------------------------------
    def serves(self, node, seconds=PATIENCE):
        """The node alone answers the LAN for the service's address."""
        self.until(lambda: self.observer.answering(0.3) == [node], f"{node} alone answers the LAN", seconds)

    def nobody_serves(self, for_seconds=1.0):
        self.until(lambda: self.observer.answering(for_seconds) == [], "nobody answers for the service")

    def nothing_moved(self, node, epoch, name="web"):
        """The service is still where it was, without having been activated anew."""
        service = self.service(node, name)
        assert service["roles"][node] == "active", service
        assert service["epoch"] == epoch, service
        assert self.role(other(node), name) in ("standby", None)

    def stays(self, seconds, condition, what):
        """The condition holds all the time: for negative statements, which have no event to wait for."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert condition(), what
            time.sleep(0.05)

    def window(self):
        for node in NODES:
            status = self.status(node)
            if status:
                return status["timing"]["window_ms"] / 1e3
        return 0.7

    def lease(self, node):
        return self.status(node)["timing"]["lease_ms"] / 1e3

    # --- backups ----------------------------------------------------------------------------------------
    def backup_sets(self, node, service="web"):
        """The reports of the complete backup sets on the node's disk, oldest first."""
        folder = self.lab[node].path(f"/var/lib/clusterd/backups/{service}")
        reports = []
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            try:
                with open(f"{folder}/{name}/report.json", encoding="utf-8") as file:
                    report = json.load(file)
            except (OSError, ValueError):
                continue
            report["folder"] = f"{folder}/{name}"
            reports.append(report)
        return reports

    def describe(self):
        """For the report of a failed test."""
        parts = []
        for node in NODES:
            parts.append(f"--- {node}: {json.dumps(self.status(node))}")
            parts.append(f"--- events: {json.dumps(self.events(node))}")
            parts.append("--- log:\n" + "\n".join(self.lab[node].log_text().splitlines()[-60:]))
        try:
            parts.append("--- observer: " + json.dumps(self.observer.runs()[-12:]))
        except (OSError, ValueError, AttributeError):
            pass
        return "\n".join(parts)


def tree(path):
    """Every file below a folder with its contents, for comparing two nodes."""
    found = {}
    for folder, _, files in os.walk(path):
        for name in files:
            full = os.path.join(folder, name)
            with open(full, "rb") as file:
                found[os.path.relpath(full, path)] = file.read()
    return found
