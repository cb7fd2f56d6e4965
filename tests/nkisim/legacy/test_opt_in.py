"""`import neuronxcc.nki` means NKI 0.1 where that is asked for, and the current NKI elsewhere."""

import os
import subprocess
import sys

import pytest


def said(code: str, **environment: str) -> str:
    """What a process of its own prints, or the last line of its error."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    return (done.stdout or done.stderr).strip().splitlines()[-1]


SHOW = "import neuronxcc.nki.language as nl; print(nl.__name__)"


@pytest.mark.parametrize(
    ("code", "environment", "older"),
    [
        (f"import nkisim; nkisim.install(legacy=True); {SHOW}", {}, "nkisim.legacy.nki.language"),
        (f"import nkisim; nkisim.install(); nkisim.install(legacy=True); {SHOW}", {}, "nkisim.legacy.nki.language"),
        (f"import nkisim; nkisim.install(); {SHOW}", {"NKISIM_LEGACY": "1"}, "nkisim.legacy.nki.language"),
        (f"import nkisim; nkisim.install(); {SHOW}", {"NKISIM_LEGACY": "0"}, "nkisim.nki.language"),
    ],
)
def test_the_older_dialect_is_there_where_it_is_asked_for(code: str, environment: dict[str, str], older: str) -> None:
    assert said(code, **environment) == older


def test_both_dialects_run_in_one_process() -> None:
    code = "import nkisim; nkisim.install(legacy=True); import nki, neuronxcc.nki as old; "
    assert said(code + "print(nki.__name__, old.__name__)") == "nkisim.nki nkisim.legacy.nki"


def test_asking_after_the_import_is_an_error() -> None:
    code = "import nkisim; nkisim.install(); import neuronxcc.nki; nkisim.install(legacy=True)"
    assert "before that" in said(code)


RUN = """
import sys
import numpy as np
import nkisim, nkisim.__main__
nkisim.install()
import nki, nki.isa as nisa, nki.language as nl

@nki.jit
def kernel(x):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    for i in range(4):
        rows = nl.load(x[i * 128 : (i + 1) * 128])
        total = nl.ndarray((128, 1), dtype=nl.float32)
        nisa.tensor_reduce(dst=total, op=nl.add, data=rows, axis=1)
        nisa.tensor_scalar(dst=rows, data=rows, op0=nl.multiply, operand0=total)
        nl.store(out[i * 128 : (i + 1) * 128], rows)
    return out

calls = 0

def count(frame, event, argument):
    global calls
    calls += event == "call"

x = np.arange(512 * 64, dtype=np.float32).reshape(512, 64) % 7
simulator = nkisim.Simulator("trn2")
simulator.run(kernel, x)
sys.setprofile(count)
run = simulator.run(kernel, x)
sys.setprofile(None)
older = [name for name in sys.modules if name.startswith("nkisim.legacy") and sys.modules[name]]
print(float(run.outputs.sum()), run.profile.latency_us, calls, older)
"""


def test_nothing_of_it_is_imported_unless_asked_for() -> None:
    assert said(RUN).endswith(" []")


def test_a_run_gives_and_does_the_same_where_it_is_not_installed() -> None:
    without = "import sys; sys.modules['nkisim.legacy'] = None\n"
    assert "halted" in said(without + "import nkisim.legacy")
    assert said(without + RUN, PYTHONHASHSEED="0") == said(RUN, PYTHONHASHSEED="0")
