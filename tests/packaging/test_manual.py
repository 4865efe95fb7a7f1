"""The manual pages: they say all that the programs know, and groff has nothing to complain of."""
import re
import shutil
import subprocess

import pytest

from conftest import PROJECT

PAGES = ("man7/clusterd.7", "man8/clusterd.8", "man8/clusterctl.8", "man8/clusterd-mirror.8", "man8/clusterd-config.8", "man8/clusterd-check.8", "man5/cluster.toml.5", "man5/clusterd-service.5")


@pytest.fixture(scope="module")
def manual(clusterctl, tmp_path_factory):
    folder = tmp_path_factory.mktemp("man")
    subprocess.run([PROJECT + "/packaging/man/make-man", "--clusterctl", clusterctl, "all", str(folder)], check=True)
    return {page.split("/")[1]: (folder / page) for page in PAGES}


def text(page):
    plain = re.sub(r"\\f[BIR]|\\&", "", page.read_text(encoding="utf-8"))
    return plain.replace("\\-", "-").replace("\\(aq", "'").replace("\\e", "\\")


def chapters():
    with open(PROJECT + "/docs/configuration.md", encoding="utf-8") as file:
        return dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", file.read(), re.M | re.S))


@pytest.mark.parametrize("page, chapter", [("cluster.toml.5", "cluster.toml"), ("clusterd-service.5", "services/NAME.toml")])
def test_every_key_is_explained(manual, page, chapter):
    keys = re.findall(r"^\| `([^`|]+)`", chapters()[chapter], re.M)
    assert len(keys) > 10
    missing = [key for key in keys if f".TP\n{key}" not in text(manual[page])]
    assert not missing


def documented_keys():
    with open(PROJECT + "/docs/configuration.md", encoding="utf-8") as file:
        return set(re.findall(r"`\[?\[?([a-z_]+)", file.read()))


def test_every_key_that_the_program_reads_is_documented():
    """Keys are asked for by name in src/config: get(table, "key") and the like."""
    keys = set()
    for path in subprocess.run(["sh", "-c", f"ls {PROJECT}/src/config/*.cpp"], text=True, check=True,
                               capture_output=True).stdout.split():
        with open(path, encoding="utf-8") as file:
            keys |= set(re.findall(r'\.(?:take|get|read|value|text|duration|number|flag|list|table)[a-z_]*\("([a-z_]+)"', file.read()))
    assert not keys - documented_keys()


def verbs_of(clusterctl, *words):
    shown = subprocess.run([clusterctl, *words, "--help"], text=True, check=True, capture_output=True).stdout
    block = re.search(r"^Subcommands:\n((?:  .*\n)+)", shown, re.M)
    for verb in re.findall(r"^  ([a-z-]+)", block.group(1), re.M) if block else []:
        yield " ".join((*words, verb)), shown
        yield from verbs_of(clusterctl, *words, verb)


def test_every_verb_is_explained_with_an_example(manual, clusterctl):
    page = text(manual["clusterctl.8"])
    verbs = [verb for verb, _ in verbs_of(clusterctl)]
    assert len(verbs) > 20
    for verb in verbs:
        assert f'.SS "clusterctl {verb}"' in page, verb
        section = page.split(f'.SS "clusterctl {verb}"')[1].split(".SS")[0]
        assert "Example: clusterctl" in section or f'.SS "clusterctl {verb} ' in page, verb


def test_every_option_of_the_daemon_is_explained(manual, clusterd):
    options = set(re.findall(r"^  (?:-\w,)?(--[a-z-]+)", subprocess.run([clusterd, "--help"], text=True, check=True,
                                                                    capture_output=True).stdout, re.M))
    assert len(options) > 8
    assert not [option for option in options if option not in text(manual["clusterd.8"])]


@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")
@pytest.mark.parametrize("page", [page.split("/")[1] for page in PAGES])
def test_groff_does_not_complain(manual, page):
    done = subprocess.run(["groff", "-man", "-Tutf8", "-wall", "-K", "utf8", "-z", str(manual[page])], text=True,
                          capture_output=True, check=False)
    assert done.stderr == ""
