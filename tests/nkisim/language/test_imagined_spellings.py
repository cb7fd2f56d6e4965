"""Spellings that NKI no longer has, or never had: each error names what to write instead, and the kernel's line."""

import math
import operator

import numpy as np
import pytest
from support.device import hbm, psum, store, tile

import nkisim
import nkisim.nki as nki
import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim import compat
from nkisim.errors import ArgumentError, LaunchError, NotSimulated, ShapeError, UnknownName
from nkisim.nki._names import PUBLISHED, Refused

REMOVED = [p for p in PUBLISHED.values() if p.removed]


def advice(trn2, error, body):
    """What the error of `body`, which is given a tile, says to do."""
    with pytest.raises(error) as caught:
        trn2.attempt(lambda: body(tile((8, 4))))
    assert type(caught.value) is error
    assert __file__.endswith(caught.value.where.file.rpartition("/")[2])
    return caught.value.fix


@pytest.mark.parametrize("published", REMOVED, ids=lambda p: f"{p.module}.{p.name}")
def test_a_removed_name_says_what_to_write_instead(trn2, published):
    fix = advice(trn2, NotSimulated, lambda t: Refused(published)(t))
    assert fix.endswith(".")
    assert "coverage" not in fix


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda t: nl.load(hbm((8, 4)), mask=None), "Slice the operands"),
        (lambda t: nl.add(t, t, mask=None), "Slice the operands"),
        (lambda t: nl.softmax(t, axis=1, mask=None), "Slice the operands"),
        (lambda t: nisa.tensor_scalar(t, nl.multiply, 2.0), "dst="),
        (lambda t: nisa.activation(nl.exp, t), "dst="),
        (lambda t: nisa.nc_matmul(t, t), "dst="),
        (lambda t: nisa.tensor_tensor(t, t, op=nl.add), "dst="),
        (lambda t: nisa.tensor_reduce(nl.add, data=t, axis=1), "dst="),
        (lambda t: nisa.activation(dst=t, op=nl.exp, data=t, dtype=nl.float32), "data type of dst"),
        (lambda t: nl.affine_range(1, precise_schedule=True), "Drop it"),
        (lambda t: nl.ndarray((8, 4)), "Pass what the rule names"),
        (lambda t: nisa.tensor_scalar(dst=t, data=t, op0=np.multiply, operand0=2.0), "nl.multiply"),
        (lambda t: nisa.tensor_scalar(dst=t, data=t, op0=nl.exp, operand0=2.0), "one of"),
        (lambda t: nisa.activation(dst=t, op=np.exp, data=t), "nl.exp"),
        (lambda t: nisa.activation(dst=t, op=nl.add, data=t), "nl.silu"),
    ],
)
def test_a_call_that_does_not_fit_says_which_argument_and_what_to_do(trn2, call, said):
    assert said in advice(trn2, ArgumentError, call)


def test_an_error_inside_a_call_that_fits_stays_what_it_is(trn2):
    with pytest.raises(TypeError, match="of the body"):
        trn2.attempt(lambda: nl.fori_loop(0, 1, lambda i: raise_(TypeError("of the body"))))


def raise_(error):
    raise error


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda t: t + t, "nl.add"),
        (lambda t: t * 2, "nl.multiply"),
        (lambda t: 2 * t, "nl.multiply"),
        (lambda t: 1 - t, "nl.subtract"),
        (lambda t: -t, "nl.negative"),
        (lambda t: abs(t), "nl.abs"),
        (lambda t: t @ t, "nl.matmul"),
        (lambda t: t / t, "nl.divide"),
        (lambda t: t < 1, "nl.less"),
        (lambda t: t <= 1, "nl.less_equal"),
        (lambda t: operator.iadd(t, t), "nl.add"),
        (lambda t: operator.iadd(psum((8, 8)), t), "accumulate"),
        (lambda t: np.add(t, 1), "nl.add"),
        (lambda t: np.float32(2) * t, "nl.multiply"),
        (lambda t: np.ones((8, 4), np.float32) * t, "nl.multiply"),
        (lambda t: np.sum(t), "nl.sum"),
        (lambda t: np.asarray(t), "device_print"),
        (lambda t: math.sqrt(t), "device_print"),
        (lambda t: int(t), "device_print"),
    ],
)
def test_arithmetic_on_a_tensor_names_the_function_of_nl(trn2, function, said):
    assert said in advice(trn2, ArgumentError, function)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda t: t.T, "nl.transpose"),
        (lambda t: t.sum(), "nl.sum"),
        (lambda t: t.astype(nl.bfloat16), "nl.copy"),
        (lambda t: t.numpy(), "device_print"),
        (lambda t: t.frobnicate, "coverage.md"),
        (lambda t: nl.sbuf.view(dtype=nl.float32, shape=(8, 4)), "buffer=nl.sbuf"),
        (lambda t: nl.soft_max(t), "softmax"),
        (lambda t: nisa.tensortensor(t), "tensor_tensor"),
        (lambda t: nl.frobnicate(t), "coverage.md"),
    ],
)
def test_a_name_that_nobody_published_says_which_is_meant(trn2, function, said):
    assert said in advice(trn2, UnknownName, function)


def test_what_asks_whether_a_name_is_there_gets_its_answer(trn2):
    def body():
        assert not hasattr(tile((8, 4)), "numpy")
        assert not hasattr(nl.sbuf, "view")
        assert not hasattr(nl, "frobnicate")
        assert getattr(tile((8, 4)), "__wrapped__", None) is None

    trn2.attempt(body)


@pytest.fixture
def _warns_again(monkeypatch):
    monkeypatch.setattr(compat, "_warned", set())


@pytest.mark.usefixtures("_warns_again")
def test_par_dim_is_its_number_where_it_stands_first(trn2, refuses):
    with pytest.warns(DeprecationWarning, match="dimension 0"):
        trn2.attempt(lambda: nisa.memset(nl.ndarray((nl.par_dim(8), 4), nl.float32), 0))
    assert nl.par_dim(8) == 8
    with refuses(ShapeError, "NKI102", "names another"):
        trn2.attempt(lambda: nl.ndarray((4, nl.par_dim(8), 4), nl.float32))


@pytest.mark.usefixtures("_warns_again")
def test_a_warning_names_the_line_that_uses_the_older_spelling(trn2):
    with pytest.warns(DeprecationWarning, match="par_dim") as seen:
        nl.par_dim(8)
    assert seen[0].filename == __file__


def test_refuses_a_launch_inside_a_kernel(trn2, refuses):
    @nki.jit
    def inner(x):
        return x

    def kernel(x):
        return store(nl.load(inner(x)))

    trn2.run(kernel, np.zeros((8, 4), np.float32))
    for launch in (nki.simulate(inner), lambda x: nkisim.Simulator("trn2").run(inner, x)):
        with refuses(LaunchError, "NKI303", "inside a kernel"):
            trn2.attempt(lambda launch=launch: launch(np.zeros((8, 4), np.float32)))


def test_loops_that_nest_deeper_than_python_does_name_the_kernels_line(trn2, refuses):
    def nested(depth):
        return nl.fori_loop(0, 1, lambda i: nested(depth - 1)) if depth else nisa.memset(tile((1, 1)), 1)

    trn2.attempt(lambda: nested(20))
    with refuses(LaunchError, "NKI303"):
        trn2.attempt(lambda: nested(400))
