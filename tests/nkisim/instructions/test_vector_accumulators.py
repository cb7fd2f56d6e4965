"""The Vector Engine's accumulator registers: exponential, tensor_scalar_reduce, tensor_scalar_cumulative."""

import ml_dtypes
import numpy as np
import pytest
from support.device import psum, random_values, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import (
    ArgumentError,
    BufferRuleError,
    DtypeError,
    ShapeError,
    TargetError,
    UninitializedRead,
)

CMD = nisa.reduce_cmd
REDUCTIONS = {"add": np.add, "multiply": np.multiply, "maximum": np.maximum, "minimum": np.minimum}


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.int8])
@pytest.mark.parametrize("column", [False, True])
def test_exponential_subtracts_and_sums(trn3, dtype, column):
    data = np.clip(random_values((6, 15)) * 3, -5, 5).astype(dtype)
    shift = random_values((6, 1), seed=1) if column else np.full((6, 1), 0.5, np.float32)

    def kernel(x, top):
        dst, total = nl.ndarray((6, 15), nl.bfloat16), nl.ndarray((6, 1), nl.float32)
        nisa.exponential(dst, nl.load(x), nl.load(top) if column else 0.5, total, CMD.reset_reduce)
        return store(dst), store(total)

    expected = np.exp(data.astype(np.float32) - shift)
    got, total = trn3.outputs(kernel, data, shift)
    np.testing.assert_array_equal(got, expected.astype(ml_dtypes.bfloat16))
    np.testing.assert_allclose(total[:, 0], expected.sum(axis=1), rtol=1e-6)


def test_exponential_continues_and_loads(trn3):
    data = random_values((4, 12))

    def kernel(x):
        a, dst = nl.load(x), nl.ndarray((4, 6), nl.float32)
        both, loaded = nl.ndarray((4, 1), nl.float32), nl.ndarray((4, 1), nl.float32)
        nisa.exponential(dst, a[:, 0:6], reduce_cmd=CMD.reset_reduce)
        nisa.exponential(dst, a[:, 6:12], reduce_cmd=CMD.reduce, reduce_res=both)
        nisa.exponential(dst, a[:, 6:12], reduce_cmd=CMD.load_reduce, reduce_init=3.0, reduce_res=loaded)
        return store(both), store(loaded)

    both, loaded = trn3.outputs(kernel, data)
    np.testing.assert_allclose(both[:, 0], np.exp(data).sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(loaded[:, 0], 3 + np.exp(data[:, 6:]).sum(axis=1), rtol=1e-5)


def exponential(src=("float32", (4, 6)), dst="float32", **options):
    kind, shape = src
    nisa.exponential(tile(shape, dst), tile(shape, kind), **options)


def test_exponential_refuses(trn2, trn3, refuses):
    trn3.attempt(exponential)
    with refuses(TargetError, "NKI106", "trn2"):
        trn2.attempt(exponential)
    with refuses(DtypeError, "NKI103", "tfloat32"):
        trn3.attempt(lambda: exponential(src=("tfloat32", (4, 6))))
    with refuses(DtypeError, "NKI103", "uint32"):
        trn3.attempt(lambda: exponential(dst="uint32"))
    with refuses(ShapeError, "NKI102", "(4, 1, 1, 2, 3)"):
        trn3.attempt(lambda: exponential(src=("float32", (4, 1, 1, 2, 3))))
    with refuses(ArgumentError, "NKI101", "2.0"):
        trn3.attempt(lambda: exponential(reduce_init=2.0))
    with refuses(ArgumentError, "NKI101", "reduce_cmd.reset"):
        trn3.attempt(lambda: exponential(reduce_cmd=CMD.reset))
    with refuses(ArgumentError, "NKI101", "idle"):
        trn3.attempt(lambda: exponential(reduce_res=tile((4, 1))))
    with refuses(DtypeError, "NKI103", "int32"):
        trn3.attempt(lambda: exponential(reduce_res=tile((4, 1), "int32"), reduce_cmd=CMD.reset_reduce))


def test_idle_leaves_the_vector_registers_undefined(trn3, refuses):
    trn3.attempt(lambda: [exponential(reduce_cmd=CMD.reset_reduce), exponential(reduce_cmd=CMD.reduce)])
    with refuses(UninitializedRead, "NKI401", "lane 0"):
        trn3.attempt(
            lambda: [exponential(reduce_cmd=CMD.reset_reduce), exponential(), exponential(reduce_cmd=CMD.reduce)]
        )


# -- tensor_scalar_reduce ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("negate", [False, True])
def test_tensor_scalar_reduce_over_all_free_dimensions(trn2, name, negate):
    data, factor = random_values((5, 3, 7)), random_values((5, 1), seed=1)

    def kernel(x, f):
        dst, total = nl.ndarray((5, 3, 7), nl.float16), nl.ndarray((5, 1), nl.float32)
        nisa.tensor_scalar_reduce(
            dst, nl.load(x), nl.multiply, nl.load(f), getattr(nl, name), total, reduce_res_negate=negate
        )
        return store(dst), store(total)

    product = data * factor[:, :, None]
    got, total = trn2.outputs(kernel, data, factor)
    np.testing.assert_array_equal(got, product.astype(np.float16))
    expected = REDUCTIONS[name].reduce(product.reshape(5, -1), axis=1)
    np.testing.assert_allclose(total[:, 0], -expected if negate else expected, rtol=1e-5)


def test_tensor_scalar_reduce_of_magnitudes_in_parts(trn2):
    data = random_values((5, 8))

    def body(total, x):
        scratch = nl.ndarray((5, 4), nl.float32)
        options = {"op0": nl.abs, "operand0": 0.0, "reduce_op": nl.maximum}
        nisa.tensor_scalar_reduce(scratch, x[:, 0:4], reduce_cmd=CMD.load_reduce, reduce_init=0.75, **options)
        nisa.tensor_scalar_reduce(scratch, x[:, 4:8], reduce_cmd=CMD.reduce, reduce_res=total, **options)

    got = trn2.compute(body, (5, 1), "float32", data)
    np.testing.assert_array_equal(got[:, 0], np.maximum(np.abs(data).max(axis=1), 0.75))


def scalar_reduce(op=None, operand=1.0, reduce_op=None, **options):
    operation, reduction = op or nl.multiply, reduce_op or nl.add
    nisa.tensor_scalar_reduce(tile((4, 6)), tile((4, 6)), operation, operand, reduction, **options)


def test_tensor_scalar_reduce_refuses(trn2, refuses):
    trn2.attempt(scalar_reduce)
    with refuses(ArgumentError, "NKI101", "reverse0=True"):
        trn2.attempt(lambda: scalar_reduce(reverse0=True))
    with refuses(ArgumentError, "NKI101", "bitwise_and"):
        trn2.attempt(lambda: scalar_reduce(op=nl.bitwise_and))
    with refuses(ArgumentError, "NKI101", "subtract"):
        trn2.attempt(lambda: scalar_reduce(reduce_op=nl.subtract))
    with refuses(ArgumentError, "NKI101", "2.0"):
        trn2.attempt(lambda: scalar_reduce(op=nl.abs, operand=2.0))
    with refuses(ArgumentError, "NKI101", "None"):
        trn2.attempt(lambda: scalar_reduce(operand=None))
    with refuses(ArgumentError, "NKI101", "None"):
        trn2.attempt(lambda: scalar_reduce(reduce_cmd=CMD.load_reduce))
    with refuses(ArgumentError, "NKI101", "1.0"):
        trn2.attempt(lambda: scalar_reduce(reduce_init=1.0))
    with refuses(ArgumentError, "NKI101", "None"):
        trn2.attempt(lambda: scalar_reduce(reduce_res_negate=True))
    with refuses(ArgumentError, "NKI101", "idle"):
        trn2.attempt(lambda: scalar_reduce(reduce_cmd=CMD.idle))
    with refuses(DtypeError, "NKI103", "bfloat16"):
        trn2.attempt(lambda: scalar_reduce(operand=tile((4, 1), "bfloat16")))


# -- tensor_scalar_cumulative --------------------------------------------------------------------------------


def cumulate(name, start, steps):
    result = np.empty_like(steps)
    for i in range(steps.shape[1]):
        functions = {**REDUCTIONS, "subtract": np.subtract}
        start = result[:, i] = functions[name](steps[:, i], start)
    return result


START = {"add": 0, "subtract": 0, "multiply": 1, "maximum": -np.inf, "minimum": np.inf}


@pytest.mark.parametrize("name", START)
@pytest.mark.parametrize("command", [CMD.reset_reduce, CMD.load_reduce])
def test_runs_over_the_results_of_the_first_operation(trn2, name, command):
    data, first = random_values((5, 9)), random_values((5, 1), seed=1)

    def kernel(x, imm):
        dst, loaded = nl.ndarray((5, 9), nl.float32), nl.load(imm)
        start = loaded if command is CMD.load_reduce else None
        nisa.tensor_scalar_cumulative(dst, nl.load(x), nl.add, getattr(nl, name), 0.5, start, command)
        return store(dst)

    start = first[:, 0] if command is CMD.load_reduce else np.full(5, START[name], np.float32)
    expected = cumulate(name, start, data + np.float32(0.5))
    np.testing.assert_array_equal(trn2.outputs(kernel, data, first), expected)


def test_a_second_cumulation_continues_the_first(trn2):
    data = random_values((5, 9))

    def body(dst, x):
        for part, command in ((slice(0, 4), CMD.reset_reduce), (slice(4, 9), CMD.reduce)):
            nisa.tensor_scalar_cumulative(dst[:, part], x[:, part], nl.multiply, nl.add, 1.0, reduce_cmd=command)

    np.testing.assert_array_equal(
        trn2.compute(body, (5, 9), "float32", data), np.add.accumulate(data, axis=1, dtype=np.float32)
    )


def cumulative(kind="float32", op0=None, op1=None, **options):
    first, second = op0 or nl.add, op1 or nl.add
    nisa.tensor_scalar_cumulative(tile((4, 6), kind), tile((4, 6)), first, second, 1.0, **options)


def test_tensor_scalar_cumulative_refuses(trn2, refuses):
    trn2.attempt(cumulative)
    with refuses(DtypeError, "NKI103", "int32"):
        trn2.attempt(lambda: cumulative("int32"))
    with refuses(ArgumentError, "NKI101", "bitwise_or"):
        trn2.attempt(lambda: cumulative(op0=nl.bitwise_or))
    with refuses(ArgumentError, "NKI101", "nl.logical_and"):
        trn2.attempt(lambda: cumulative(op1=nl.logical_and))
    with refuses(ArgumentError, "NKI101", "1.0"):
        trn2.attempt(lambda: cumulative(imm1=1.0))
    with refuses(UninitializedRead, "NKI401", "lane 0"):
        trn2.attempt(lambda: cumulative(reduce_cmd=CMD.reduce))


# -- tensor_tensor_scan, reciprocal, tensor_partition_reduce -------------------------------------------------


@pytest.mark.parametrize("reverse", [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("column", [False, True])
def test_scans_two_tiles_with_fp32_state(trn2, reverse, column):
    a, b, start = random_values((5, 9), np.float16), random_values((5, 9), seed=1), random_values((5, 1), seed=2)

    def kernel(left, right, first):
        dst = nl.ndarray((5, 9), nl.bfloat16)
        initial = nl.load(first) if column else 0.5
        nisa.tensor_tensor_scan(dst, nl.load(left), nl.load(right), initial, nl.multiply, nl.subtract, *reverse)
        return store(dst)

    state, expected = start[:, 0] if column else np.float32(0.5), np.empty((5, 9), np.float32)
    for i in range(9):
        middle = a[:, i].astype(np.float32) * state
        state = expected[:, i] = b[:, i] - middle if reverse[1] else middle - b[:, i]
    np.testing.assert_array_equal(trn2.outputs(kernel, a, b, start), expected.astype(ml_dtypes.bfloat16))


def scan(d0=None, d1=None, initial=0.0, op0=None):
    left = tile((4, 6)) if d0 is None else d0
    right = tile((4, 6)) if d1 is None else d1
    nisa.tensor_tensor_scan(tile((4, 6)), left, right, initial, op0 or nl.multiply, nl.add)


def test_tensor_tensor_scan_refuses(trn2, refuses):
    trn2.attempt(lambda: scan(d0=psum((4, 6))))
    with refuses(BufferRuleError, "NKI104", "both are"):
        trn2.attempt(lambda: scan(d0=psum((4, 6)), d1=psum((4, 6))))
    with refuses(ShapeError, "NKI102", "(4, 5)"):
        trn2.attempt(lambda: scan(d1=tile((4, 5))))
    with refuses(ShapeError, "NKI102", "(4, 2)"):
        trn2.attempt(lambda: scan(initial=tile((4, 2))))
    with refuses(ArgumentError, "NKI101", "nl.abs"):
        trn2.attempt(lambda: scan(op0=nl.abs))
    with refuses(ArgumentError, "NKI101", "bitwise_xor"):
        trn2.attempt(lambda: scan(op0=nl.bitwise_xor))


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8])
def test_reciprocal_in_fp32(trn2, dtype):
    data = (random_values((5, 3, 4)) * 9).astype(dtype)
    got = trn2.compute(lambda dst, x: nisa.reciprocal(dst, x), (5, 12), "float32", data)
    with np.errstate(divide="ignore"):
        np.testing.assert_array_equal(got, (np.float32(1) / data.astype(np.float32)).reshape(5, 12))


def test_reciprocal_refuses_other_shapes(trn2, refuses):
    with refuses(ShapeError, "NKI102", "(4, 5)"):
        trn2.attempt(lambda: nisa.reciprocal(tile((4, 6)), tile((4, 5))))


@pytest.mark.parametrize(
    ("name", "dtype", "oracle"),
    [
        ("add", np.float32, lambda x: x.sum(axis=0)),
        ("average", np.float16, lambda x: x.astype(np.float32).mean(axis=0)),
        ("maximum", ml_dtypes.bfloat16, lambda x: x.astype(np.float32).max(axis=0)),
        ("bitwise_or", np.int32, lambda x: np.bitwise_or.reduce(x, axis=0)),
        ("bitwise_and", np.uint8, lambda x: np.bitwise_and.reduce(x, axis=0)),
    ],
)
def test_reduces_over_partitions(trn2, name, dtype, oracle):
    data = random_values((11, 3, 5), dtype)
    kind = np.dtype(dtype).name if np.dtype(dtype).kind in "iu" else "float32"
    got = trn2.compute(lambda dst, x: nisa.tensor_partition_reduce(dst, getattr(nl, name), x), (1, 3, 5), kind, data)
    np.testing.assert_allclose(got[0], oracle(data), rtol=1e-5)


def partition_reduce(dst=None, op=None, data=None):
    target, source = (tile(*a) if a else tile(b) for a, b in ((dst, (1, 6)), (data, (4, 6))))
    nisa.tensor_partition_reduce(target, op or nl.add, source)


def test_tensor_partition_reduce_refuses(trn2, refuses):
    trn2.attempt(partition_reduce)
    with refuses(ArgumentError, "NKI101", "nl.minimum"):
        trn2.attempt(lambda: partition_reduce(op=nl.minimum))
    with refuses(ShapeError, "NKI102", "(2, 6)"):
        trn2.attempt(lambda: partition_reduce(dst=((2, 6),)))
    with refuses(DtypeError, "NKI103", "float32"):
        trn2.attempt(lambda: partition_reduce(op=nl.bitwise_or))
    with refuses(BufferRuleError, "NKI104", "psum"):
        trn2.attempt(lambda: partition_reduce(data=((4, 6), "float32", nl.psum)))
    trn2.attempt(lambda: partition_reduce(dst=((1, 6), "int32"), op=nl.bitwise_or, data=((4, 6), "int32")))
    with refuses(DtypeError, "NKI103", "int32 data"):
        trn2.attempt(lambda: partition_reduce(dst=((1, 6), "int32"), data=((4, 6), "int32")))
