"""What no mirror can beat: a raw walk, `tar | tar` over TCP, one round trip. And the trees that are measured."""
import os
import random
import socket
import subprocess
import threading
import time

HERE = os.path.dirname(os.path.realpath(__file__))
PER_FOLDER = 100
KIB = 1024


def compile_tools(folder):
    """{name: program}"""
    tools = {}
    for name in ("walk", "changes"):
        tools[name] = f"{folder}/{name}"
        subprocess.run(["g++", "-std=c++20", "-O2", "-o", tools[name], f"{HERE}/{name}.cpp", "-pthread"], check=True)
    return tools


def walk_ms(tools, *roots):
    """All roots at once, each on its share of the processors, as both ends of a mirror on one machine have to."""
    threads = max(1, (os.cpu_count() or 1) // len(roots))
    walks = [subprocess.Popen([tools["walk"], root, str(threads)], stdout=subprocess.PIPE) for root in roots]
    return max(float(one.communicate()[0].split()[1]) for one in walks)


def tar_ms(source, target):
    """tar | tar over TCP on loopback, and what it wrote made durable, as a mirror has to."""
    server = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(server.getsockname())
    accepted, _ = server.accept()
    begin = time.monotonic()
    writer = subprocess.Popen(["tar", "-C", source, "--xattrs", "--acls", "-cf", "-", "."], stdout=client)
    reader = subprocess.Popen(["tar", "-C", target, "--xattrs", "--acls", "-xpf", "-"], stdin=accepted)
    client.close()
    accepted.close()
    server.close()
    if writer.wait() or reader.wait():
        raise RuntimeError("tar failed")
    sync(target)
    return (time.monotonic() - begin) * 1e3


def sync(path):
    subprocess.run(["sync", "-f", path], check=True)


def round_trip_us(rounds=2000):
    """[µs, …] of one byte there and one back over TCP on loopback."""
    server = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(server.getsockname())
    accepted, _ = server.accept()
    for one in (client, accepted):
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def answer():
        while accepted.recv(1):
            accepted.send(b"x")
    thread = threading.Thread(target=answer)
    thread.start()
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        client.send(b"x")
        client.recv(1)
        times.append((time.perf_counter() - begin) * 1e6)
    client.close()
    thread.join()
    accepted.close()
    server.close()
    return times


def plant(root, files, size, seed=1):
    """`files` files of `size` bytes that do not compress, a hundred to a folder; the folders are d0, d1, …"""
    dice = random.Random(seed)
    noise = dice.randbytes(size + (1 << 20))
    for number in range(files):
        folder = f"{root}/d{number // PER_FOLDER}"
        if number % PER_FOLDER == 0:
            os.makedirs(folder, exist_ok=True)
        begin = dice.randrange(1 << 20)
        with open(f"{folder}/f{number}", "wb", buffering=0) as file:
            file.write(noise[begin:begin + size])
    sync(root)


def file_name(root, number):
    return f"{root}/d{number // PER_FOLDER}/f{number}"
