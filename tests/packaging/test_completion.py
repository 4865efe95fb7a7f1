"""Completion in each shell, with the names of a cluster that runs (here: of a socket that answers as its daemon does)."""
import http.server
import json
import os
import shutil
import socketserver
import subprocess
import threading

import pytest

from conftest import PROJECT

STATUS = {"nodes": {"serv1": {}, "serv2": {}},
          "services": [{"name": "web", "mirrors": [{"name": "files"}]}, {"name": "samba", "mirrors": []}]}
COMPLETIONS = PROJECT + "/packaging/completions"
CASES = [
    (["mo"], {"move"}),
    (["move", ""], {"web", "samba"}),
    (["move", "web", "serv"], {"serv1", "serv2"}),
    (["standby", "serv2"], {"serv2"}),
    (["mirror", "con"], {"confirm"}),
    (["mirror", "confirm", "web", "f"], {"files"}),
    (["status", "--ex"], {"--exit-code"}),
    (["backups", "list", "--node", "serv"], {"serv1", "serv2"}),
    (["why", "w"], {"web"}),
    (["always", "k"], {"keep"}),
    (["always", "keep", "/etc/hosts", "--from", "serv"], {"serv1", "serv2"}),
]


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):  # pylint: disable=invalid-name
        body = json.dumps(STATUS).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "client"

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass


@pytest.fixture(scope="module")
def environment(clusterctl, tmp_path_factory):
    """PATH with a clusterctl that asks our socket."""
    folder = tmp_path_factory.mktemp("complete")
    server = socketserver.ThreadingUnixStreamServer(str(folder / "control.sock"), Answer)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    wrapper = folder / "clusterctl"
    wrapper.write_text(f'#!/bin/sh\nexec {clusterctl} --run-dir {folder} "$@"\n')
    wrapper.chmod(0o755)
    yield {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8", "HOME": str(folder)}
    server.shutdown()
    server.server_close()


def run(environment, *argv):
    return set(subprocess.run(argv, env=environment, text=True, check=True, capture_output=True).stdout.split())


@pytest.mark.parametrize("words, expected", CASES, ids=[" ".join(words) for words, _ in CASES])
def test_bash(environment, words, expected):
    script = f'. {COMPLETIONS}/clusterctl.bash; COMP_WORDS=(clusterctl "$@"); COMP_CWORD=$#; _clusterctl; ' \
             'printf "%s\\n" "${COMPREPLY[@]}"'
    assert run(environment, "bash", "--norc", "-c", script, "bash", *words) == expected


@pytest.mark.skipif(shutil.which("zsh") is None, reason="needs zsh")
@pytest.mark.parametrize("words, expected", CASES, ids=[" ".join(words) for words, _ in CASES])
def test_zsh(environment, words, expected):
    """compadd keeps those that begin with the word; here it prints what it is given."""
    script = 'compadd() { print -l -- "${@[2,-1]}" }; _files() { }; words=(clusterctl "$@"); CURRENT=$#words; ' \
             f". {COMPLETIONS}/clusterctl.zsh"
    found = run(environment, "zsh", "-f", "-c", script, "zsh", *words)
    assert {word for word in found if word.startswith(words[-1])} == expected


@pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish")
@pytest.mark.parametrize("words, expected", CASES, ids=[" ".join(words) for words, _ in CASES])
def test_fish(environment, words, expected):
    script = f"source {COMPLETIONS}/clusterctl.fish; complete -C 'clusterctl {' '.join(words)}'"
    assert run(environment, "fish", "--no-config", "-c", script) == expected


def test_without_a_daemon_the_verbs_are_still_known(clusterctl, tmp_path):
    found = subprocess.run([clusterctl, "--run-dir", str(tmp_path), "complete", "st"], text=True, check=True,
                           capture_output=True).stdout.split()
    assert {"status", "standby", "move"} <= set(found)
    assert "complete" not in found
