#!/usr/bin/python3
"""Takes a lab down when its owner is gone, however it went: waits for the end of a pipe that only the owner holds."""
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def main():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.read()
    from lab.network import take_down  # only now: the import is not needed while all is well
    take_down(sys.argv[1])


if __name__ == "__main__":
    main()
