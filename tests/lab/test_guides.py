"""Each guide of docs/guides, typed on two machines with their own systemd and nothing but the packages installed."""
import pathlib

import pytest

import guide
import test_packages
from story import PATIENCE

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "docs/guides"
GUIDES = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")


@pytest.mark.slow
@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.stem)
def test_a_guide_does_what_it_says(make_cluster, tmp_path, path):
    steps = guide.read(path)
    if missing := guide.missing_packages(steps):
        pytest.skip(f"apt-get install {' '.join(missing)}")
    packages = {version: test_packages.build(tmp_path / version, version) for version in guide.own_versions(steps)}
    cluster = make_cluster(machines={"programs": not packages}, start=False, client=False)
    for node in cluster.lab.nodes:
        guide.bare(node)
    typist = guide.Typist(cluster, FOLDER, PATIENCE, packages)
    for step in steps:
        print(step, flush=True)
        typist.do(step)
    assert any(step.words[0] == "spoke" for step in steps if isinstance(step, guide.Deed)), "the observer is asked"
