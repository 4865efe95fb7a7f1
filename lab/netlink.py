"""Switch ports up and down within microseconds: one rtnetlink message, no process started.

A power cut has to silence a node's ports and kill its processes in the same instant; `ip link set` takes
5-15 ms to start.
"""
import ctypes
import os
import socket
import struct
import threading

CLONE_NEWNET = 0x40000000
RTM_NEWLINK, NLM_F_REQUEST, NLM_F_ACK, NLMSG_ERROR = 16, 1, 4, 2
IFF_UP = 1


def in_network_of(pid, action):
    """Runs `action` in the network namespace of a process; sockets made there stay there."""
    result = []

    def run():
        libc = ctypes.CDLL(None, use_errno=True)
        descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
        try:
            if libc.setns(descriptor, CLONE_NEWNET) != 0:  # concerns this thread alone
                result.append(OSError(ctypes.get_errno(), "setns"))
            else:
                result.append(action())
        except OSError as error:
            result.append(error)
        finally:
            os.close(descriptor)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(result[0], OSError):
        raise result[0]
    return result[0]


class Ports:
    """Sets links of one network namespace up or down."""

    def __init__(self, pid):
        self._socket = in_network_of(pid, lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0))
        self._socket.bind((0, 0))
        self._socket.settimeout(10)
        self._lock = threading.Lock()
        self._sequence = 0

    def set(self, names, up):
        """All of `names` at once: the messages go to the kernel in one write. Missing ones are skipped."""
        with self._lock:
            data = b"".join(self._message(name, up) for name in names)
            if not data:
                return
            self._socket.send(data)
            acknowledged = 0
            while acknowledged < len(names):
                answer = self._socket.recv(65536)
                while len(answer) >= 16:
                    length, kind = struct.unpack_from("=IH", answer)
                    if kind == NLMSG_ERROR:
                        acknowledged += 1
                    answer = answer[(length + 3) & ~3:]

    def _message(self, name, up):
        self._sequence += 1
        attribute = name.encode() + b"\0"
        attribute = struct.pack("=HH", 4 + len(attribute), 3) + attribute  # IFLA_IFNAME
        attribute += b"\0" * (-len(attribute) % 4)
        body = struct.pack("=BxHiII", 0, 0, 0, IFF_UP if up else 0, IFF_UP) + attribute
        return struct.pack("=IHHII", 16 + len(body), RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, self._sequence,
                           0) + body

    def close(self):
        self._socket.close()
