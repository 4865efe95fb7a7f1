#!/usr/bin/python3
"""A client of a web service: one request after the other, each on a connection of its own.

  asker ADDRESS [PATH]      (runs in the client's network)

A request that is refused, reset or cut is one lost; one that is answered late counts into its gap. Prints "ready" when
it has begun; a line "report" is answered with one line of JSON; "reset" forgets what was.
"""
import http.client
import json
import sys
import threading
import time

PATIENCE = 10.0  # of one request: longer than any pause that a service is allowed


class Asker:
    def __init__(self, address, path):
        self.address, self.path = address, path
        self.lock = threading.Lock()
        self.reset()

    def reset(self):
        with self.lock:
            self.asked = self.answered = 0
            self.lost = []
            self.nodes = []
            self.last_answer = time.monotonic()
            self.longest_gap = 0.0

    def ask(self):
        """The node that answered, as its header X-Node says."""
        connection = http.client.HTTPConnection(self.address, 80, timeout=PATIENCE)
        try:
            connection.request("GET", self.path)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise http.client.HTTPException(f"status {answer.status}")
            return answer.getheader("X-Node", "?")
        finally:
            connection.close()

    def run(self):
        while True:
            try:
                node, problem = self.ask(), None
            except (OSError, http.client.HTTPException) as error:
                node, problem = None, f"{type(error).__name__}: {error}"
            now = time.monotonic()
            with self.lock:
                self.asked += 1
                if problem is None:
                    self.answered += 1
                    self.longest_gap = max(self.longest_gap, now - self.last_answer)
                    self.last_answer = now
                    if self.nodes[-1:] != [node]:
                        self.nodes.append(node)
                else:
                    self.lost.append([now, problem])
            time.sleep(0.005)

    def report(self):
        with self.lock:
            now = time.monotonic()
            return {"now": now, "asked": self.asked, "answered": self.answered, "lost": self.lost[-50:],
                    "lost_in_all": len(self.lost), "nodes": self.nodes, "last_answer": self.last_answer,
                    "longest_gap": max(self.longest_gap, now - self.last_answer)}


def main():
    asker = Asker(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "/")
    threading.Thread(target=asker.run, daemon=True).start()
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "reset":
            asker.reset()
        print(json.dumps(asker.report()), flush=True)


if __name__ == "__main__":
    main()
