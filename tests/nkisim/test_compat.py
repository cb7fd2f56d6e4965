"""Older spellings: accepted, with one deprecation warning each."""

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
