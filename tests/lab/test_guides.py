"""Each guide of docs/guides, typed on two machines with their own systemd and nothing but the packages installed."""
import pathlib

import pytest

import guide
from story import PATIENCE

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "docs/guides"
GUIDES = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")


@pytest.mark.slow
@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.stem)
def test_a_guide_does_what_it_says(make_cluster, path):
    steps = guide.read(path)
    if missing := guide.missing_packages(steps):
        pytest.skip(f"apt-get install {' '.join(missing)}")
    cluster = make_cluster(machines={}, start=False, client=False)
    for node in cluster.lab.nodes:
        guide.bare(node)
    typist = guide.Typist(cluster, FOLDER, PATIENCE)
    for step in steps:
        print(step, flush=True)
        typist.do(step)
    assert any(step.words[0] == "spoke" for step in steps if isinstance(step, guide.Deed)), "the observer is asked"
