"""Cases of a fuzz that fail, each in its way. In a file that other processes can import."""

import os
import signal
import time
from pathlib import Path

import numpy as np


def hangs(rng: np.random.Generator, folder: Path) -> str:
    """Takes longer than anybody waits."""
    time.sleep(100)
    return "right"


def dies(rng: np.random.Generator, folder: Path) -> str:
    """Takes its process along."""
    os.kill(os.getpid(), signal.SIGKILL)
    return "right"


def raises(rng: np.random.Generator, folder: Path) -> str:
    """Leaves a file and an error."""
    (folder / "said.txt").write_text(str(rng.integers(10)))
    raise ValueError("of the library")
