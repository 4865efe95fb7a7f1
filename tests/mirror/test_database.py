"""PostgreSQL on mirrored files: what a takeover finds there (--whole; skipped where PostgreSQL is not installed).

Stopped orderly, or killed and then mirrored to the end, the standby's files are the same database. What a power cut in the
middle leaves is another matter (docs/mirror.md).
"""
import glob
import os
import shutil
import signal
import subprocess
import tempfile
import time

import judge
import pytest

BIN = os.path.dirname((glob.glob("/usr/lib/postgresql/*/bin/pgbench") or ["/x"])[0])
AS = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
SUMS = ("select (select sum(abalance) from pgbench_accounts) = (select sum(bbalance) from pgbench_branches), "
        "(select count(*) from pgbench_history)")


def pytest_generate_tests(metafunc):
    metafunc.parametrize("ground", metafunc.config.getoption("filesystems").split(","), indirect=True, scope="module")


class Server:
    def __init__(self, folder):
        self.folder = folder
        self.sockets = tempfile.mkdtemp(prefix="clusterd-pg-", dir="/tmp")
        shutil.chown(self.sockets, "postgres")
        self.process = None

    def run(self, *arguments):
        return subprocess.run([*AS, *arguments], check=True, capture_output=True, text=True, cwd="/tmp").stdout

    def start(self):
        self.process = subprocess.Popen([*AS, f"{BIN}/postgres", "-D", self.folder, "-c", "listen_addresses=", "-k", self.sockets],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        end = time.monotonic() + 60
        while subprocess.run([f"{BIN}/pg_isready", "-q", "-h", self.sockets], check=False).returncode != 0:
            assert time.monotonic() < end and self.process.poll() is None, "PostgreSQL does not start"
            time.sleep(0.1)

    def stop(self, number=signal.SIGINT):
        if self.process:
            if number == signal.SIGKILL:
                os.killpg(self.process.pid, number)
            else:
                self.process.send_signal(number)
            self.process.wait()
            self.process = None

    def bench(self, *options):
        return self.run(f"{BIN}/pgbench", "-h", self.sockets, *options, "postgres")

    def ask(self, question):
        return self.run(f"{BIN}/psql", "-h", self.sockets, "-Atc", question, "postgres").strip()

    def close(self):
        self.stop(signal.SIGKILL)
        shutil.rmtree(self.sockets, ignore_errors=True)


@pytest.mark.parametrize("end", ["stopped orderly", "killed"])
def test_the_standby_has_the_same_database(pairs, request, end):
    if not request.config.getoption("whole"):
        pytest.skip("--whole")
    if BIN == "/":
        pytest.skip("PostgreSQL is not installed")
    pair = pairs.new()
    folder = f"{pair.source}/database"
    os.mkdir(folder, 0o700)
    shutil.chown(folder, "postgres", "postgres")
    active, standby = Server(folder), Server(f"{pair.target}/database")
    try:
        active.run(f"{BIN}/initdb", "-D", folder, "-A", "trust")
        pair.start()
        pair.resync()
        active.start()
        active.bench("-i", "-s", "2", "-q")
        active.bench("-c", "2", "-T", "5")
        had = active.ask(SUMS)
        active.stop(signal.SIGINT if end == "stopped orderly" else signal.SIGKILL)
        pair.flush()
        judge.assert_equal(pair.source, pair.target)
        pair.quit()
        if end == "killed":
            os.unlink(f"{pair.target}/database/postmaster.pid")
        standby.start()
        assert standby.ask(SUMS) == had and had.startswith("t|")
        standby.bench("-n", "-t", "50")
    finally:
        active.close()
        standby.close()
