"""Counts what a node's daemon and its kernel hold, without asking the daemon."""
import os

COLUMNS = ["at", "node", "pid", "rss_kib", "pss_kib", "vmdata_kib", "fds", "bpf_fds", "threads", "children", "zombies",
           "agent_rss_kib", "agent_fds", "run_files", "run_kib", "lib_files", "lib_kib", "pinned", "addresses", "links",
           "rules", "routes", "filters", "serving", "processes", "log_bytes"]
# These belong to one process: they are compared only if it has lived all the time.
LIFELONG = {"rss_kib", "pss_kib", "vmdata_kib", "fds", "threads", "children", "zombies", "agent_rss_kib", "agent_fds"}

KERNEL = """ip -o address | wc -l; ip -o link | wc -l; (ip rule; ip -6 rule) | wc -l
(ip route show table all; ip -6 route show table all) | grep -vcE 'cache|^multicast|^(anycast|local) '
for nic in $(ls /sys/class/net); do tc filter show dev $nic ingress; tc filter show dev $nic egress; done 2>/dev/null |
grep -c 'bpf.*handle'
ip -o address | grep -c ' 192.168.1.20/'"""


def sample(node):
    """One row. Raises if the node or its daemon goes away meanwhile."""
    pid = node.daemon.pid
    row = {"node": node.name, "pid": pid}
    status = _fields(f"/proc/{pid}/status")
    row["rss_kib"], row["vmdata_kib"] = _kib(status["VmRSS"]), _kib(status["VmData"])
    row["threads"] = int(status["Threads"])
    row["pss_kib"] = _kib(_fields(f"/proc/{pid}/smaps_rollup")["Pss"])
    links = _descriptors(pid)
    row["fds"], row["bpf_fds"] = len(links), sum("bpf" in link for link in links)
    family = _family(pid)
    row["children"] = len(family)
    row["zombies"] = sum(_fields(f"/proc/{one}/status").get("State", "Z")[0] == "Z" for one in family)
    agent = [one for one in family if "agent" in _command(one)]
    row["agent_rss_kib"] = _kib(_fields(f"/proc/{agent[0]}/status")["VmRSS"]) if agent else ""
    row["agent_fds"] = len(_descriptors(agent[0])) if agent else ""
    root = f"/proc/{node.init.pid}/root"
    row["run_files"], row["run_kib"] = _tree(root + "/run/clusterd")
    # The flight recorder grows up to its own bound ([record] max), which takes days: tests/lab/test_record.py.
    row["lib_files"], row["lib_kib"] = _tree(node.path("/var/lib/clusterd"), without="record")
    row["pinned"] = _tree(root + "/sys/fs/bpf")[0]
    counted = [int(line) for line in node.sh(KERNEL, check=False).split()]
    row.update(zip(("addresses", "links", "rules", "routes", "filters", "serving"), counted))
    row["processes"] = len(_family(node.init.pid))  # also those that nobody knows any more
    row["log_bytes"] = os.path.getsize(f"{node.logs}/{node.name}-clusterd.log")
    return row


def _fields(path):
    found = {}
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            for line in file:
                name, _, value = line.partition(":")
                found[name] = value.strip()
    except ProcessLookupError:
        pass
    except FileNotFoundError:
        pass
    return found


def _kib(text):
    return int(text.split()[0])


def _descriptors(pid):
    links = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            links.append(os.readlink(f"/proc/{pid}/fd/{name}"))
        except OSError:
            pass
    return links


def _family(pid):
    """All descendants of a process, of any of its threads."""
    found = []
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for task in tasks:
        try:
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                mine = [int(word) for word in file.read().split()]
        except OSError:
            continue
        for child in mine:
            found += [child] + _family(child)
    return found


def _command(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _tree(path, without=None):
    files, size = 0, 0
    for folder, folders, names in os.walk(path):
        if without in folders:
            folders.remove(without)
        for name in names:
            try:
                size += os.lstat(os.path.join(folder, name)).st_size
                files += 1
            except OSError:
                pass
    return files, size // 1024


__all__ = ["COLUMNS", "LIFELONG", "sample"]
