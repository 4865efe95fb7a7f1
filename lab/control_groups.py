"""A control group for each machine of the lab, so that two systemds on one kernel do not share one.

A group has the same name in every hierarchy: below the group of the process that joins it. Both layouts are
served: one unified hierarchy, and the older one with a hierarchy per controller.
"""
import os

# New groups of these take no process before they have been told its processors, or let none run in real time.
REFUSES = {"cpuset", "cpu", "cpu,cpuacct"}


def _mounts():
    """{controllers as /proc/self/cgroup names them: mount point}."""
    found = {}
    with open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
        for line in file:
            _, point, kind, options = line.split()[:4]
            if kind == "cgroup2":
                found[""] = point
            elif kind == "cgroup":
                words = set(options.split(","))
                found[",".join(sorted(words - {"rw", "ro", "relatime", "nosuid", "nodev", "noexec", "xattr"}))] = point
    return found


def join(name):
    """Moves the calling process into its own group `name`, wherever groups can be made."""
    mounts = _mounts()
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        lines = [line.rstrip("\n").split(":", 2) for line in file]
    for _, controllers, path in lines:
        point = mounts.get(",".join(sorted(controllers.split(","))))
        if point is None or controllers in REFUSES:
            continue
        folder = f"{point}{path.rstrip('/')}/{name}"
        os.makedirs(folder, exist_ok=True)
        with open(folder + "/cgroup.procs", "w", encoding="ascii") as file:
            file.write("0")


def remove_groups(prefix):
    """Removes all groups whose name begins with `prefix`. True when none is left."""
    left = False
    for point in _mounts().values():
        for folder, _, _ in os.walk(point, topdown=False):
            if any(part.startswith(prefix) for part in folder[len(point):].split("/")):
                try:
                    os.rmdir(folder)
                except OSError:
                    left = True  # a process of it has not been reaped yet
    return not left
