"""What ends a whole machine of the lab from outside: a switch for its power, and a watchdog device.

Both live in the test's own process and act with `Node.power_off`, which kills everything of the node at once.
"""
import os
import shutil
import socket
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
AGENT = "fence_lab"


class PowerSwitch:
    """A manageable power strip: lab/fence_lab asks it over a Unix socket. `faults[node]` makes it misbehave:

    "fails"       it answers with an error
    "hangs"       it takes the question and does not answer
    "unverified"  it says that it has switched off, and its status says the truth, that it has not
    "lies"        it says that the node is off, and it is not
    """

    PASSWORD = "open-sesame"

    def __init__(self, lab):
        self.lab = lab
        self.path = lab.shared + "/power.sock"
        self.agent = shutil.copy(f"{HERE}/{AGENT}", lab.shared)
        self.faults = {}
        self.asked = []  # (instant, action, node)
        self._held = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen(16)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        lab.add_watcher(self)

    def toml(self, node, timeout="20s", extra=""):
        return (f'[fence.{node}]\nagent = "{self.agent}"\ntimeout = "{timeout}"\n{extra}\nparameters = {{ socket = '
                f'"{self.path}", plug = "{node}", password = "{self.PASSWORD}" }}\n')

    def count(self, action, node):
        return sum(1 for _, asked, of in self.asked if (asked, of) == (action, node))

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            action, node, password = (connection.makefile().readline().strip().split(" ") + ["", ""])[:3]
            self.asked.append((time.monotonic(), action, node))
            if self.faults.get(node) == "hangs":
                self._held.append(connection)
                continue
            try:
                connection.sendall((self._answer(action, node, password) + "\n").encode())
            except OSError:
                pass
            connection.close()

    def _answer(self, action, node, password):
        fault = self.faults.get(node)
        if password != self.PASSWORD:
            return "wrong password"
        if fault == "fails":
            return "connection to the power strip timed out"
        if action in ("status", "monitor"):
            return "on" if fault != "lies" and self.lab[node].is_up() else "off"
        if action == "off" and fault is None and self.lab[node].is_up():
            self.lab[node].power_off()
        return "done"

    def close(self):
        self._listener.close()
        for connection in self._held:
            connection.close()


class FakeWatchdog:
    """A FIFO in a node that resets the node like a watchdog device: armed by the first byte, petted by each, and by a
    close without the magic 'V'."""

    DEVICE = "/run/watchdog"

    def __init__(self, lab, node, timeout):
        self.node = node
        self.timeout = timeout
        self.armed = False
        self.pets = 0
        self.bitten = None  # when
        self._fd = None
        self._ending = False
        lab.at_boot.append(lambda booted: self.plug_in() if booted is node else None)
        lab.add_watcher(self)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.plug_in()
        self._thread.start()

    @classmethod
    def toml(cls, timeout):
        return f'[watchdog]\ndevice = "{cls.DEVICE}"\ntimeout = "{timeout}s"\nfake = true\n'

    def plug_in(self):
        self.node.sh(f"test -p {self.DEVICE} || mkfifo {self.DEVICE}")
        self.armed = False
        self._fd = os.open(f"{self.node.root()}{self.DEVICE}", os.O_RDONLY | os.O_NONBLOCK)

    def _watch(self):
        last, open_ = 0.0, False
        while not self._ending:
            time.sleep(0.01)
            fd = self._fd
            if fd is None:
                continue
            try:
                data = os.read(fd, 4096)
                closed = data == b""  # no writer
            except BlockingIOError:
                data, closed = b"", False
            now = time.monotonic()
            if data:
                self.pets += data.count(b".")
                last, open_ = now, True
                self.armed = not data.endswith(b"V")
            elif closed and open_:
                last, open_ = now, False  # as the kernel does it
            elif not closed:
                open_ = True
            if self.armed and now - last > self.timeout:
                self.armed = False
                self._fd = None
                os.close(fd)
                self.bitten = now
                if self.node.is_up():
                    self.node.power_off()

    def close(self):
        self._ending = True
        self._thread.join()
