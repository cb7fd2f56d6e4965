"""affine_select, range_select, select_reduce: choose elements by position or predicate."""

import ml_dtypes
import numpy as np
import pytest
from support.device import psum, random_values, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.dtypes import convert, dtype_of
from nkisim.errors import ArgumentError, BufferRuleError, DtypeError, NotSimulated, ShapeError, UninitializedRead

CMD = nisa.reduce_cmd
FILL = np.finfo(np.float32).min
COMPARE = {
    "equal": np.equal, "not_equal": np.not_equal, "greater_equal": np.greater_equal, "greater": np.greater,
    "less_equal": np.less_equal, "less": np.less,
}  # fmt: skip


@pytest.mark.parametrize("name", COMPARE)
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.int32])
def test_affine_select_compares_an_affine_value_with_zero(trn2, name, dtype):
    data = random_values((7, 3, 4), dtype)

    def body(dst, x):
        nisa.affine_select(dst, [[4, 3], [-1, 4]], 2, x, -5.0, getattr(nl, name), offset=-6)

    p, y, x = np.meshgrid(np.arange(7), np.arange(3), np.arange(4), indexing="ij")
    expected = np.where(COMPARE[name](-6 + 2 * p + 4 * y - x, 0), data, np.array(-5).astype(dtype))
    kind = dtype_of(dtype)
    np.testing.assert_array_equal(trn2.compute(body, (7, 12), kind, data), expected.reshape(7, 12))


def test_affine_select_makes_an_identity_in_place(trn2):
    def body(dst):
        nisa.memset(dst, 1.0)
        nisa.affine_select(dst=dst[...], pattern=[[1, 9]], channel_multiplier=-1, on_true_tile=dst, on_false_value=0.0)

    np.testing.assert_array_equal(trn2.compute(body, (9, 9), "float32"), np.eye(9))


def affine(pattern=((1, 6),), value=0.0, op=None, dst=None, source=None):
    made = tile((4, 6)) if source is None else source
    target = tile((4, 6)) if dst is None else dst
    nisa.affine_select(target, [list(p) for p in pattern], 1, made, value, op or nl.less)


def test_affine_select_refuses(trn2, refuses):
    trn2.attempt(affine)
    with refuses(ShapeError, "NKI102", "5"):
        trn2.attempt(lambda: affine(pattern=((1, 5),)))
    with refuses(ArgumentError, "NKI101", "[]"):
        trn2.attempt(lambda: affine(pattern=()))
    with refuses(ArgumentError, "NKI101", "nl.add"):
        trn2.attempt(lambda: affine(op=nl.add))
    with refuses(ArgumentError, "NKI101", "NkiTensor"):
        trn2.attempt(lambda: affine(value=tile((4, 1))))
    with refuses(BufferRuleError, "NKI104", "psum"):
        trn2.attempt(lambda: affine(source=psum((4, 6))))
    with refuses(BufferRuleError, "NKI104", "psum"):
        trn2.attempt(lambda: affine(dst=psum((4, 6))))


# -- range_select --------------------------------------------------------------------------------------------


def bounds(low, high):
    return np.array([[low]] * 5, np.float32), np.array([[high + i] for i in range(5)], np.float32)


@pytest.mark.parametrize("ops", [("greater_equal", "less"), ("greater", "less_equal"), ("equal", "equal")])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float8_e5m2"])
def test_range_select_keeps_positions_between_two_bounds(trn2, ops, dtype):
    data, (low, high) = random_values((5, 3, 7)), bounds(103, 110)

    def kernel(x, a, b):
        dst, top = nl.ndarray((5, 21), dtype), nl.ndarray((5, 1), nl.float32)
        nisa.range_select(
            dst, nl.load(x), getattr(nl, ops[0]), getattr(nl, ops[1]), nl.load(a), nl.load(b), reduce_res=top,
            range_start=100, on_false_value=-3.4028235e38,
        )  # fmt: skip
        return store(dst), store(top)

    position = np.arange(100, 121, dtype=np.float32)[None]
    chosen = COMPARE[ops[0]](position, low) & COMPARE[ops[1]](position, high)
    selected = np.where(chosen, data.reshape(5, -1), FILL)
    got, top = trn2.outputs(kernel, data, low, high)
    narrow = convert(selected, dtype_of(dtype)).astype(np.float32)
    expected = np.where(chosen, narrow, FILL if dtype == "float32" else -np.inf)
    np.testing.assert_array_equal(got.astype(np.float32), expected)
    np.testing.assert_array_equal(top[:, 0], selected.max(axis=1))


def test_range_select_continues_its_maximum(trn2):
    data, (low, high) = random_values((5, 8)), bounds(0, 8)

    def body(top, x, a, b):
        dst = nl.ndarray((5, 4), nl.float32)
        for i, (command, result) in enumerate(((CMD.reset_reduce, None), (CMD.reduce, top))):
            nisa.range_select(
                dst, x[:, 4 * i : 4 * i + 4], nl.greater_equal, nl.less, a, b, command, result, range_start=4 * i
            )

    np.testing.assert_array_equal(trn2.compute(body, (5, 1), "float32", data, low, high)[:, 0], data.max(axis=1))


def ranged(source="float32", bound="float32", ops=None, dst="float32", shape=(4, 1), **options):
    first, second = ops or (nl.greater, nl.less)
    a, b = tile(shape, bound), tile((4, 1))
    nisa.range_select(tile((4, 6), dst), tile((4, 6), source), first, second, a, b, **options)


def test_range_select_refuses(trn2, refuses):
    trn2.attempt(ranged)
    with refuses(DtypeError, "NKI103", "int32"):
        trn2.attempt(lambda: ranged(source="int32"))
    with refuses(DtypeError, "NKI103", "bfloat16"):
        trn2.attempt(lambda: ranged(bound="bfloat16"))
    with refuses(ShapeError, "NKI102", "(4, 2)"):
        trn2.attempt(lambda: ranged(shape=(4, 2)))
    with refuses(ArgumentError, "NKI101", "not_equal"):
        trn2.attempt(lambda: ranged(ops=(nl.not_equal, nl.less)))
    with refuses(ArgumentError, "NKI101", "0.0"):
        trn2.attempt(lambda: ranged(on_false_value=0.0))
    with refuses(ArgumentError, "NKI101", "16777215"):
        trn2.attempt(lambda: ranged(range_start=2**24 - 1))
    with refuses(ArgumentError, "NKI101", "nl.add"):
        trn2.attempt(lambda: ranged(reduce_op=nl.add))
    with refuses(UninitializedRead, "NKI401", "lane 0"):
        trn2.attempt(lambda: ranged(reduce_cmd=CMD.reduce))
    for command in (CMD.reset, CMD.load_reduce):
        with refuses(NotSimulated, "NKI001", command.name):
            trn2.attempt(lambda command=command: ranged(reduce_cmd=command))
    with refuses(NotSimulated, "NKI001", "float8_e4m3fn"):
        trn2.attempt(lambda: ranged(dst="float8_e4m3fn"))


# -- select_reduce -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.uint16])
@pytest.mark.parametrize("column", [False, True])
def test_select_reduce_chooses_and_takes_the_maximum(trn2, reverse, kind, column):
    data, other = random_values((6, 11), np.float16), random_values((6, 1), seed=1)
    predicate = np.random.default_rng(2).integers(0, 3, (6, 11)).astype(kind)

    def kernel(mask, x, y):
        dst, top = nl.ndarray((6, 11), nl.float32), nl.ndarray((6, 1), nl.float32)
        false = nl.load(y) if column else -1.5
        nisa.select_reduce(dst, nl.load(mask), nl.load(x), false, top, CMD.reset_reduce, reverse_pred=reverse)
        return store(dst), store(top)

    chosen = (predicate == 0) if reverse else (predicate != 0)
    expected = np.where(chosen, data.astype(np.float32), other if column else np.float32(-1.5))
    got, top = trn2.outputs(kernel, predicate, data, other)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(top[:, 0], expected.max(axis=1))


def selected(predicate=None, on_true=None, **options):
    mask = tile((4, 6), "uint8") if predicate is None else predicate
    nisa.select_reduce(tile((4, 6)), mask, tile((4, 6)) if on_true is None else on_true, 0.0, **options)


def test_select_reduce_refuses(trn2, refuses):
    trn2.attempt(selected)
    trn2.attempt(lambda: selected(on_true=psum((4, 6))))
    with refuses(BufferRuleError, "NKI104", "both are"):
        trn2.attempt(lambda: selected(psum((4, 6), "uint16"), psum((4, 6))))
    for kind in ("float32", "uint32"):
        with refuses(DtypeError, "NKI103", kind):
            trn2.attempt(lambda kind=kind: selected(tile((4, 6), kind)))
    for kind in ("tfloat32", "int32", "uint32"):
        with refuses(DtypeError, "NKI103", kind):
            trn2.attempt(lambda kind=kind: selected(on_true=tile((4, 6), kind)))
    with refuses(ArgumentError, "NKI101", "nl.add"):
        trn2.attempt(lambda: selected(reduce_op=nl.add))
    with refuses(ArgumentError, "NKI101", "load_reduce"):
        trn2.attempt(lambda: selected(reduce_cmd=CMD.load_reduce))
    with refuses(DtypeError, "NKI103", "int32"):
        trn2.attempt(lambda: selected(reduce_res=tile((4, 1), "int32"), reduce_cmd=CMD.reset_reduce))
    with refuses(ShapeError, "NKI102", "(4, 5)"):
        trn2.attempt(lambda: selected(tile((4, 5), "uint8")))
