"""Profiles of a run that uses every engine."""

import numpy as np
import pytest
from support.timed_kernels import every_engine

from nkisim import Simulator
from nkisim.report.summary import Profile

SQUARE = np.ones((128, 128), np.float32).astype("bfloat16")


@pytest.fixture(scope="session")
def two_cores() -> Profile:
    return Simulator("trn2", 2).run(every_engine, SQUARE, SQUARE).profile


@pytest.fixture(scope="session")
def one_core() -> Profile:
    return Simulator("trn2", 1).run(every_engine, SQUARE, SQUARE).profile
