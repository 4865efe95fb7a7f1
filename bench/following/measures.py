"""The figures: each method measures one, for one system, and notes the raw numbers."""
import contextlib
import glob
import itertools
import json
import os
import random
import statistics
import subprocess
import tempfile
import threading
import time

import bounds
import systems  # which makes those of tests/mirror known
import grounds


class Measures:
    """Where the trees are, what was asked for, and what came out: {figure: {system: [numbers]}}."""

    def __init__(self, options, folder, say):
        self.options, self.folder, self.say = options, folder, say
        self.tools = bounds.compile_tools(folder)
        self.numbers = {}
        self.files = max(PER_STEP, int(50_000 * options.scale))
        self.size = 120 * bounds.KIB
        self._places = 0

    def note(self, figure, system, *values):
        self.numbers.setdefault(figure, {}).setdefault(system, []).extend(round(value, 3) for value in values)
        shown = [f"{value:.4g}" for value in values[:6]]
        self.say(f"  {figure:34} {system:12} {' '.join(shown)}{' …' if len(values) > 6 else ''}")

    def place(self, **elsewhere):
        """New empty folders for a source, a target, and what a system remembers; elsewhere: {side: folder}."""
        self._places += 1
        made = [f"{elsewhere.get(side, self.folder)}/{side}{self._places}" for side in ("source", "target", "state")]
        for one in made:
            os.makedirs(one)
        return made

    def remove(self, *folders):
        subprocess.run(["rm", "-rf", *folders], check=False)

    @contextlib.contextmanager
    def running(self, kind, files=0, size=0, source=None, **elsewhere):
        """A system at work over a tree; its own target."""
        own, target, state = self.place(**elsewhere)
        if source is None:
            source = own
            bounds.plant(source, files, size)
        system = kind(source, target, state)
        try:
            begin = time.monotonic()
            system.start()
            bounds.sync(target)
            system.initial_ms = (time.monotonic() - begin) * 1e3
            yield system
        finally:
            system.stop()
            self.remove(own, target, state)

    # --- whole trees ---
    def tree(self, kinds):
        """Initial copy, unchanged compare, 1 % changed while away, idle: one tree for all."""
        source, unused, _ = self.place()
        self.remove(unused)
        self.say(f"tree of {self.files} files of {self.size // bounds.KIB} KiB")
        bounds.plant(source, self.files, self.size)
        for _ in range(self.options.rounds):
            _, target, _ = self.place()
            self.note("initial copy, ms", "tar | tar", bounds.tar_ms(source, target))
            self.note("compare, nothing changed, ms", "raw walk", bounds.walk_ms(self.tools, source, target))
            self.remove(target)
        for kind in kinds:
            for _ in range(self.options.rounds - 1):
                with self.running(kind, source=source) as system:
                    self.note("initial copy, ms", kind.name, system.initial_ms)
            with self.running(kind, source=source) as system:
                self.note("initial copy, ms", kind.name, system.initial_ms)
                self.compare(system)
                self.changed_while_away(system)
                if kind.follows:
                    self.idle(system)
        self.copies_to_memory(kinds, source)
        self.remove(source)

    def copies_to_memory(self, kinds, source):
        """The initial copy without the disk, which is the bound of all of them otherwise. What is read is in memory as
        well, if that is large enough."""
        needed = 3 * self.files * self.size
        if systems.available_memory() < needed:
            self.say(f"bench/mirror: less than {needed >> 30} GiB of memory are free: no initial copy to memory")
            return
        figure = "initial copy to memory, ms"
        with tempfile.TemporaryDirectory(prefix="clusterd-bench-", dir=MEMORY) as memory:
            for _ in range(self.options.rounds):
                places = self.place(source=memory, target=memory, state=memory)
                self.note(figure, "tar | tar", bounds.tar_ms(source, places[1]))
                self.remove(*places)
                for kind in kinds:
                    with self.running(kind, source=source, target=memory) as system:
                        self.note(figure, kind.name, system.initial_ms)

    def compare(self, system):
        system.catch_up()  # the first one may have to look at what was too young to be believed
        for _ in range(self.options.rounds):
            begin = time.monotonic()
            system.catch_up()
            self.note("compare, nothing changed, ms", system.name, (time.monotonic() - begin) * 1e3)

    def changed_while_away(self, system):
        dice = random.Random(7)
        changed = max(5, self.files // 100)
        for turn in range(self.options.rounds):
            system.lose_connection()
            for number in dice.sample(range(self.files), changed):
                write_at(bounds.file_name(system.source, number), turn * 8192, dice.randbytes(4096))
            begin = time.monotonic()
            system.catch_up()
            self.note(f"{changed} changed while away, ms", system.name, (time.monotonic() - begin) * 1e3)

    def idle(self, system):
        time.sleep(2)
        before = {role: systems.processor_seconds(pid) for role, pid in system.processes().items()}
        time.sleep(self.options.idle_seconds)
        for role, pid in system.processes().items():
            used = systems.processor_seconds(pid) - before[role]
            self.note(f"idle, {role}: % of a processor", system.name, used / self.options.idle_seconds * 100)

    def million(self, kinds):
        """Very many small files: time of an unchanged compare, and peak memory of each process."""
        count = int(1_000_000 * self.options.million_scale)
        source, unused, _ = self.place()
        self.remove(unused)
        self.say(f"tree of {count} files of 100 bytes")
        bounds.plant(source, count, 100)
        for kind in kinds:
            if kind is systems.Lsyncd:
                continue
            with self.running(kind, source=source) as system:
                system.catch_up()
                for role, pid in system.processes().items():
                    systems.reset_peak(pid)
                for _ in range(self.options.rounds):
                    begin = time.monotonic()
                    system.catch_up()
                    self.note(f"{count} small files, unchanged, s", kind.name, time.monotonic() - begin)
                for role, pid in system.processes().items():
                    self.note(f"{count} small files, {role}: peak MB", kind.name, systems.peak_kilobytes(pid) / 1e3)
                if kind is kinds[0]:
                    for _ in range(self.options.rounds):
                        self.note(f"{count} small files, unchanged, s", "raw walk",
                                  bounds.walk_ms(self.tools, source, system.target) / 1e3)
        self.remove(source)

    # --- single changes ---
    def large_file(self, kinds):
        """4 KiB changed in a large file."""
        size = int((1 << 30) * self.options.large_scale)
        for kind in kinds:
            source, unused, _ = self.place()
            self.remove(unused)
            with open(f"{source}/large", "wb") as file:
                noise = os.urandom(1 << 24)
                for _ in range(size >> 24):
                    file.write(noise)
            bounds.sync(source)
            with self.running(kind, source=source) as system:
                for turn in range(self.options.rounds):
                    time.sleep(1.1)
                    sent = system.wire_bytes()
                    begin = time.monotonic()
                    place, change = (turn * 977 + 13) * 65536 % size, os.urandom(4096)
                    write_at(f"{source}/large", place, change)
                    system.flush(lambda: read_at(f"{system.target}/large", place, 4096) == change)  # noqa: B023
                    self.note(f"4 KiB in {size >> 20} MB, ms", kind.name, (time.monotonic() - begin) * 1e3)
                    if sent is not None:
                        self.note(f"4 KiB in {size >> 20} MB, KB sent", kind.name, (system.wire_bytes() - sent) / 1e3)
            self.remove(source)

    def renamed_tree(self, kinds):
        files = max(PER_STEP, self.files // 10)
        name = f"tree of {files} files renamed"
        for kind in kinds:
            source, unused, _ = self.place()
            self.remove(unused)
            bounds.plant(f"{source}/tree", files, 20 * bounds.KIB)
            with self.running(kind, source=source) as system:
                for turn in range(self.options.rounds):
                    sent = system.wire_bytes()
                    begin = time.monotonic()
                    os.rename(f"{source}/tree{turn or ''}", f"{source}/tree{turn + 1}")
                    last = bounds.file_name(f"{system.target}/tree{turn + 1}", files - 1)
                    system.flush(lambda: os.path.exists(last))  # noqa: B023
                    self.note(f"{name}, ms", kind.name, (time.monotonic() - begin) * 1e3)
                    if sent is not None:
                        self.note(f"{name}, KB sent", kind.name, (system.wire_bytes() - sent) / 1e3)
            self.remove(source)

    def rates(self, kinds):
        """Changes at a steady rate: when each is seen on the target, and (flush, sampled) when it is durable."""
        folders, pool = 50, 500
        for kind in kinds:
            if not kind.follows:
                continue
            with self.running(kind, files=folders * bounds.PER_FOLDER, size=4096) as system:
                for rate in [float(one) for one in self.options.rates.split(",")]:
                    self.rate(system, rate, folders, pool)

    def rate(self, system, rate, folders, pool):
        seconds = max(self.options.rate_seconds, 15 / rate)
        program = subprocess.Popen(
            [self.tools["changes"], system.source, system.target, str(folders), str(pool), str(rate), str(seconds),
             "60", "4096"], stdout=subprocess.PIPE)
        answer, reader = [], None
        reader = threading.Thread(target=lambda: answer.append(program.communicate()[0]))
        reader.start()
        durable, number = [], 0
        while system.name == "clusterd" and reader.is_alive():
            number += 1
            with open(f"{system.source}/d0/sampled{number % 10}", "wb") as file:
                file.write(b"%d" % number * 500)
            begin = time.monotonic()
            system.flush()
            durable.append((time.monotonic() - begin) * 1e3)
            time.sleep(0.05)
        reader.join()
        result = json.loads(answer[0])
        seen = [one / 1e3 for one in result["us"] if one >= 0]
        name = f"{rate:g}/s"
        self.numbers.setdefault("raw: ms until seen", {})[f"{system.name} {name}"] = seen
        if seen:
            self.note(f"{name}: change until seen, p50, ms", system.name, statistics.median(seen))
            self.note(f"{name}: change until seen, p99, ms", system.name, percentile(seen, 99))
        if durable:
            self.note(f"{name}: change until durable, p50, ms", system.name, statistics.median(durable))
            self.note(f"{name}: change until durable, p99, ms", system.name, percentile(durable, 99))
        self.note(f"{name}: behind after the last, ms", system.name, result["backlog_ms"])
        self.note(f"{name}: never seen", system.name, len(result["us"]) - len(seen))
        self.note(f"{name}: writer late at most, ms", system.name, result["late_us"] / 1e3)

    # --- writers ---
    def writers(self, kinds):
        """How much slower do programs write while they are followed: in turns with and without. The target stands for
        another machine: its files are in memory, and it is not on the writers' processor. The source is with the
        target, as where a processor is free for it ("beside"), and then with the writers: what it costs where none is.
        Two processors may be one core, or share what limits both: what a mere loop beside costs is measured as well.

        Their files are on a file system of their own, on which nothing is removed before the end: ext4 is slow to make
        files where many have been removed lately, whoever follows."""
        work = {"storm of tiny files, s": self.storm, "fio, random 4 KiB with fsync, s": self.fio}
        if os.path.exists(f"{systems.ROOT}/.git"):
            work["git clone and build, s"] = self.build
        if os.path.exists(PGBENCH):
            work["pgbench, transactions a second"] = self.pgbench
        else:
            self.say("bench/mirror: pgbench is not installed (apt-get install postgresql-15): left out")
        followers = [kind for kind in kinds if kind.follows]
        with tempfile.TemporaryDirectory(prefix="clusterd-bench-", dir=MEMORY) as memory, \
                file_system(f"{self.folder}/disk") as disk, one_processor() as other:
            for name, function in work.items():
                for _ in range(self.options.rounds):
                    source, _, _ = self.place(source=disk)
                    bounds.sync(source)
                    self.note(name, "nobody", function(source))
                    source, _, _ = self.place(source=disk)
                    with busy(other):
                        bounds.sync(source)
                        self.note(name, "loop beside", function(source))
                    for kind, beside in itertools.product(followers, (True, False)):
                        source, _, _ = self.place(source=disk)
                        with self.running(kind, source=source, target=memory) as system:
                            for role in ("target", "source") if beside else ("target",):
                                systems.move_to(system.processes().get(role), other)
                            bounds.sync(system.source)
                            self.note(name, kind.name + (" beside" if beside else ""), function(system.source))
                            system.flush()

    @staticmethod
    def storm(root):
        begin = time.monotonic()
        subprocess.run(["/usr/bin/python3", "-c", STORM, root], check=True)
        return time.monotonic() - begin

    def fio(self, root):
        """On a warm file, and long enough that what the making of it costs the mirror counts for little."""
        done = subprocess.run(["fio", "--name=w", f"--filename={root}/fio", "--size=64M", "--rw=randwrite", "--bs=4k",
                               "--fsync=8", "--io_size=120M", "--randseed=7", "--output-format=json"], check=True,
                              capture_output=True)
        return json.loads(done.stdout)["jobs"][0]["write"]["runtime"] / 1e3

    @staticmethod
    def build(root):
        """This project's own sources; a part of them is compiled, as without optimising."""
        begin = time.monotonic()
        subprocess.run(["git", "clone", "-q", "--no-local", systems.ROOT, f"{root}/clone"], check=True)
        os.mkdir(f"{root}/objects")
        for source in sorted(glob.glob(f"{root}/clone/src/base/*.cpp") + glob.glob(f"{root}/clone/src/mirror/*.cpp")):
            subprocess.run(["c++", "-std=c++20", "-c", f"-I{root}/clone/src", source, "-o",
                            f"{root}/objects/{os.path.basename(source)}.o"], check=True)
        subprocess.run(["sh", "-c", f"cd {root} && ar cr library.a objects/*.o && rm -rf objects"], check=True)
        return time.monotonic() - begin

    def pgbench(self, root):
        with Postgres(f"{root}/postgres") as database:
            return database.transactions_a_second(self.options.pgbench_seconds)


@contextlib.contextmanager
def one_processor():
    """This process and those that it starts have the first processor only; those that are left are for others."""
    all_of_them = os.sched_getaffinity(0)
    first, *others = sorted(all_of_them)
    os.sched_setaffinity(0, {first})
    try:
        yield set(others) or all_of_them
    finally:
        os.sched_setaffinity(0, all_of_them)


@contextlib.contextmanager
def busy(processors):
    """Somebody computes there all the time."""
    with subprocess.Popen(["/usr/bin/python3", "-c", "while True: pass"]) as loop:
        os.sched_setaffinity(loop.pid, processors)
        try:
            yield
        finally:
            loop.kill()


@contextlib.contextmanager
def file_system(place):
    """A new ext4 in a file beside the mount point."""
    grounds.mount("ext4", place, 8192, f"{place}.image")
    os.chmod(place, 0o755)
    try:
        yield place
    finally:
        grounds.unmount(place)


MEMORY = "/dev/shm"
PER_STEP = 500
STORM = """
import os, sys
root = sys.argv[1]
for folder in range(100):
    os.mkdir(f"{root}/s{folder}")
    for file in range(200):
        with open(f"{root}/s{folder}/{file}", "wb", buffering=0) as one:
            one.write(b"tiny file\\n" * 10)
"""
PGBENCH = "/usr/lib/postgresql/15/bin/pgbench"


def write_at(path, place, contents):
    with open(path, "r+b") as file:
        file.seek(place)
        file.write(contents)


def read_at(path, place, count):
    with open(path, "rb") as file:
        file.seek(place)
        return file.read(count)


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


class Postgres:
    """A server of its own in one folder, run by the user postgres, on a socket in /tmp alone."""

    def __init__(self, folder):
        self.folder, self.bin = folder, os.path.dirname(PGBENCH)
        self.sockets = f"/tmp/clusterd-pg-{os.getpid()}"

    def _run(self, *arguments):
        return subprocess.run(["runuser", "-u", "postgres", "--", *arguments], check=True, capture_output=True,
                              text=True, cwd="/tmp").stdout

    def __enter__(self):
        for one in (self.folder, self.sockets):
            os.makedirs(one, mode=0o700, exist_ok=True)
            subprocess.run(["chown", "postgres", one], check=True)
        path = self.folder
        while path != "/":  # the user postgres has to come through
            path = os.path.dirname(path)
            os.chmod(path, os.stat(path).st_mode | 0o011)
        self._run(f"{self.bin}/initdb", "-D", self.folder, "-A", "trust")
        self.start()
        self._run(PGBENCH, "-h", self.sockets, "-i", "-s", "5", "-q", "postgres")
        return self

    def start(self):
        self._run(f"{self.bin}/pg_ctl", "-D", self.folder, "-w", "-l", f"{self.sockets}/log", "-o",
                  f"-c listen_addresses='' -k {self.sockets}", "start")

    def stop(self):
        self._run(f"{self.bin}/pg_ctl", "-D", self.folder, "-m", "fast", "-w", "stop")

    def transactions_a_second(self, seconds):
        out = self._run(PGBENCH, "-h", self.sockets, "-c", "2", "-T", str(seconds), "postgres")
        return next(float(line.split()[2]) for line in out.splitlines() if line.startswith("tps ="))

    def __exit__(self, *_):
        self.stop()
        subprocess.run(["rm", "-rf", self.sockets], check=False)
