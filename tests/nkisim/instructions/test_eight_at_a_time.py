"""max8, nc_find_index8, nc_match_replace8, topk: the largest values and where they are."""

import ml_dtypes
import numpy as np
import pytest
from support.device import psum, random_values, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import ArgumentError, BufferRuleError, DtypeError, NotSimulated, ShapeError


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.int16])
@pytest.mark.parametrize("shape", [(5, 8), (3, 7, 9)])
def test_max8_sorts_downwards(trn2, dtype, shape):
    data = random_values(shape, dtype)
    got = trn2.compute(lambda dst, x: nisa.max8(dst, x), (shape[0], 8), "float32", data)
    expected = -np.sort(-data.astype(np.float32).reshape(shape[0], -1), axis=1)[:, :8]
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("kind", ["uint16", "uint32"])
def test_finds_where_values_are(trn2, kind):
    data = np.stack([np.random.default_rng(i).permutation(40) for i in range(6)]).astype(np.float32)
    vals = np.tile(np.array([39, 0, 3, -1, 17, 5, 100, 2], np.float32), (6, 1))
    got = trn2.compute(lambda dst, x, v: nisa.nc_find_index8(dst, x, v), (6, 8), kind, data, vals)
    for p in range(6):
        for j in range(8):
            hits = np.flatnonzero(data[p] == vals[p, j])
            assert got[p, j] == (hits[0] if hits.size else np.iinfo(got.dtype).max)


DUPLICATES = np.array([[1, 2, 3, 4, 8, 8, 8, 8, 8, 8, 8]], np.float32)
WANTED = np.array([[3, 8, 8, 8, 8, 8, 8, 8]], np.float32)


def test_equal_values_get_successive_positions(trn2):
    def kernel(x, v):
        data, vals = nl.load(x), nl.load(v)
        ascending, descending = nl.ndarray((1, 8), nl.uint32), nl.ndarray((1, 8), nl.uint16)
        nisa.nc_find_index8(ascending, data, vals)
        nisa.nc_match_replace8(data, data, vals, float("-inf"), dst_idx=descending)
        return store(ascending), store(descending), store(data)

    ascending, descending, replaced = trn2.outputs(kernel, DUPLICATES, WANTED)
    np.testing.assert_array_equal(ascending[0], [2, 4, 5, 6, 7, 8, 9, 10])
    np.testing.assert_array_equal(descending[0], [2, 10, 9, 8, 7, 6, 5, 4])
    np.testing.assert_array_equal(replaced[0], [1, 2, -np.inf, 4, *[-np.inf] * 7])


def test_one_value_broadcast_finds_its_first_position_first(trn2):
    data = np.array([[5, 1, 9, 9, 2, 0, 3, 4, 6]], np.float32)

    def body(dst, x, v):
        nisa.nc_find_index8(dst, x, v.ap([[1, 1], [0, 8]]))

    got = trn2.compute(body, (1, 8), "uint32", data, np.array([[9]], np.float32))
    np.testing.assert_array_equal(got[0], [2, 3, *[0xFFFFFFFF] * 6])


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_repeated_passes_sort_a_row(trn2, dtype):
    data = random_values((4, 24), dtype)

    def kernel(x):
        left, values, places = nl.load(x), nl.ndarray((4, 24), dtype), nl.ndarray((4, 24), nl.uint32)
        for i in range(3):
            now = nl.ds(8 * i, 8)
            nisa.max8(values[:, now], left)
            nisa.nc_match_replace8(left, left, values[:, now], float("-inf"), places[:, now])
        return store(values), store(places)

    values, places = trn2.outputs(kernel, data)
    np.testing.assert_array_equal(values, -np.sort(-data.astype(np.float32), axis=1))
    np.testing.assert_array_equal(np.take_along_axis(data, places.astype(np.int64), axis=1), values)
    np.testing.assert_array_equal(np.sort(places, axis=1), np.tile(np.arange(24), (4, 1)))


def test_values_that_do_not_occur_replace_nothing(trn2, refuses):
    data, vals = random_values((3, 10)), np.full((3, 8), 50, np.float32)
    got = trn2.compute(lambda dst, x, v: nisa.nc_match_replace8(dst, x, v, 0.0), (3, 10), "float32", data, vals)
    np.testing.assert_array_equal(got, data)

    def body(dst, x, v):
        nisa.nc_match_replace8(dst, x, v, 0.0, tile((3, 8), "uint32"))

    with refuses(NotSimulated, "NKI001", "vals[0, 0]"):
        trn2.compute(body, (3, 10), "float32", data, vals)


def test_max8_refuses(trn2, refuses):
    trn2.attempt(lambda: nisa.max8(tile((4, 8)), psum((4, 8))))
    for shape in ((4, 7), (1, 16385), (4, 1, 2, 8)):
        with refuses(ShapeError, "NKI102", f"{shape}"):
            trn2.attempt(lambda shape=shape: nisa.max8(tile((shape[0], 8)), tile(shape)))
    with refuses(ShapeError, "NKI102", "(4, 9)"):
        trn2.attempt(lambda: nisa.max8(tile((4, 9)), tile((4, 9))))


def find(dst=((4, 8), "uint32"), data=(4, 9), vals=(4, 8)):
    nisa.nc_find_index8(tile(*dst), tile(data), tile(vals))


def test_nc_find_index8_refuses(trn2, refuses):
    trn2.attempt(find)
    with refuses(DtypeError, "NKI103", "int32"):
        trn2.attempt(lambda: find(dst=((4, 8), "int32")))
    with refuses(ShapeError, "NKI102", "(4, 9)"):
        trn2.attempt(lambda: find(vals=(4, 9)))
    with refuses(ShapeError, "NKI102", "(4, 1, 8)"):
        trn2.attempt(lambda: find(dst=((4, 1, 8), "uint32")))
    with refuses(ShapeError, "NKI102", "(4, 7)"):
        trn2.attempt(lambda: find(data=(4, 7)))


def match(dst=(4, 9), vals=(4, 8), imm=0.0, index=((4, 8), "uint32")):
    nisa.nc_match_replace8(tile(dst), tile((4, 9)), tile(vals), imm, tile(*index))


def test_nc_match_replace8_refuses(trn2, refuses):
    trn2.attempt(match)
    with refuses(ShapeError, "NKI102", "(4, 8)"):
        trn2.attempt(lambda: match(dst=(4, 8)))
    with refuses(ShapeError, "NKI102", "(4, 7)"):
        trn2.attempt(lambda: match(vals=(4, 7)))
    with refuses(ArgumentError, "NKI101", "None"):
        trn2.attempt(lambda: match(imm=None))
    with refuses(DtypeError, "NKI103", "float32"):
        trn2.attempt(lambda: match(index=((4, 8), "float32")))
    with refuses(ShapeError, "NKI102", "(4, 9)"):
        trn2.attempt(lambda: match(index=((4, 9), "uint32")))


def top(values=((16, 4), "bfloat16"), places=((16, 4), "uint32"), source=((16, 3), "bfloat16"), n=42):
    nisa.topk(tile(*values), tile(*places), tile(*source), n)


def test_topk_checks_its_arguments_then_refuses(trn2, refuses):
    with refuses(NotSimulated, "NKI001", "which partitions"):
        trn2.attempt(top)
    with refuses(DtypeError, "NKI103", "float32"):
        trn2.attempt(lambda: top(source=((16, 3), "float32")))
    with refuses(DtypeError, "NKI103", "int32"):
        trn2.attempt(lambda: top(places=((16, 4), "int32")))
    with refuses(ShapeError, "NKI102", "(8, 3)"):
        trn2.attempt(lambda: top(((8, 4), "bfloat16"), ((8, 4), "uint32"), ((8, 3), "bfloat16")))
    for n in (7, 49):
        with refuses(ShapeError, "NKI102", f"n {n}"):
            trn2.attempt(lambda n=n: top(n=n))
    with refuses(BufferRuleError, "NKI104", "psum"):
        trn2.attempt(lambda: top(source=((16, 3), "bfloat16", nl.psum)))
