"""The Debian packages: made, looked at, and judged by lintian."""
import glob
import shutil
import subprocess

import pytest

from conftest import PROJECT
from lab import tools


@pytest.fixture(scope="module")
def packages(clusterd, clusterctl, tmp_path_factory):  # pylint: disable=unused-argument
    out = tmp_path_factory.mktemp("deb")
    subprocess.run([PROJECT + "/packaging/build-deb", "--build", tools.BUILD, "--out", str(out), "--fast"], check=True,
                   capture_output=True)
    return {name: glob.glob(f"{out}/{name}_*.deb")[0] for name in ("clusterd", "clusterd-lab")}


def contents(package):
    listed = subprocess.run(["dpkg-deb", "--contents", package], text=True, check=True, capture_output=True).stdout
    return {line.split()[5].lstrip("."): line.split()[:2] for line in listed.splitlines()}


def test_what_an_administrator_needs_is_in_the_package(packages):
    files = contents(packages["clusterd"])
    for path in ("/usr/bin/clusterd", "/usr/bin/clusterctl", "/usr/bin/clusterd-mirror", "/usr/bin/clusterd-config", "/usr/bin/clusterd-check", "/lib/systemd/system/clusterd.service",
                 "/usr/lib/systemd/catalog/clusterd.catalog", "/usr/share/man/man8/clusterctl.8.gz", "/etc/cluster.d/",
                 "/usr/share/zsh/vendor-completions/_clusterctl", "/usr/share/doc/clusterd/operations.md"):
        assert path in files, path
    assert all(owner == "root/root" for _, owner in files.values())
    assert "/usr/sbin/clusterd-lab" in contents(packages["clusterd-lab"])


def test_the_lab_works_where_it_is_installed(packages, tmp_path):
    """Without sources, compiler or build folder: its helpers are beside it."""
    subprocess.run(["dpkg-deb", "--extract", packages["clusterd-lab"], str(tmp_path)], check=True)
    shown = subprocess.run([tmp_path / "usr/sbin/clusterd-lab", "--help"], text=True, check=True, capture_output=True).stdout
    assert "power-off NODE" in shown
    asked = "import sys; sys.path.insert(0, sys.argv[1]); from lab import tools; print(tools.helper('probe'))"
    helper = subprocess.run(["/usr/bin/python3", "-c", asked, str(tmp_path / "usr/lib/clusterd-lab")], text=True, check=True,
                            capture_output=True, env={"PATH": "/usr/bin:/bin"}).stdout.strip()
    assert helper == str(tmp_path / "usr/lib/clusterd-lab/helpers/probe")


@pytest.mark.skipif(shutil.which("lintian") is None, reason="needs lintian")
def test_lintian_finds_no_fault(packages):
    done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", "--profile", "debian",
                           *packages.values()], text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
