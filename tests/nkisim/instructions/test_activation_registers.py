"""activation's accumulator registers, activation_reduce and activate2."""

import ml_dtypes
import numpy as np
import pytest
from support.device import psum, random_values, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import (
    ArgumentError,
    DtypeError,
    NotSimulated,
    ShapeError,
    TargetError,
    UninitializedRead,
)

CMD = nisa.reduce_cmd


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_sums_what_it_computes_before_rounding(trn2, dtype):
    data = random_values((7, 13), dtype)

    def kernel(x):
        dst, total = nl.ndarray((7, 13), dtype), nl.ndarray((7, 1), nl.float32)
        nisa.activation(
            dst, nl.square, nl.load(x), scale=0.5, reduce_op=nl.add, reduce_res=total, reduce_cmd=CMD.reset_reduce
        )
        return store(dst), store(total)

    squares = np.square(data.astype(np.float32) * np.float32(0.5))
    got, total = trn2.outputs(kernel, data)
    np.testing.assert_array_equal(got, squares.astype(dtype))
    np.testing.assert_allclose(total[:, 0], squares.sum(axis=1), rtol=1e-6)


def test_the_registers_live_on_until_they_are_reset(trn2):
    data = random_values((3, 10))

    def kernel(x):
        a, total, later = nl.load(x), nl.ndarray((3, 1), nl.float32), nl.ndarray((3, 1), nl.float32)
        dst = nl.ndarray((3, 5), nl.float32)
        nisa.activation(dst, nl.copy, a[:, 0:5], reduce_cmd=CMD.reset)
        nisa.activation(dst, nl.copy, a[:, 0:5], reduce_op=nl.add, reduce_cmd=CMD.reduce)
        nisa.activation(dst, nl.exp, a[:, 0:5])
        nisa.activation(dst, nl.copy, a[:, 5:10], reduce_op=nl.add, reduce_res=total, reduce_cmd=CMD.reduce)
        nisa.activation(dst, nl.exp, a[:, 0:5], reduce_res=later)
        return store(total), store(later)

    total, later = trn2.outputs(kernel, data)
    np.testing.assert_allclose(total[:, 0], data.sum(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(total, later)


def test_activation_reduce_may_discard_its_elements(trn2):
    data = random_values((5, 40))

    def kernel(x):
        scratch, total = nl.ndarray((5, 1), nl.float32), nl.ndarray((5, 1), nl.float32)
        nisa.activation_reduce(
            scratch.ap(pattern=[[1, 5], [0, 40]]), nl.square, nl.load(x), nl.add, total, bias=tile((5, 1))
        )
        return store(total)

    np.testing.assert_allclose(trn2.outputs(kernel, data)[:, 0], np.square(data).sum(axis=1), rtol=1e-5)


def test_each_core_has_registers_of_its_own(trn2):
    def kernel():
        out = nl.ndarray((2, 4), nl.float32, buffer=nl.shared_hbm)
        total, one = nl.ndarray((1, 1), nl.float32), tile((1, 4))
        core = nl.program_id(0)
        for step in range(2):
            nisa.memset(one, core + 1.0)
            nisa.activation(
                one, nl.copy, one, reduce_op=nl.add, reduce_res=total,
                reduce_cmd=CMD.reduce if step else CMD.reset_reduce,
            )  # fmt: skip
        nisa.dma_copy(out[core : core + 1, 0:1], total)
        nisa.dma_copy(out[core : core + 1, 1:4], one[:, 1:4])
        return out

    np.testing.assert_array_equal(trn2.outputs(kernel, cores=2)[:, 0], [8, 16])


def reduce(**options):
    nisa.activation(tile((4, 6)), nl.copy, tile((4, 6)), **options)


def test_refuses_registers_that_hold_nothing(trn2, refuses):
    for options in ({"reduce_op": nl.add, "reduce_cmd": CMD.reduce}, {"reduce_res": "tile"}):

        def body(options=options):
            reduce(**{k: tile((4, 1)) if v == "tile" else v for k, v in options.items()})

        with refuses(UninitializedRead, "NKI401", "lane 0"):
            trn2.attempt(body)
        trn2.attempt(lambda body=body: [reduce(reduce_op=nl.add, reduce_cmd=CMD.reset_reduce), body()])


def test_refuses_other_reductions_and_arguments_without_effect(trn2, refuses):
    trn2.attempt(lambda: reduce(reduce_op=nl.add, reduce_cmd=CMD.reset_reduce))
    with refuses(ArgumentError, "NKI101", "nl.maximum"):
        trn2.attempt(lambda: reduce(reduce_op=nl.maximum, reduce_cmd=CMD.reset_reduce))
    with refuses(ArgumentError, "NKI101", "None"):
        trn2.attempt(lambda: reduce(reduce_cmd=CMD.reset_reduce))
    with refuses(ArgumentError, "NKI101", "idle"):
        trn2.attempt(lambda: reduce(reduce_op=nl.add))
    with refuses(ArgumentError, "NKI101", "load_reduce"):
        trn2.attempt(lambda: reduce(reduce_op=nl.add, reduce_cmd=CMD.load_reduce))


def test_refuses_a_result_of_another_shape(trn2, refuses):
    command = {"reduce_op": nl.add, "reduce_cmd": CMD.reset_reduce}
    trn2.attempt(lambda: reduce(reduce_res=psum((4, 1)), **command))
    for shape in ((4, 2), (3, 1)):
        with refuses(ShapeError, "NKI102", f"{shape}"):
            trn2.attempt(lambda shape=shape: reduce(reduce_res=tile(shape), **command))


def test_refuses_to_repeat_elements_without_a_reduction(trn2, refuses):
    with refuses(ShapeError, "NKI102", "strides"):
        trn2.attempt(lambda: nisa.activation(tile((4, 1)).broadcast(1, 6), nl.copy, tile((4, 6))))


def test_prelu_needs_activate2(trn2, refuses):
    with refuses(NotSimulated, "NKI001", "none"):
        trn2.attempt(lambda: nisa.activation(tile((4, 6)), nl.prelu, tile((4, 6))))


# -- activate2 -----------------------------------------------------------------------------------------------


def pipeline(op0, op1, reverse0, reverse1, x, a, b):
    functions = {"multiply": np.multiply, "add": np.add, "subtract": np.subtract}
    for name, operand, reverse in ((op0, a, reverse0), (op1, b, reverse1)):
        if name != "bypass":
            x = functions[name](operand, x) if reverse else functions[name](x, operand)
    return x


PAIRS = [
    ("multiply", "add", False, True), ("multiply", "subtract", True, True), ("multiply", "bypass", False, False),
    ("add", "bypass", True, False), ("subtract", "bypass", True, False), ("bypass", "bypass", False, False),
]  # fmt: skip


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("kind", ["number", "column"])
def test_activate2_does_two_operations_then_the_function(trn3, pair, kind):
    op0, op1, reverse0, reverse1 = pair
    data, a, b = random_values((5, 11)), random_values((5, 1), seed=1), random_values((5, 1), seed=2)
    if kind == "number":
        a[:], b[:] = 1.5, -0.25

    def body(dst, x, left, right):
        imm0, imm1 = (left, right) if kind == "column" else (1.5, -0.25)
        nisa.activate2(
            dst, nl.tanh, x, imm0, imm1, getattr(nl, op0), getattr(nl, op1), reverse0=reverse0, reverse1=reverse1
        )

    expected = np.tanh(pipeline(op0, op1, reverse0, reverse1, data, a, b))
    np.testing.assert_allclose(trn3.compute(body, (5, 11), "float32", data, a, b), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "oracle"),
    [
        ("add", lambda x: x.sum(axis=1)),
        ("maximum", lambda x: x.max(axis=1)),
        ("minimum", lambda x: x.min(axis=1)),
        ("abs_max", lambda x: np.array([max(row, key=abs) for row in x])),
        ("abs_min", lambda x: np.array([min(row, key=abs) for row in x])),
    ],
)
def test_activate2_reduces(trn3, name, oracle):
    data = random_values((4, 9))

    def body(total, x):
        scratch = nl.ndarray((4, 9), nl.bfloat16)
        nisa.activate2(
            scratch, nl.copy, x, 0, 0, nl.bypass, nl.bypass, reduce_op=getattr(nl, name), reduce_res=total,
            reduce_cmd=CMD.reset_reduce,
        )  # fmt: skip

    got = trn3.compute(body, (4, 1), "float32", data)
    np.testing.assert_allclose(got[:, 0], oracle(data), rtol=1e-5)


def test_activate2_has_a_slope_for_prelu(trn3):
    data = random_values((4, 9))

    def body(dst, x):
        nisa.activate2(dst, nl.prelu, x, 0, 0, nl.bypass, nl.bypass, relu_param=0.25)

    expected = np.where(data > 0, data, data * np.float32(0.25))
    np.testing.assert_array_equal(trn3.compute(body, (4, 9), "float32", data), expected)


def two(op0=None, op1=None, imm0=1.0, imm1=1.0, op=None, **options):
    first, second = op0 or nl.multiply, op1 or nl.add
    nisa.activate2(tile((4, 6)), op or nl.copy, tile((4, 6)), imm0, imm1, first, second, **options)


def test_activate2_needs_neuroncore_v4(trn2, trn3, refuses):
    trn3.attempt(two)
    with refuses(TargetError, "NKI106", "trn2"):
        trn2.attempt(two)


def test_activate2_refuses_other_pairs_and_useless_arguments(trn3, refuses):
    with refuses(ArgumentError, "NKI101", "add and add"):
        trn3.attempt(lambda: two(nl.add, nl.add))
    with refuses(ArgumentError, "NKI101", "bypass"):
        trn3.attempt(lambda: two(nl.multiply, nl.bypass, reverse1=True))
    with refuses(ArgumentError, "NKI101", "0.5"):
        trn3.attempt(lambda: two(relu_param=0.5))
    with refuses(ArgumentError, "NKI101", "nl.multiply"):
        trn3.attempt(lambda: two(reduce_op=nl.multiply, reduce_cmd=CMD.reset_reduce))
    with refuses(ArgumentError, "NKI101", "idle"):
        trn3.attempt(lambda: two(reduce_op=nl.add))
    with refuses(ArgumentError, "NKI101", "None"):
        trn3.attempt(lambda: two(reduce_cmd=CMD.reset))
    with refuses(ArgumentError, "NKI101", "nl.add"):
        trn3.attempt(lambda: two(op=nl.add))


def test_activate2_refuses_operands_of_two_types(trn3, refuses):
    trn3.attempt(lambda: two(imm0=tile((4, 1)), imm1=tile((4, 1))))
    with refuses(DtypeError, "NKI103", "float32 and bfloat16"):
        trn3.attempt(lambda: two(imm0=tile((4, 1)), imm1=tile((4, 1), "bfloat16")))
    with refuses(ShapeError, "NKI102", "(4, 2)"):
        trn3.attempt(lambda: two(imm0=tile((4, 2))))
