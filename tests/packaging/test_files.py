"""The files that other programs read: each is given to the program that reads it."""
import glob
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree

import pytest

from conftest import PROJECT

PACKAGING = PROJECT + "/packaging"


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"needs {program}")


def test_every_notice_has_a_message_id_and_a_text_in_the_catalogue():
    kinds = set()
    for path in glob.glob(PROJECT + "/src/core/*.cpp"):
        kinds |= set(re.findall(r'notice\(\s*out,\s*[^,"]+(?:\?[^,"]+)?,\s*"([a-z-]+)"', read(path)))
    kinds |= set(re.findall(r'"(standby-[a-z]+)"', read(PROJECT + "/src/daemon/likeness.cpp")))  # of which the core does not know
    ids = dict(re.findall(r'string_view>\{"([a-z-]+)",\s*"([0-9a-f]{32})"\}', read(PROJECT + "/src/daemon/message_ids.cpp")))
    assert kinds == set(ids), "kinds of notices in src/core and src/daemon/likeness.cpp, and those of src/daemon/message_ids.cpp"
    texts = re.findall(r"^-- ([0-9a-f]{32})\nSubject: .+\nDefined-By: clusterd\n(?:.+\n)*\n(?=\S)", read(PACKAGING + "/clusterd.catalog"), re.M)
    assert sorted(texts) == sorted(ids.values()), "packaging/clusterd.catalog"


@needs("systemd-analyze")
def test_the_unit_is_understood(clusterd, tmp_path):
    unit = tmp_path / "clusterd.service"
    unit.write_text(read(PACKAGING + "/clusterd.service").replace("/usr/bin/clusterd\n", clusterd + "\n"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], text=True, capture_output=True, check=False)
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if "clusterd.service" in line]
    assert not complaints


@needs("nft")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_rules_for_nftables_are_understood(tmp_path):
    rules = tmp_path / "rules"
    rules.write_text("table inet filter {\n chain input {\n  type filter hook input priority filter; policy drop;\n"
                     f'  include "{PACKAGING}/firewall/clusterd.nft"\n }}\n}}\n')
    subprocess.run(["unshare", "--net", "nft", "--check", "--file", str(rules)], check=True)


def test_the_firewalls_open_the_ports_that_the_programs_use():
    heartbeats = re.search(r"uint16_t port = (\d+);\s*// UDP, heartbeats", read(PROJECT + "/src/core/config.hpp")).group(1)
    live = re.search(r"^\| `port` .* \| (\d+) \| TCP port of live mirrors", read(PROJECT + "/docs/configuration.md"), re.M).group(1)
    joining = re.search(r"TCP port (\d+) of the waiting node", read(PROJECT + "/docs/operations.md")).group(1)
    root = ElementTree.parse(PACKAGING + "/firewall/clusterd.firewalld.xml").getroot()
    assert {(entry.get("protocol"), entry.get("port")) for entry in root.findall("port")} == \
        {("udp", heartbeats), ("tcp", live), ("tcp", joining)}
    assert f"ports={heartbeats}/udp|{live},{joining}/tcp" in read(PACKAGING + "/firewall/clusterd.ufw")
    rules = read(PACKAGING + "/firewall/clusterd.nft")
    assert f"udp dport {heartbeats} accept" in rules and f"tcp dport {{ {live}, {joining} }} accept" in rules


@needs("apparmor_parser")
def test_the_profile_for_apparmor_is_understood():
    done = subprocess.run(["apparmor_parser", "--skip-kernel-load", "--skip-cache", PACKAGING + "/apparmor/usr.bin.clusterd"],
                          text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("script", ["deb/postinst", "deb/prerm", "deb/postrm", "examples/postgresql/pg-role",
                                    "examples/postgresql/pg-follow"])
def test_scripts_are_shell(script):
    subprocess.run(["sh", "-n", f"{PACKAGING}/{script}"], check=True)
