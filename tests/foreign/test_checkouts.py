"""What the driver of public kernels says of kernels that match, are wrong, are refused, fail or are not there."""

import subprocess
import sys

import numpy as np
import pytest

from foreign import checkouts
from foreign.public import FAILED, MISSING, REFUSED, RIGHT, WRONG, Call, PublicKernel, Verdict, bad
from foreign.run import ROOT
from foreign.tables import KERNELS

SOURCE = """
import nki, nki.isa as nisa, nki.language as nl
import a_package_that_is_nowhere

FACTOR = 2.0

def helper(t):
    nisa.tensor_scalar(t, t, nl.multiply, FACTOR)

@nki.jit
def doubled(x):
    t = nl.load(x)
    helper(t)
    out = nl.ndarray(x.shape, x.dtype, buffer=nl.shared_hbm)
    nisa.dma_copy(out, t)
    return out

def into(x, out):
    t = nl.load(x)
    helper(t)
    nisa.dma_copy(out, t)

@nki.jit
def off(x):
    nisa.tensor_copy(x, x)

@nki.jit
def lost(x):
    return a_package_that_is_nowhere.run(x)
"""


def twice(rng):
    x = rng.random((4, 5), dtype=np.float32)
    return Call((x,), (2 * x,))


def thrice(rng):
    x = rng.random((4, 5), dtype=np.float32)
    return Call((x,), (3 * x,))


def twice_into(rng):
    x = rng.random((4, 5), dtype=np.float32)
    return Call((x, np.zeros_like(x)), (2 * x,))


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / "owner+kernels" / "some"
    source.mkdir(parents=True)
    (source / "file.py").write_text(SOURCE)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "call", "status", "why"),
    [
        ("doubled", twice, RIGHT, "0.0e+00 of 1e-05"),
        ("into", twice_into, RIGHT, "0.0e+00"),
        ("doubled", thrice, WRONG, "3.3e-01 of 1e-05"),
        ("off", twice, REFUSED, "NKI104: dst is in SBUF or PSUM"),
        ("lost", twice, FAILED, "nothing here stands for a_package_that_is_nowhere"),
        ("absent", twice, FAILED, "MissingReference"),
    ],
)
def test_verdicts(folder, name, call, status, why):
    found = checkouts.verdict(folder, PublicKernel("owner/kernels", "some/file.py", name, call))
    assert found.status == status
    assert why in found.why


def test_what_stands_for_an_import_is_given(folder):
    class Package:
        @staticmethod
        def run(x):
            import nki.language as nl

            out = nl.ndarray(x.shape, x.dtype, buffer=nl.shared_hbm)
            nl.store(out, nl.add(nl.load(x), nl.load(x)))
            return out

    kernel = PublicKernel("owner/kernels", "some/file.py", "lost", twice, given={"a_package_that_is_nowhere": Package})
    assert checkouts.verdict(folder, kernel).status == RIGHT


@pytest.mark.parametrize("place", ["owner+kernels", "owner/kernels", "kernels"])
def test_a_checkout_is_found_under_its_names(tmp_path, place):
    (tmp_path / place).mkdir(parents=True)
    assert checkouts.checkout(tmp_path, "owner/kernels") == tmp_path / place
    assert checkouts.checkout(tmp_path, "owner/others") is None


def test_the_share_is_of_kernels_that_the_documents_allow():
    verdicts = [
        Verdict("a/b", "one", RIGHT),
        Verdict("a/b", "two", REFUSED, "NKI102", "PSUM is smaller"),
        Verdict("a/c", "three", REFUSED, "NKI101"),
        Verdict("a/c", "four", WRONG),
        Verdict("a/d", "five", MISSING),
    ]
    text = checkouts.summary(verdicts)
    assert "| a/b | 2 | 1 | 1 |  |  |  |" in text
    assert "| **all** | 4 | 1 | 1 | 1 | 1 |  |" in text
    assert "a/d" not in text
    assert text.endswith("Of 3 that the documents allow, 33 % run and match.")
    assert [bad(each) for each in verdicts] == [False, False, True, True, False]


def test_every_kernel_is_listed_once():
    names = [(kernel.repository, kernel.file, kernel.name) for kernel in KERNELS]
    assert len(set(names)) == len(names)


def test_the_command_does_every_kernel_of_the_folder(folder):
    path = {"PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}:{ROOT / 'simulate'}"}
    made = [sys.executable, "-m", "foreign", "--checkouts", str(folder / "nowhere")]
    done = subprocess.run(made, env=path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no folder" in done.stderr
