"""Reads a guide of docs/guides and types what stands in it, command by command, on machines of the lab.

A block ```console holds commands behind the prompts `serv1# `, `serv2# ` and `client$ `, and below a command what it
has to print: each line has to appear, in this order, "…" stands for anything. A command that only looks is repeated until
it does. What no command can do stands in comments that a reader does not see: <!-- lab: serv1 power-off -->.
"""
import re
import subprocess

from lab.hosts import wait_for

PROMPT = re.compile(r"^(serv1|serv2|client)[#$] (.*)$")
HERE_TEXT = re.compile(r"<<\s*'?(\w+)'?")
CODE = re.compile(r"\b[0-9A-Z]{4}-[0-9A-Z]{4}\b")
LOOKS = re.compile(r"^(clusterctl (status|why|versions|mirror status|backups|check|diverged)|curl|cat|ls|dig|smbclient .* -c '(ls|get)|"
                   r"(runuser -u postgres -- )?psql .*-c 'select|systemctl is-active)\b")
WAITS = re.compile(r"^clusterctl (init --write|pair)\b")  # until the other node joins


class Command:
    def __init__(self, host, text, line):
        self.host, self.text, self.line = host, text, line
        self.expected = []

    def __str__(self):
        return f"line {self.line}: {self.host}: {self.text}"


class Deed:
    """What the lab does by itself: ("serv1", "power_off"), ("together",) as the first guide has it, ("spoke", "serv1", "serv2")."""

    def __init__(self, words, line):
        self.words, self.line = words, line

    def __str__(self):
        return f"line {self.line}: {' '.join(self.words)}"


def read(path):
    """The steps of a guide, in order."""
    steps, inside = [], False
    lines = iter(enumerate(path.read_text(encoding="utf-8").splitlines(), 1))
    for number, line in lines:
        if line.startswith("```"):
            inside = line == "```console"
        elif found := re.match(r"<!-- lab: (.*) -->$", line):
            steps.append(Deed(found[1].split(), number))
        elif inside and (found := PROMPT.match(line)):
            text = found[2]
            while text.endswith("\\"):
                text += "\n" + next(lines)[1]
            if here := HERE_TEXT.search(text):
                while text.splitlines()[-1] != here[1]:
                    text += "\n" + next(lines)[1]
            steps.append(Command(found[1], text, number))
        elif inside and line.strip():
            assert steps and isinstance(steps[-1], Command), f"{path.name}, line {number}: output of no command"
            steps[-1].expected.append(line)
    return steps


def own_versions(steps):
    """Of clusterd's package, that the guide installs as such: <!-- lab: packages OLD NEW -->."""
    return [version for step in steps if isinstance(step, Deed) and step.words[0] == "packages" for version in step.words[1:]]


def missing_packages(steps):
    """Of those that the guide installs, the ones that this machine does not have for its containers."""
    wanted = {word for step in steps if isinstance(step, Command) and (found := re.match(r"apt install (.*)", step.text))
              for word in found[1].split() if not word.startswith(("-", "./"))}
    return sorted(name for name in wanted if "installed" not in subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status}", name], text=True, capture_output=True, check=False).stdout.split())


def lacks(expected, printed):
    """The first expected line that was not printed after the one before it; None if all were."""
    lines = iter(printed.splitlines())
    for line in expected:
        if line.strip() == "…":
            continue
        pattern = re.compile(r"\s*" + ".*".join(re.escape(part) for part in re.split(r"\s*…\s*", line.strip()))
                             .replace(r"\ ", r"\s+") + r"\s*$")
        if not any(pattern.match(candidate) for candidate in lines):
            return line
    return None


def bare(node):
    """As after the installer: no configuration, no site, no keys of anybody else."""
    node.sh("rm -rf /etc/cluster.d /etc/nginx/sites-enabled/* /srv/* /root/.ssh")


class Typist:
    def __init__(self, cluster, folder, patience, packages=None):
        """`packages`: of clusterd, for machines without it: {version: file}."""
        self.cluster, self.folder, self.patience = cluster, folder, patience
        self.packages = packages or {}
        self.code = self.said = ""
        self.expected = []
        self.waiting = None  # a clusterctl that waits for the other node

    def host(self, name):
        return self.cluster.lab["c" if name == "client" else name]

    def do(self, step):
        try:
            if isinstance(step, Deed):
                self.deed(*step.words)
            elif step.text.startswith("apt install") and not any(version in step.text for version in self.packages):
                pass  # missing_packages has looked
            elif WAITS.match(step.text):
                self.begin_pairing(step)
            else:
                self.type(step)
        except (AssertionError, subprocess.SubprocessError) as error:
            raise AssertionError(f"{step}\n{error}\n{getattr(error, 'stdout', '') or ''}{getattr(error, 'stderr', '') or ''}") \
                from None

    def deed(self, name, what="", *rest):
        if name == "spoke":
            assert self.cluster.observer.never_dual(what, *rest)
        elif name == "packages":
            for node in self.cluster.lab.nodes:
                for version in (what, *rest):
                    with open(self.packages[version], "rb") as file:
                        node.write(f"/root/clusterd_{version}_amd64.deb", file.read())
                node.run("dpkg", "--install", f"/root/clusterd_{what}_amd64.deb", timeout=300)
        elif name == "together":
            for step in read(self.folder / "web-server.md"):
                if isinstance(step, Command) and step.text.startswith(("clusterctl init", "clusterctl join")):
                    self.do(step)
        elif what == "replaced":  # another machine with the same name, NICs and addresses
            self.host(name).scrap()
            bare(self.host(name))
        else:
            getattr(self.host(name), what)(*rest)

    def type(self, step):
        text = CODE.sub(self.code, step.text) if self.code else step.text
        printed = ""

        def typed():
            nonlocal printed
            done = self.host(step.host).run("bash", "-c", "cd; " + text, check=False, timeout=300)
            printed = done.stdout + done.stderr
            needs_human = 4 if text.startswith("clusterctl diverged") else 0
            return done.returncode in (0, needs_human) and lacks(step.expected, printed) is None

        if LOOKS.match(text):
            try:
                wait_for(typed, self.patience, "it prints what the guide says", every=0.2)
            except Exception as error:  # pylint: disable=broad-except
                raise AssertionError(f"{error}; missing: {lacks(step.expected, printed)!r}\n{printed}") from None
        else:
            assert typed(), f"missing: {lacks(step.expected, printed)!r}, printed:\n{printed}"
        if "clusterctl join" in text:
            self.end_pairing()

    def begin_pairing(self, step):
        words = step.text.split()
        self.waiting = self.host(step.host).popen(*words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                                  stderr=subprocess.STDOUT, text=True)
        said = ""
        while not (found := re.search(r"clusterctl join \S+ (\S{4}-\S{4})", said)):
            line = self.waiting.stdout.readline()
            assert line, f"it ended: {said}"
            said += line
        self.code = found[1]
        self.expected, self.said = step.expected, said

    def end_pairing(self):
        rest, _ = self.waiting.communicate(timeout=self.patience)
        said = self.said + rest
        assert self.waiting.returncode == 0, said
        # The code is another one each time.
        expected = [CODE.sub("…", line) for line in self.expected]
        assert lacks(expected, said) is None, f"missing: {lacks(expected, said)!r}\n{said}"
