"""What `help` prints of operators, and that their formulas are what they compute."""

import inspect
import math

import numpy as np
import pytest

import nkisim.nki.language as nl
from nkisim.operations.operator_help import FORMULAS
from nkisim.operations.operators import OPERATORS

POINTS = (0.25, 0.5, 1.0, 2.5)
INTEGERS = (1, 2, 6)
NAMES = {name: getattr(math, name) for name in ("atan", "erf", "exp", "log", "pi", "sin", "sqrt", "tanh")}
NAMES |= {"abs": abs, "max": max, "min": min, "mean": float}


def by_formula(name, x, y):
    return float(eval(FORMULAS[name], NAMES, {"x": x, "y": y}))  # one of ours


def by_function(name, x, y):
    op = OPERATORS[name]
    kind = np.int32 if op.bitwise else np.float32
    given = [kind([value]) for value in (x, y)[: op.arity]]
    return float(np.ravel(op.function(*given))[0])


def disagreements(name):
    points = INTEGERS if OPERATORS[name].bitwise else (*POINTS, *(() if name in "log sqrt rsqrt power" else (-1.5,)))
    pairs = [(x, y) for x in points for y in points]
    return [(x, y) for x, y in pairs if not math.isclose(by_formula(name, x, y), by_function(name, x, y), rel_tol=1e-5)]


def test_every_operator_has_a_formula():
    assert FORMULAS.keys() == OPERATORS.keys()


@pytest.mark.parametrize("name", FORMULAS)
def test_an_operator_computes_its_formula(name):
    assert disagreements(name) == []


def test_a_wrong_formula_is_found(monkeypatch):
    monkeypatch.setitem(FORMULAS, "silu", "x * exp(-x)")
    assert disagreements("silu")


def test_help_says_what_an_operator_computes_where_and_for_which_inputs():
    text = inspect.getdoc(nl.rsqrt)
    assert text.startswith("1 / sqrt(x)\n")
    assert "the Vector Engine and GpSimd and the Scalar Engine" in text
    assert "magnitudes of 6.46235e-27" in text
    assert "ArgumentError: x is no tile on chip." in text
    assert "May" not in inspect.getdoc(nl.bypass)
    assert "only for op=" in inspect.getdoc(nl.average)
    assert "Sine of any angle" in inspect.getdoc(nl.sin)
