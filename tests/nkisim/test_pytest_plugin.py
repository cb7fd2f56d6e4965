"""The pytest plugin, tried in test sessions of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nkisim.testing import assert_kernel_close

HEAD = """
import numpy as np
import pytest

import nki
import nki.isa as nisa
import nki.language as nl


@nki.jit
def double(x):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    own = x.shape[0] // nl.num_programs()
    rows = nl.ndarray((own, x.shape[1]), dtype=x.dtype, buffer=nl.sbuf)
    at = nl.ds(nl.program_id() * own, own)
    nisa.dma_copy(dst=rows, src=x[at, :])
    nisa.tensor_scalar(dst=rows, data=rows, op0=nl.multiply, operand0=2.0)
    nisa.dma_copy(dst=out[at, :], src=rows)
    return out


X = np.ones((4, 8), np.float32)
"""


@pytest.fixture
def session(tmp_path):
    """Runs tests of a file in a process of its own, with the plugin, and gives what it printed."""

    def run(tests, *options):
        (tmp_path / "test_it.py").write_text(HEAD + tests)
        plugin = ("-p", "nkisim.pytest_plugin", "-p", "no:cacheprovider", "--strict-markers", "-q")
        command = [sys.executable, "-m", "pytest", *plugin, *options, str(tmp_path / "test_it.py")]
        alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # where it is installed, too
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=alone).stdout

    return run


def test_a_test_runs_on_each_target_and_number_of_cores_of_its_marks(session):
    printed = session(
        """
@pytest.mark.nki_target("trn2", "trn3")
@pytest.mark.nki_cores(1, 2)
def test_double(nkisim_run, assert_kernel_close, nki_target, nki_cores):
    run = nkisim_run(double, X)
    assert run.profile.prediction.timeline.machine.name == nki_target
    assert run.profile.prediction.timeline.cores == nki_cores
    assert_kernel_close(run, 2 * X)


def test_plain(nkisim_run):
    assert nkisim_run(double, X).outputs.sum() == 64
""",
        "-vv",
    )
    assert "5 passed" in printed
    names = {f"test_double[target={target}-cores={cores}]" for target in ("trn2", "trn3") for cores in (1, 2)}
    assert names <= set(re.findall(r"test_double\S+", printed))


def test_the_page_of_the_documentation_is_a_file_of_tests(session):
    page = (Path(__file__).parents[2] / "docs/simulator/testing.md").read_text("utf-8")
    code = page.partition("```python")[2].partition("\n")[2].partition("```")[0]
    assert "2 passed" in session(code)


def test_a_failure_shows_places_values_and_the_report_of_the_run(session):
    printed = session(
        """
def test_double(nkisim_run, assert_kernel_close):
    expected = 2 * X
    expected[1, 2] = 7
    assert_kernel_close(nkisim_run(double, X), expected)
"""
    )
    for words in ("1 of 32 elements differ", "at [1, 2]: 2, expected 7", "nkisim: double", "bound by:", "1 failed"):
        assert words in printed


WRITES_ITS_ARGUMENT = """
@nki.jit
def clear(x):
    rows = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf)
    nisa.memset(dst=rows, value=0)
    nisa.dma_copy(dst=x, src=rows)
    return x
"""


@pytest.mark.parametrize(("mark", "sum_after"), [("", 32), ('@pytest.mark.nki_dma("eager")', 0)])
def test_arguments_are_copied_unless_there_is_one_order(session, mark, sum_after):
    printed = session(
        f"{WRITES_ITS_ARGUMENT}\n{mark}\ndef test_it(nkisim_run):\n    assert not nkisim_run(clear, X).outputs.any()\n"
        f"    assert X.sum() == {sum_after}\n"
    )
    assert "1 passed" in printed


@pytest.mark.parametrize(("mark", "outcome"), [("", "NKI407"), ('@pytest.mark.nki_dma("eager")', "1 passed")])
def test_orders_of_transfers_are_compared_unless_there_is_one(session, mark, outcome):
    printed = session(
        f"""
@nki.jit
def looks_without_waiting(x):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    here, alias = (nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.sbuf, address=(0, 0)) for _ in range(2))
    nisa.dma_copy(dst=here, src=x)
    nisa.dma_copy(dst=out, src=alias)
    return out


{mark}
def test_it(nkisim_run):
    nkisim_run(looks_without_waiting, X)
"""
    )
    assert outcome in printed


@pytest.mark.parametrize("mark", ["nki_target('trn9')", "nki_cores(3)", "nki_dma('soon')", "nki_target()"])
def test_a_mark_that_says_nothing_known_is_refused(session, mark):
    printed = session(f"@pytest.mark.{mark}\ndef test_it(nkisim_run):\n    pass\n")
    assert f"{mark.partition('(')[0]} takes " in printed
    assert "passed" not in printed


def test_what_a_detector_finds_fails_the_test_with_the_kernel_line(session):
    printed = session(
        """
@nki.jit
def forgets(x):
    out = nl.ndarray(x.shape, dtype=x.dtype, buffer=nl.shared_hbm)
    nisa.dma_copy(dst=out[:-1, :], src=x[:-1, :])
    return out


def test_it(nkisim_run):
    nkisim_run(forgets, X)
"""
    )
    assert "NKI401" in printed
    assert "test_it.py:" in printed


@pytest.mark.parametrize(
    ("result", "expected", "said"),
    [
        (np.ones(3), np.ones(4), "has shape (3,), expected (4,)"),
        ((np.ones(3), np.ones(3)), (np.ones(3), np.zeros(3)), r"output[1]: 3 of 3"),
        (np.ones(3), (np.ones(3), np.ones(3)), "2 are expected, the kernel returned one"),
        (np.array([1.0, np.nan]), np.array([1.0, 2.0]), "at [1]: nan, expected 2"),
        (np.array([1.0, 1.02]), np.ones(2), "at [1]: 1.02, expected 1"),
    ],
)
def test_what_is_not_close_is_named(result, expected, said):
    with pytest.raises(AssertionError) as failure:
        assert_kernel_close(result, expected)
    assert said in str(failure.value)


def test_the_worst_places_come_first_and_of_equal_ones_the_first():
    with pytest.raises(AssertionError) as failure:
        assert_kernel_close(np.array([2.0, 2.0, 4.0, 1.0]), np.ones(4))
    places = re.findall(r"at \[(\d)\]", str(failure.value))
    assert places == ["2", "0", "1"]


@pytest.mark.parametrize("value", [np.array([1.0, np.nan, np.inf]), (np.ones(2, np.int32), np.zeros((0, 3)))])
def test_the_same_is_close_nan_and_nothing_included(value):
    assert_kernel_close(value, value, rtol=0, atol=0)
