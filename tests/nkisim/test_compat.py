"""Older spellings: accepted, with one deprecation warning each."""

import warnings

import numpy as np
import pytest
from support.device import tile

import nkisim.nki as nki
import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim import compat
from nkisim.errors import ArgumentError


@pytest.fixture(autouse=True)
def _forget_earlier_warnings(monkeypatch):
    monkeypatch.setattr(compat, "_warned", set())


@pytest.mark.parametrize("name", ["affine_range", "sequential_range", "static_range"])
def test_a_range_iterator_is_a_range(name):
    make = getattr(nl, name)
    with pytest.warns(DeprecationWarning, match=rf"nl\.{name} is deprecated NKI; use range"):
        assert make(4) == range(4)
    assert make(1, 9) == range(1, 9)
    assert make(1, 9, 2) == range(1, 9, 2)


def test_nl_range_is_range():
    with pytest.warns(DeprecationWarning, match=r"nl\.range is deprecated NKI; use range"):
        assert nl.range is range


def test_the_base_of_a_view_is_the_tensor_it_was_made_from(trn3):
    def kernel(weights):
        packed = weights.view(nl.float8_e4m3fn_x4)
        for view in (weights, packed, weights[1:2], packed[:, 3:5].reshape_dim(1, (2, 1)), weights.ap([[1, 3]], 5)):
            base = view.base_tensor
            assert (base.shape, base.dtype, base.offset) == ((4, 6), "uint32", 0)
            assert base.is_contiguous()
        cell = tile((4, 3, 2), "bfloat16")[:, 1].base_tensor
        assert (cell.shape, cell.dtype) == ((4, 3, 2), "bfloat16")
        out = nl.ndarray((4, 6), nl.uint32, buffer=nl.shared_hbm)
        nisa.dma_copy(out, packed[2:3].base_tensor)
        return out

    given = np.arange(24, dtype=np.uint32).reshape(4, 6)
    with pytest.warns(DeprecationWarning, match=r"NkiTensor\.base_tensor is deprecated"):
        np.testing.assert_array_equal(trn3.run(kernel, given).outputs, given)


@pytest.mark.parametrize(("dtype", "notes"), [(None, 0), (nl.bfloat16, 0), (nl.float16, 1)])
def test_tensor_copy_converts_to_the_dtype_of_its_destination(trn2, dtype, notes):
    def kernel(given):
        out = nl.ndarray((4, 4), nl.bfloat16, buffer=nl.shared_hbm)
        source, copy = (nl.ndarray((4, 4), kind, buffer=nl.sbuf) for kind in (nl.float32, nl.bfloat16))
        nisa.dma_copy(source, given)
        nisa.tensor_copy(dst=copy, src=source, dtype=dtype)
        nisa.dma_copy(out, copy)
        return out

    given = np.full((4, 4), 1e9, np.float32)  # more than a float16 holds
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        done = trn2.run(kernel, given)
    assert [finding.error.code for finding in done.findings] == ["NKI408"] * notes
    assert ["tensor_copy(dtype=" in str(w.message) for w in seen] == [True] * (dtype is not None)
    np.testing.assert_allclose(done.outputs.astype(np.float32), given, rtol=1e-2)


def test_a_register_may_start_with_the_value_of_a_tensor(trn2):
    def body():
        cell = tile((1, 1), "int32")
        nisa.memset(cell, 7)
        register = nisa.register_alloc(cell)
        nisa.memset(cell, 8)
        assert register.read() == 7

    with pytest.warns(DeprecationWarning, match=r"nisa\.register_alloc\(tensor\) is deprecated NKI"):
        trn2.attempt(body)


def test_a_spelling_warns_once_a_process(recwarn):
    for _ in range(3):
        nl.affine_range(2)
    nl.static_range(2)
    assert len(recwarn) == 2


@pytest.mark.parametrize(("start", "stop", "step"), [(5, None, 1), (2, 9, 3), (0, 0, 1)])
@pytest.mark.parametrize("in_registers", [False, True])
def test_dynamic_range_yields_registers(trn2, start, stop, step, in_registers):
    seen = []

    def body():
        bounds = [nisa.register_alloc(n) if in_registers and n is not None else n for n in (start, stop)]
        for register in nl.dynamic_range(*bounds, step):
            nisa.memset(tile((1, 4))[:, nl.ds(0, 1)], 1)
            seen.append(register.read())

    with pytest.warns(DeprecationWarning, match="fori_loop"):
        trn2.attempt(body)
    values = range(start, stop, step) if stop is not None else range(start)
    assert seen == (list(values) or [start])  # a loop that runs zero times is traced once


def test_jit_takes_the_options_of_older_releases():
    def kernel():
        return nl.num_programs()

    with pytest.warns(DeprecationWarning, match=r"nki\.jit\(mode=\.\.\.\)"):
        decorated = nki.jit(mode="simulation")(kernel)
    assert decorated() == 1
    with pytest.warns(DeprecationWarning, match="platform_target"):
        assert nki.jit(kernel, platform_target="trn2")() == 1


def test_refuses_an_option_that_would_have_no_effect(refuses):
    with refuses(ArgumentError, "NKI101", "debug="):
        nki.jit(debug=True)
