"""What is installed beside the programs: units, manual pages, completion, packages. No cluster is needed.

CLUSTERD_BUILD is the build folder whose programs are asked and packed.
"""
import os
import sys

import pytest

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, PROJECT)

from lab import tools  # noqa: E402


@pytest.fixture(scope="session")
def clusterctl():
    return tools.program("clusterctl")


@pytest.fixture(scope="session")
def clusterd():
    return tools.program("clusterd")
