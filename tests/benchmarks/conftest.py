"""The tools under `benchmarks` import each other as scripts do, and `nki` is the simulator."""

import sys
from pathlib import Path

import nkisim

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
nkisim.install()
