"""Hostile input is refused, logged, and disturbs nothing."""
import os
import random
import socket

from story import SOCKET

PORT = 7410

FLOOD = """
import os, random, socket
random.seed(7)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(5000):
    s.sendto(os.urandom(random.choice([0, 1, 7, 24, 60, 100, 300, 1100, 1400])), ({target!r}, {port}))
"""


def transport(cluster, node):
    return cluster.status(node)["transport"]


def test_garbage_on_the_heartbeat_port_is_counted_and_ignored(cluster):
    epoch = cluster.epoch("serv1")
    before = dict(transport(cluster, "serv1"))
    for target in ("192.168.1.11", "192.168.1.12"):
        cluster.lab["c"].run("/usr/bin/python3", "-c", FLOOD.format(target=target, port=PORT))
    cluster.until(lambda: {k: v for k, v in transport(cluster, "serv1").items() if v > before.get(k, 0) + 1000},
                  "what was refused is counted")
    cluster.nothing_moved("serv1", epoch)
    cluster.await_ready("serv2")
    cluster.observer.never_dual("serv1")


def test_replayed_heartbeats_are_ignored(cluster):
    """What serv1 once sent, sent again by somebody on the LAN after serv1's death, keeps nobody waiting."""
    capture = "/run/replay.pcap"
    cluster.serv2.sh(f"timeout 5 tcpdump -q -i eth0 -c 20 -w {capture} udp port {PORT} and src 192.168.1.11 2>/dev/null")
    payloads = cluster.serv2.run("/usr/bin/python3", "-c", f"""
import struct
data = open({capture!r}, 'rb').read()[24:]
while data:
    size = struct.unpack('<I', data[8:12])[0]
    print(data[16 + 42:16 + size].hex())
    data = data[16 + size:]
""").stdout.split()
    assert len(payloads) == 20
    replay = cluster.lab["c"].popen("/usr/bin/python3", "-c", f"""
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
import struct
def checksum(data):
    total = sum(struct.unpack('>%dH' % (len(data) // 2), data))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
payloads = [bytes.fromhex(p) for p in {payloads!r}]
end = time.monotonic() + 60
while time.monotonic() < end:
    for p in payloads:
        udp = struct.pack('>HHHH', {PORT}, {PORT}, 8 + len(p), 0) + p
        head = struct.pack('>BBHHHBBH4s4s', 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0,
                           socket.inet_aton('192.168.1.11'), socket.inet_aton('192.168.1.12'))
        s.sendto(head + udp, ('192.168.1.12', 0))
        time.sleep(0.01)
""")
    try:
        cluster.serv1.power_off()
        cluster.await_active("serv2", seconds=45)
    finally:
        replay.kill()
        replay.wait()
    cluster.observer.never_dual("serv1", "serv2")


def test_garbage_on_the_control_socket_is_refused(cluster):
    epoch = cluster.epoch("serv1")
    random.seed(11)
    attacks = [b"\0" * 4096, b"GET " + b"A" * 100000, os.urandom(5000), b"POST /v1/command HTTP/1.1\r\n"
               b"Content-Length: 99999999999\r\n\r\n", b"GET /v1/status HTTP/1.1\r\nX: " + b"y" * 70000,
               b"POST /v1/command HTTP/1.1\r\nContent-Length: 10\r\n\r\n{{{{{{{{{{", b"", b"GET /../../etc/passwd "
               b"HTTP/1.1\r\n\r\n"]
    path = f"{cluster.serv1.root()}{SOCKET}"
    folder = os.open(os.path.dirname(path), os.O_PATH)
    held = []
    try:
        for attack in attacks * 3:
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(5)
            client.connect(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
            held.append(client)  # and nobody hangs up
            try:
                client.sendall(attack)
            except OSError:
                pass
        assert cluster.status("serv1"), "others are still served"
    finally:
        for client in held:
            client.close()
        os.close(folder)
    for body in ({"kind": "no-such"}, {"kind": "move", "service": "nothing"}, {"kind": 7}, [], "x" * 1000):
        code, _ = cluster.api("serv1", "POST", "/v1/command", body)
        assert code in (400, 404, 409), (body, code)
    cluster.nothing_moved("serv1", epoch)
    cluster.observer.never_dual("serv1")


def test_a_damaged_state_file_is_not_believed(cluster):
    cluster.serv2.kill_clusterd()
    files = cluster.serv2.sh("find /var/lib/clusterd -maxdepth 1 -type f").split()
    assert files
    for file in files:
        cluster.serv2.sh(f"head -c 600 /dev/urandom >{file}")
    cluster.serv2.start_clusterd()
    cluster.until(lambda: cluster.status("serv2"), "serv2 runs all the same")
    cluster.await_ready("serv2")
    assert cluster.role("serv1") == "active"
    cluster.observer.never_dual("serv1")


def test_a_wrong_configuration_is_refused_with_file_line_cause_and_remedy(cluster):
    cluster.serv2.kill_clusterd()
    cluster.serv2.write("/etc/cluster.d/services/web.toml", 'prefer = "serv3"\naddresses = ["nonsense"]\ncolour = 1\n')
    cluster.serv2.start_clusterd()
    cluster.serv2.await_end_of_clusterd()
    log = cluster.serv2.log_text()
    for part in ("services/web.toml:1", "services/web.toml:2", "services/web.toml:3", "colour"):
        assert part in log
    cluster.client.await_answers()


def test_nodes_with_different_configurations_do_not_arbitrate(make_cluster):
    cluster = make_cluster(start=False)
    text = cluster.serv2.read("/etc/cluster.d/cluster.toml")
    cluster.serv2.write("/etc/cluster.d/cluster.toml", text.replace('"steady"', '"fast"'))
    for node in cluster.lab.nodes:
        node.start_clusterd()
    cluster.await_event("serv1", "config-differs")
    cluster.stays(3, lambda: cluster.observer.answering() == [], "nobody starts a service")


def test_a_node_with_another_secret_is_not_heard(make_cluster):
    cluster = make_cluster(start=False)
    cluster.serv2.write("/etc/cluster.d/secret.key", "ab" * 32 + "\n", mode=0o600)
    for node in cluster.lab.nodes:
        node.start_clusterd()
    cluster.until(lambda: cluster.status("serv1") and cluster.status("serv2"), "both run")
    cluster.stays(3, lambda: not cluster.status("serv1")["nodes"]["serv2"]["heard"], "serv2 is not heard")
