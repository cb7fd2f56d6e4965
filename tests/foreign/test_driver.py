"""What the driver makes of the tests it records, without fetching anything."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from foreign import __main__ as command
from foreign.recording import outcome, refusal_of
from foreign.run import ROOT, run, summary
from foreign.suites import SUITES, Row, Suite
from nkisim.errors import ArgumentError, Location, SimulationError

REFUSAL = ArgumentError("the rule", "a value", "Do this.", Location("/far/kernel.py", 7))


def caused(error, by, chained=True):
    error.__cause__ = by if chained else None
    error.__context__ = by
    return error


@pytest.mark.parametrize("error", [REFUSAL, caused(ValueError(), REFUSAL), caused(ValueError(), REFUSAL, False)])
def test_a_refusal_is_found_among_the_causes_of_an_error(error):
    assert isinstance(REFUSAL, SimulationError)
    assert refusal_of(error) == "NKI101: the rule (kernel.py:7)"


@pytest.mark.parametrize("error", [None, ValueError("other")])
def test_other_errors_are_no_refusals(error):
    assert refusal_of(error) is None


@pytest.mark.parametrize(
    ("report", "refusal", "said"),
    [
        ({"passed": True, "skipped": False}, None, "pass"),
        ({"passed": False, "skipped": True}, None, "skipped"),
        ({"passed": False, "skipped": True, "wasxfail": ""}, "NKI101: ...", "xfail"),
        ({"passed": False, "skipped": False}, "NKI101: ...", "refused"),
        ({"passed": False, "skipped": False}, None, "fail"),
    ],
)
def test_outcomes(report, refusal, said):
    assert outcome(SimpleNamespace(**report), refusal) == said


def test_a_test_that_launches_no_kernel_says_nothing_about_nkisim():
    lines = [
        {"outcome": "pass", "launches": 2, "refusal": None},
        {"outcome": "pass", "launches": 0, "refusal": None},
        {"outcome": "refused", "launches": 1, "refusal": "rule"},
        {"outcome": "refused", "launches": 1, "refusal": "rule"},
        {"outcome": "xfail", "launches": 1, "refusal": "other"},
    ]
    row = summary("package", "trn2", [json.dumps(line) for line in lines], True)
    assert row == Row("package", "trn2", {"pass": 1, "no kernel": 1, "refused": 2, "xfail": 1}, {"rule": 2})
    assert "trn2: 2 x rule" in command.table([row])


KERNEL_TESTS = """
import nki, nki.isa as nisa, nki.language as nl, numpy as np, os

@nki.jit
def doubled(x, is_legal):
    t = nl.load(x)
    out = nl.ndarray(x.shape, x.dtype, buffer=nl.shared_hbm)
    nl.store(out, nl.add(t, t) if is_legal else t + t)
    return out

def test_right():
    assert os.environ["MINE_USE_SIMULATOR"] == "1"
    assert (doubled(np.ones((4, 4), np.float32), True) == 2).all()

@nki.jit
def divided(x):
    out = nl.ndarray(x.shape, x.dtype, buffer=nl.shared_hbm)
    nl.store(out, nl.divide(nl.load(x), 2.0))
    return out

def test_that_only_devices_refuse():
    assert (divided(np.ones((4, 4), np.float32)) == 0.5).all()

def test_refused():
    doubled(np.ones((4, 4), np.float32), False)

def test_without_a_kernel():
    import torch_xla.core.xla_model as xm
    assert xm.xla_device().type == "cpu"

def test_on_a_device():
    assert False
"""


def test_runs_the_tests_of_a_source_tree_and_writes_what_became_of_them(tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_mine.py").write_text(KERNEL_TESTS)
    row = run(Suite("mine", "1", ("test_mine.py",), ("on_a_device",)), tmp_path, "trn2", 100)
    assert row.counts == {"pass": 2, "refused": 1, "no kernel": 1}
    assert list(row.refusals) == ["NKI101: tensors are computed by instructions, not operators (test_mine.py:8)"]
    assert row.is_complete


def test_the_command_names_the_packages_it_knows():
    path = {"PYTHONPATH": f"{ROOT / 'tests'}:{ROOT / 'simulate'}"}
    done = subprocess.run(
        [sys.executable, "-m", "foreign", "elsewhere"], env=path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert all(suite.package in done.stderr for suite in SUITES)
