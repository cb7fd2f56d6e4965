"""nc_n_gather, local_gather, nonzero_with_count, sequence_bounds: GpSimd's work with indices."""

import ml_dtypes
import numpy as np
import pytest
from support.device import hbm, random_values, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import ArgumentError, BufferRuleError, DtypeError, OutOfBounds, ShapeError


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.int8])
def test_gathers_within_partitions(trn2, dtype):
    data = random_values((7, 3, 11), dtype)
    index = np.random.default_rng(1).integers(0, 33, (7, 2, 9)).astype(np.uint32)
    got = trn2.compute(lambda dst, x, i: nisa.nc_n_gather(dst, x, i), (7, 18), np.dtype(dtype).name, data, index)
    np.testing.assert_array_equal(got, np.take_along_axis(data.reshape(7, -1), index.reshape(7, -1).astype(int), 1))


def test_an_index_outside_the_partition_is_found(trn2, refuses):
    index = np.array([[0, 5], [6, 1]], np.uint32)
    with refuses(OutOfBounds, "NKI204", "6 at [1, 0]"):
        trn2.compute(lambda dst, x, i: nisa.nc_n_gather(dst, x, i), (2, 2), "float32", random_values((2, 6)), index)


def gather(dst=((4, 3),), data=((4, 6),), index=((4, 3), "uint32")):
    nisa.nc_n_gather(tile(*dst), tile(*data), tile(*index))


def test_nc_n_gather_refuses(trn2, refuses):
    trn2.attempt(gather)
    with refuses(DtypeError, "NKI103", "int32"):
        trn2.attempt(lambda: gather(index=((4, 3), "int32")))
    with refuses(DtypeError, "NKI103", "bfloat16 and float32"):
        trn2.attempt(lambda: gather(dst=((4, 3), "bfloat16")))
    with refuses(ShapeError, "NKI102", "(4, 2)"):
        trn2.attempt(lambda: gather(dst=((4, 2),)))
    with refuses(ShapeError, "NKI102", "(5, 6)"):
        trn2.attempt(lambda: gather(data=((5, 6),)))
    with refuses(BufferRuleError, "NKI104", "psum"):
        trn2.attempt(lambda: gather(data=((4, 6), "float32", nl.psum)))


@pytest.mark.parametrize(("each", "valid"), [(1, None), (4, 37), (2, 64)])
def test_local_gather_runs_down_the_partitions_of_a_group(trn2, each, valid):
    data = random_values((48, 60), np.float16)
    index = np.random.default_rng(1).integers(0, 60 // each, (48, 4)).astype(np.uint16) * np.uint16(each)
    count = valid or 64

    def body(dst, x, i):
        nisa.local_gather(dst, x, i, each, valid)

    got = trn2.compute(body, (48, count * each), "float16", data, index)
    for p in range(48):
        order = index[p // 16 * 16 : p // 16 * 16 + 16].flatten(order="F")[:count]
        expected = np.concatenate([data[p, int(i) : int(i) + each] for i in order])
        np.testing.assert_array_equal(got[p], expected)


def local(dst=((16, 32),), data=((16, 6),), index=((16, 2), "uint16"), *options):
    nisa.local_gather(tile(*dst), tile(*data), tile(*index), *options)


def test_local_gather_refuses(trn2, refuses):
    trn2.attempt(local)
    with refuses(DtypeError, "NKI103", "uint32"):
        trn2.attempt(lambda: local(index=((16, 2), "uint32")))
    with refuses(DtypeError, "NKI103", "bfloat16 and float32"):
        trn2.attempt(lambda: local(dst=((16, 32), "bfloat16")))
    with refuses(ShapeError, "NKI102", "(8, 32)"):
        trn2.attempt(lambda: local(((8, 32),), ((8, 6),), ((8, 2), "uint16")))
    with refuses(ArgumentError, "NKI101", "3"):
        trn2.attempt(lambda: local(((16, 96),), ((16, 6),), ((16, 2), "uint16"), 3))
    with refuses(ShapeError, "NKI102", "33"):
        trn2.attempt(lambda: local(((16, 33),), ((16, 6),), ((16, 2), "uint16"), 1, 33))
    with refuses(ShapeError, "NKI102", "4112"):
        trn2.attempt(lambda: local(((16, 4112),), ((16, 6),), ((16, 257), "uint16")))
    with refuses(ShapeError, "NKI102", "(16, 31)"):
        trn2.attempt(lambda: local(dst=((16, 31),)))


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
@pytest.mark.parametrize("rows", [1, 40])
def test_nonzero_with_count_works_on_every_16th_partition(trn2, dtype, rows):
    data = (np.random.default_rng(0).integers(0, 2, (rows, 2, 13)) * random_values((rows, 2, 13))).astype(dtype)

    def body(dst, x):
        nisa.memset(dst, 77)
        nisa.nonzero_with_count(dst, x, index_offset=100, padding_val=-3)

    got = trn2.compute(body, (rows, 27), "int32", data)
    for p in range(rows):
        found = np.flatnonzero(data[p].reshape(-1)) + 100
        expected = [*found, *[-3] * (26 - len(found)), len(found)] if p % 16 == 0 else [77] * 27
        np.testing.assert_array_equal(got[p], expected)


def test_nonzero_with_count_reads_no_other_partition(trn2):
    def body():
        source, dst = nl.ndarray((32, 4), nl.float32), nl.ndarray((32, 5), nl.int32)
        for p in (0, 16):
            nisa.dma_copy(source[p : p + 1], hbm((1, 4)))
        nisa.nonzero_with_count(dst, source)

    trn2.attempt(body)


def nonzero(dst=((4, 7), "int32"), source=((4, 6),), **options):
    nisa.nonzero_with_count(tile(*dst), tile(*source), **options)


def test_nonzero_with_count_refuses(trn2, refuses):
    trn2.attempt(nonzero)
    with refuses(ShapeError, "NKI102", "(4, 6)"):
        trn2.attempt(lambda: nonzero(dst=((4, 6), "int32")))
    with refuses(DtypeError, "NKI103", "uint32"):
        trn2.attempt(lambda: nonzero(dst=((4, 7), "uint32")))
    with refuses(DtypeError, "NKI103", "bfloat16"):
        trn2.attempt(lambda: nonzero(source=((4, 6), "bfloat16")))
    with refuses(ArgumentError, "NKI101", "0.5"):
        trn2.attempt(lambda: nonzero(index_offset=0.5))
    with refuses(ArgumentError, "NKI101", str(2**31)):
        trn2.attempt(lambda: nonzero(padding_val=2**31))


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_sequence_bounds_of_runs_and_padding(trn2, dtype):
    ids = np.array([[0, 1, 1, 2, 2, 2, 0, 3, 3]], dtype)
    got = trn2.compute(lambda dst, x: nisa.sequence_bounds(dst, x), (1, 2, 9), np.dtype(dtype).name, ids)
    np.testing.assert_array_equal(got[0], [[9, 1, 1, 3, 3, 3, 9, 7, 7], [-1, 3, 3, 6, 6, 6, -1, 9, 9]])


def test_sequence_bounds_refuses(trn2, refuses):
    def bounds(dst=((1, 2, 9), "int32"), ids=((1, 9), "int32")):
        nisa.sequence_bounds(tile(*dst), tile(*ids))

    trn2.attempt(bounds)
    with refuses(ShapeError, "NKI102", "(2, 9)"):
        trn2.attempt(lambda: bounds(ids=((2, 9), "int32")))
    with refuses(ShapeError, "NKI102", "(1, 9)"):
        trn2.attempt(lambda: bounds(dst=((1, 9), "int32")))
    with refuses(DtypeError, "NKI103", "uint32"):
        trn2.attempt(lambda: bounds(ids=((1, 9), "uint32")))
    with refuses(ArgumentError, "NKI101", "-1 at 1"):
        negative = np.array([[1, -1]], np.int32)
        trn2.compute(lambda dst, x: nisa.sequence_bounds(dst, x), (1, 2, 2), "int32", negative)
