"""The two judges of a mirror: rsync, which nobody here wrote, and the own walk (walk.py), which sees more.

Neither asks the mirror. A tree is judged when nothing writes on it.
"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import walk  # noqa: E402

RSYNC = ("rsync", "-aHAXS", "--numeric-ids", "--delete", "-n", "-i", "--checksum")
SHOWN = 40


def rsync_differences(source, target, exclude=()):
    """What rsync would do to make `target` equal to `source`; nothing if they are equal."""
    arguments = [*RSYNC, *(f"--exclude=/{one}" for one in exclude)]
    done = subprocess.run([*arguments, os.path.join(source, ""), os.path.join(target, "")], capture_output=True,
                          check=False, env={**os.environ, "LC_ALL": "C"})
    lines = [os.fsdecode(line) for line in done.stdout.splitlines() + done.stderr.splitlines() if line.strip()]
    if done.returncode != 0 and not lines:
        lines.append(f"rsync ended with {done.returncode}")
    return [f"rsync: {line}" for line in lines]


def own_differences(source, target, exclude=(), ignore=()):
    return walk.differences(walk.walk(source, exclude=exclude), walk.walk(target, exclude=exclude), ignore,
                            grain_of_holes(target))


def grain_of_holes(folder):
    """xfs maps 32 blocks at a time where a file is written that shares its extents with another one."""
    kind = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, check=True, text=True).stdout.strip()
    return walk.BLOCK * (33 if kind == "xfs" else 1)


def differences(source, target, rsync=True, exclude=(), ignore=()):
    """All that the judges find; empty means equal. `rsync=False` where rsync itself cannot judge (paths over 4096
    bytes)."""
    found = own_differences(source, target, exclude, ignore)
    if rsync:
        found += rsync_differences(source, target, exclude)
    return found


def assert_equal(source, target, when="", **options):
    found = differences(source, target, **options)
    if found:
        more = f"\n  … and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise AssertionError(f"{len(found)} differences{' ' + when if when else ''}:\n  " +
                             "\n  ".join(found[:SHOWN]) + more)


def main():
    if len(sys.argv) != 3:
        print("usage: judge.py SOURCE TARGET", file=sys.stderr)
        return 2
    found = differences(sys.argv[1], sys.argv[2])
    for line in found:
        print(line.encode("utf-8", "replace").decode())
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
