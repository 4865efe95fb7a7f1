#!/usr/bin/python3
"""The service of the campaigns: keeps small files in a folder and acknowledges each change.

    store.py PORT FOLDER        a unit of the service, on the active node

One JSON datagram per request, one per answer:
  {"id", "op": "put", "name", "version", "size"}   writes the file       → {"id", "ok", "node", "history"}
  {"id", "op": "get", "name"}                      reads it              → … "history" of what is there, or null
  {"id", "op": "delete", "name"}                   removes it            → … "history" of what was there, or null

A file carries its history: every version that was written over one another to make it. So a judge who finds a
file, or a copy of it in a backup set, knows which acknowledged changes live on in it. A file is replaced by
rename: a reader, and a mirror, sees a whole version or none. Nothing is fsynced, because a power failure of the
lab takes processes, not the page cache.
"""
import hashlib
import json
import os
import signal
import socket
import struct
import sys

IP_PKTINFO = 8


def encode(name, history, size):
    head = json.dumps({"name": name, "history": history}).encode() + b"\n"
    seed = hashlib.sha256(head).digest()
    body = (seed * (size // len(seed) + 1))[:size]
    return head + body + hashlib.sha256(head + body).hexdigest().encode() + b"\n"


def decode(data):
    """(name, history) of a whole file, or None."""
    if len(data) < 66 or hashlib.sha256(data[:-65]).hexdigest().encode() + b"\n" != data[-65:]:
        return None
    head = json.loads(data[:data.index(b"\n")])
    return head["name"], head["history"]


def read_history(path):
    """None: no such file. "torn": not one that was ever written whole."""
    try:
        with open(path, "rb") as file:
            decoded = decode(file.read())
    except FileNotFoundError:
        return None
    return decoded[1] if decoded else "torn"


def perform(folder, request):
    path = os.path.join(folder, os.path.basename(request["name"]))
    before = read_history(path)
    if request["op"] == "put":
        history = (before if isinstance(before, list) else []) + [request["version"]]
        with open(path + ".new", "wb") as file:
            file.write(encode(request["name"], history, request["size"]))
        os.replace(path + ".new", path)
        return history
    if request["op"] == "delete" and before is not None:
        os.unlink(path)
    return before


def on_term(*_):
    if not os.path.exists("/run/nemesis/stubborn"):
        os._exit(0)


def main():
    signal.signal(signal.SIGTERM, on_term)
    port, folder = int(sys.argv[1]), sys.argv[2]
    os.makedirs(folder, exist_ok=True)
    for name in os.listdir(folder):
        if name.endswith(".new"):
            os.unlink(os.path.join(folder, name))
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    server.bind(("0.0.0.0", port))
    node = socket.gethostname()
    while True:
        data, control, _, client = server.recvmsg(65536, 256)
        try:
            request = json.loads(data)
            answer = {"id": request["id"], "node": node}
        except (ValueError, KeyError, TypeError):
            continue
        try:
            answer.update(ok=True, history=perform(folder, request))
        except OSError as error:
            answer.update(ok=False, error=str(error))
        # Back from the address that was asked, whatever the routing table prefers.
        source = [struct.pack("=I", 0) + value[4:8] + b"\0" * 4 for level, kind, value in control
                  if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO)]
        try:
            server.sendmsg([json.dumps(answer).encode()],
                           [(socket.IPPROTO_IP, IP_PKTINFO, value) for value in source], 0, client)
        except OSError:
            pass  # the address has just gone; nobody is told, so nothing is acknowledged


if __name__ == "__main__":
    main()
