"""Inputs outside the range in which the Scalar Engine's tables are valid: noted, and what comes out."""

import math

import numpy as np
import pytest

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.observe import Note

RANGES = {
    "log": (2.0**-64, 2.0**64), "sqrt": (2.0**-116, 2.0**118), "rsqrt": (2.0**-87, 2.0**97),
    "reciprocal": (2.0**-42, 2.0**42), "sin": (-math.pi, math.pi), "arctan": (-math.pi / 2, math.pi / 2),
}  # fmt: skip


def apply(name, scale=1.0):
    def kernel(x):
        dst = nl.ndarray(x.shape, nl.float32)
        for _ in range(2):
            nisa.activation(dst, getattr(nl, name), nl.load(x), scale=scale)
        result = nl.ndarray(x.shape, nl.float32, buffer=nl.shared_hbm)
        nisa.dma_copy(result, dst)
        return result

    return kernel


def row(*values):
    return np.array([values], np.float32)


@pytest.mark.parametrize("name", RANGES)
def test_inputs_up_to_the_ends_of_the_range_are_valid(trn2, name):
    low, high = (np.float32(v) for v in RANGES[name])
    assert trn2.run(apply(name), row(low, high, np.nan)).findings == []


@pytest.mark.parametrize("name", RANGES)
def test_the_first_input_outside_is_noted_once_a_line(trn2, name):
    low, high = (np.float32(v) for v in RANGES[name])
    beyond = np.float32(-np.inf) if low > 0 and name != "reciprocal" else np.nextafter(low, np.float32(-np.inf))
    beyond = np.float32(0) if name == "reciprocal" else beyond
    for bad in (beyond, np.nextafter(high, np.float32(np.inf))):
        (finding,) = trn2.run(apply(name), row(high, bad)).findings
        assert isinstance(finding, Note)
        assert finding.code == "NKI409"
        assert f"nl.{name}" in str(finding)
        assert "at [0, 1], 1 such inputs" in str(finding)


def test_the_range_is_of_what_goes_into_the_function(trn2):
    assert trn2.run(apply("sin", scale=0.25), row(9.0)).findings == []
    assert len(trn2.run(apply("sin", scale=4.0), row(1.0)).findings) == 1


def test_reciprocal_of_either_sign(trn2):
    assert trn2.run(apply("reciprocal"), row(-1.0, -(2.0**42))).findings == []
    assert len(trn2.run(apply("reciprocal"), row(-(2.0**43))).findings) == 1


def test_sine_goes_on_as_a_cubic_as_the_documents_say(trn2):
    """sin(9) = 27.65, and the two halves are odd and meet at pi."""
    got = trn2.outputs(apply("sin"), row(9.0, -9.0, np.float32(math.pi) + np.float32(1e-3), 1.0))[0]
    np.testing.assert_allclose(got[:2], [27.65, -27.65], atol=0.005)
    np.testing.assert_allclose(got[2:], [math.sin(math.pi + 1e-3), math.sin(1)], atol=1e-6)


def test_activate2_notes_them_too(trn3):
    def kernel(x):
        dst = nl.ndarray(x.shape, nl.float32)
        nisa.activate2(dst, nl.sqrt, nl.load(x), 1.0, 0.0, nl.bypass, nl.bypass)
        return x

    assert trn3.run(kernel, row(4.0)).findings == []
    assert [f.code for f in trn3.run(kernel, row(0.0)).findings] == ["NKI409"]


def test_the_vector_engine_and_the_function_of_the_language_have_no_such_range(trn2):
    def kernel(x):
        t = nl.load(x)
        nisa.reciprocal(t, t)
        nl.sin(t)
        return x

    assert trn2.run(kernel, row(2.0**-60, 1e20)).findings == []


def test_skipping_without_an_index_is_noted(trn2):
    def kernel(x, ids, skip):
        t = nl.ndarray((2, 4), nl.float32)
        mode = nisa.oob_mode.skip if skip else nisa.oob_mode.error
        source = x if ids is None else x.ap([[4, 2], [1, 4]], vector_offset=nl.load(ids))
        nisa.dma_copy(t, source, oob_mode=mode)
        return x

    x, ids = np.ones((2, 4), np.float32), np.zeros((2, 1), np.int32)
    assert trn2.run(kernel, x, None, False).findings == []
    assert trn2.run(kernel, x, ids, True).findings == []
    (finding,) = trn2.run(kernel, x, None, True).findings
    assert isinstance(finding, Note)
    assert "oob_mode.skip" in str(finding)
