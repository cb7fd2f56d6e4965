"""Tiles of the PE array, and what NeuronCore-v4 adds to nc_matmul."""

import ml_dtypes
import numpy as np
import pytest
from support.device import random_values, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import ArgumentError, NotSimulated, PsumBankError, ShapeError


@pytest.mark.parametrize("columns", [32, 64])
def test_column_tiles_write_their_own_partitions(trn2, columns):
    left, right = random_values((128, 128)), random_values((128, 40), seed=1)
    count = 128 // columns

    def kernel(a, b):
        x, w, total = nl.load(a), nl.load(b), nl.ndarray((128, 40), nl.float32, buffer=nl.psum)
        for i in range(count):
            rows = nl.ds(columns * i, columns)
            nisa.nc_matmul(total[rows, :], x[:, rows], w, tile_position=(0, columns * i), tile_size=(128, columns))
        return store(nl.copy(total))

    np.testing.assert_allclose(trn2.outputs(kernel, left, right), left.T @ right, rtol=1e-4, atol=1e-4)


def matmul(k=32, m=8, n=6, dtype="bfloat16", dst="float32", **options):
    nisa.nc_matmul(nl.ndarray((m, n), dst, buffer=nl.psum), tile((k, m), dtype), tile((k, n), dtype), **options)


def test_the_event_names_the_tile(trn2):
    (event,) = [
        e for e in trn2.attempt(lambda: matmul(tile_position=(32, 64), tile_size=(32, 64))) if e.opcode == "nc_matmul"
    ]
    assert event.details["tile_position"] == (32, 64)
    assert event.details["tile_size"] == (32, 64)


def test_refuses_tiles_that_do_not_exist(trn2, refuses):
    for position, size in (((0, 0), (16, 128)), ((32, 0), (64, 128)), ((128, 0), (64, 128)), ((0,), (64,))):
        with refuses(ArgumentError, "NKI101", str(position)):
            trn2.attempt(lambda p=position, s=size: matmul(tile_position=p, tile_size=s))


def test_the_stationary_tile_fits_into_its_part(trn2, refuses):
    for options, used in (({"k": 64}, "64"), ({"m": 40}, "40")):
        trn2.attempt(lambda o=options: matmul(tile_position=(0, 0), tile_size=(64, 64), **o))
        with refuses(ShapeError, "NKI102", used):
            trn2.attempt(lambda o=options: matmul(tile_position=(0, 0), tile_size=(32, 32), **o))


def test_refuses_half_of_a_tile(trn2, refuses):
    for options in ({"tile_size": (64, 128)}, {"tile_position": (64, 0)}):
        with refuses(NotSimulated, "NKI001", "64"):
            trn2.attempt(lambda options=options: matmul(**options))


def test_double_row_has_no_column_tiles(trn2, refuses):
    def body(columns):
        a, b = (tile((32, 2, n), "float8_e5m2") for n in (8, 6))
        nisa.nc_matmul(
            nl.ndarray((8, 6), nl.float32, buffer=nl.psum), a, b, tile_position=(0, 0), tile_size=(64, columns),
            perf_mode=nisa.matmul_perf_mode.double_row,
        )  # fmt: skip

    trn2.attempt(lambda: body(128))
    with refuses(ArgumentError, "NKI101", "(64, 64)"):
        trn2.attempt(lambda: body(64))


@pytest.mark.parametrize(("n", "dtype"), [(1500, "float32"), (4096, "float32"), (8192, "bfloat16")])
def test_neuroncore_v4_writes_across_psum_banks(trn3, n, dtype):
    rng = np.random.default_rng(0)  # whole numbers, so that the order of a sum does not matter
    left, right = (rng.integers(-20, 20, (32, size)).astype(ml_dtypes.bfloat16) for size in (4, n))

    def kernel(a, b):
        total = nl.ndarray((4, n), dtype, buffer=nl.psum)
        for accumulate in (False, True):
            nisa.nc_matmul(total, nl.load(a), nl.load(b), accumulate=accumulate)
        return store(nl.copy(total))

    product = left.astype(np.float32).T @ right.astype(np.float32)
    if dtype == "bfloat16":  # each write rounds; the sum is taken in fp32
        product = product.astype(ml_dtypes.bfloat16).astype(np.float32) + product
        np.testing.assert_array_equal(trn3.outputs(kernel, left, right), product.astype(ml_dtypes.bfloat16))
    else:
        np.testing.assert_allclose(trn3.outputs(kernel, left, right), 2 * product, rtol=1e-5, atol=1e-5)


def test_wide_operands_need_neuroncore_v4(trn2, trn3, refuses):
    with refuses(ShapeError, "NKI102", "513"):
        trn2.attempt(lambda: matmul(n=513))
    for n, dst in ((4097, "float32"), (8193, "bfloat16")):
        with refuses(ShapeError, "NKI102", f"{n}"):
            trn3.attempt(lambda n=n, dst=dst: nisa.nc_matmul(tile_of(dst), tile((8, 4)), tile((8, n))))


def tile_of(dtype):
    return nl.ndarray((4, 512), dtype, buffer=nl.psum)


def test_older_cores_stay_in_one_bank(trn2, refuses):
    def body():
        total = nl.ndarray((4, 1024), nl.float32, buffer=nl.psum)
        nisa.nc_matmul(total[:, 256:768], tile((8, 4)), tile((8, 512)))

    with refuses(PsumBankError, "NKI203", "banks 0..1"):
        trn2.attempt(body)
