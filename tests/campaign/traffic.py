#!/usr/bin/python3
"""A client of store.py: changes and reads files through the service's address, and notes every answer.

    traffic.py ADDRESS PORT JOURNAL SEED PAUSE_MS KEYS MAX_SIZE        runs on host c

Commands on stdin, one line of JSON each on stdout: "pause" (no request is on its way when it is answered), "go",
"report". The journal has one line per request: {"at", "op", "name", "version", "ok", "node", "history"}; "ok" is
null if no answer came in time: then the change may have happened or not. A name is never used again after an
attempt to delete it.
"""
import json
import random
import select
import socket
import sys
import time

PATIENCE = 0.4  # longer than a store on a busy machine needs, shorter than any takeover


class Traffic:
    def __init__(self, address, port, journal, seed, pause, keys, max_size):
        self._to = (address, port)
        self._journal = open(journal, "a", encoding="utf-8", buffering=1)
        self._random = random.Random(seed)
        self._pause, self._max_size = pause, max_size
        self._names = [f"k{number}" for number in range(keys)]
        self._next_name = keys
        self._next_id = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._going = True
        self.counts = {"sent": 0, "answered": 0, "refused": 0, "last_answer": 0.0}

    def run(self):
        print("ready", flush=True)
        due = time.monotonic()
        while True:
            left = max(0.0, due - time.monotonic()) if self._going else None
            if select.select([sys.stdin], [], [], left)[0]:
                command = sys.stdin.readline()
                if not command:
                    return
                self._going = {"pause": False, "go": True}.get(command.strip(), self._going)
                print(json.dumps(dict(self.counts, now=time.monotonic())), flush=True)
            else:
                self._one()
                due = time.monotonic() + self._pause

    def _one(self):
        self._next_id += 1
        place = self._random.randrange(len(self._names))
        request = {"id": self._next_id, "name": self._names[place]}
        dice = self._random.random()
        request["op"] = "put" if dice < 0.70 else "get" if dice < 0.95 else "delete"
        if request["op"] == "put":
            request["version"] = self._next_id
            request["size"] = int(self._max_size ** self._random.random())
        elif request["op"] == "delete":
            self._names[place] = f"k{self._next_name}"
            self._next_name += 1
        answer = self._ask(request)
        line = {"at": round(time.monotonic(), 3), "op": request["op"], "name": request["name"],
                "version": request.get("version"), "ok": answer.get("ok"), "node": answer.get("node"),
                "history": answer.get("history"), "error": answer.get("error")}
        self._journal.write(json.dumps(line) + "\n")

    def _ask(self, request):
        self.counts["sent"] += 1
        try:
            self._socket.sendto(json.dumps(request).encode(), self._to)
        except OSError:
            time.sleep(0.05)
            return {}
        end = time.monotonic() + PATIENCE
        while (left := end - time.monotonic()) > 0:
            if not select.select([self._socket], [], [], left)[0]:
                break
            try:
                answer = json.loads(self._socket.recv(65536))
            except OSError:
                continue  # an ICMP error of an earlier request
            if answer["id"] == request["id"]:
                self.counts["answered" if answer["ok"] else "refused"] += 1
                self.counts["last_answer"] = time.monotonic()
                return answer
        return {}


if __name__ == "__main__":
    Traffic(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), float(sys.argv[5]) / 1e3,
            int(sys.argv[6]), int(sys.argv[7])).run()
