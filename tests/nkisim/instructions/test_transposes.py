"""nc_transpose and dma_transpose."""

import ml_dtypes
import numpy as np
import pytest
from support.device import hbm, psum, random_values, store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.dtypes import dtype_of
from nkisim.errors import (
    ArgumentError,
    BufferRuleError,
    DtypeError,
    EngineError,
    OutOfBounds,
    PsumBankError,
    ShapeError,
    TargetError,
    UninitializedRead,
)

PE, DVE, MODE, SKIP = nisa.engine.tensor, nisa.engine.vector, nisa.dge_mode, nisa.oob_mode.skip
ORDERS = {2: (1, 0), 3: (2, 1, 0), 4: (3, 1, 2, 0)}


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (128, 128), (7, 128), (128, 1)])
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.int32, np.uint8])
def test_the_pe_transposes_bit_for_bit(trn2, shape, dtype):
    data = random_values(shape, dtype)
    got = trn2.compute(nisa.nc_transpose, shape[::-1], dtype_of(dtype), data, buffer=nl.psum)
    assert got.tobytes() == np.ascontiguousarray(data.T).tobytes()


@pytest.mark.parametrize("buffer", [nl.sbuf, nl.psum])
def test_the_vector_engine_transposes_in_either_memory(trn2, buffer):
    data = random_values((32, 17))
    data[0, :3] = np.nan, np.inf, -0.0

    def body(dst, a):
        nisa.nc_transpose(dst, a, DVE)

    got = trn2.compute(body, (17, 32), "float32", data, buffer=buffer)
    assert got.tobytes() == np.ascontiguousarray(data.T).tobytes()


def test_free_dimensions_are_flattened(trn2):
    data = random_values((6, 3, 4))
    got = trn2.compute(nisa.nc_transpose, (12, 2, 3), "float32", data, buffer=nl.psum)
    np.testing.assert_array_equal(got.reshape(12, 6), data.reshape(6, 12).T)


@pytest.mark.parametrize(
    ("dst", "source", "engine"), [(psum, tile, "tensor"), (tile, tile, "vector"), (tile, psum, "vector")]
)
def test_the_engine_follows_the_memories(trn2, dst, source, engine):
    event = trn2.attempt(lambda: nisa.nc_transpose(dst((5, 4)), source((4, 5))))[-1]
    assert (event.engine, event.details) == (engine, {"transpose": True})


@pytest.mark.parametrize(("engine", "limit"), [(PE, 128), (DVE, 32)])
def test_refuses_tiles_larger_than_the_engine_takes(trn2, refuses, engine, limit):
    dst = psum if engine is PE else tile
    trn2.attempt(lambda: nisa.nc_transpose(dst((limit, limit)), tile((limit, limit)), engine))
    with refuses(ShapeError, "NKI102", f"8x{limit + 1}"):
        trn2.attempt(lambda: nisa.nc_transpose(dst((8, 8)), tile((8, limit + 1)), engine))


def test_the_vector_engine_takes_at_most_32_partitions(trn2, refuses):
    with refuses(ShapeError, "NKI102", "33x8"):
        trn2.attempt(lambda: nisa.nc_transpose(tile((8, 33)), tile((33, 8)), DVE))


def test_a_large_tile_into_sbuf_is_refused_with_the_memory_that_the_pe_writes(trn2):
    trn2.attempt(lambda: nisa.nc_transpose(psum((64, 128)), tile((128, 64))))
    with pytest.raises(ShapeError, match=r"128x64.*the Tensor Engine .* from SBUF into a dst with buffer=nl\.psum"):
        trn2.attempt(lambda: nisa.nc_transpose(tile((64, 128)), tile((128, 64))))


def test_refuses_memories_the_pe_cannot_use(trn2, refuses):
    with refuses(BufferRuleError, "NKI104", "psum"):
        trn2.attempt(lambda: nisa.nc_transpose(psum((5, 4)), psum((4, 5)), PE))
    with refuses(BufferRuleError, "NKI104", "sbuf"):
        trn2.attempt(lambda: nisa.nc_transpose(tile((5, 4)), tile((4, 5)), PE))
    with refuses(BufferRuleError, "NKI104", "private_hbm"):
        trn2.attempt(lambda: nisa.nc_transpose(tile((5, 4)), hbm((4, 5))))


def test_refuses_other_types_shapes_and_engines(trn2, refuses):
    with refuses(DtypeError, "NKI103", "float32 and bfloat16"):
        trn2.attempt(lambda: nisa.nc_transpose(psum((5, 4)), tile((4, 5), "bfloat16")))
    with refuses(ShapeError, "NKI102", "(4, 5) for 4x5"):
        trn2.attempt(lambda: nisa.nc_transpose(psum((4, 5)), tile((4, 5))))
    with refuses(EngineError, "NKI105", "gpsimd"):
        trn2.attempt(lambda: nisa.nc_transpose(tile((5, 4)), tile((4, 5)), nisa.engine.gpsimd))
    with refuses(ShapeError, "NKI102", "strides (1, 0)"):
        trn2.attempt(lambda: nisa.nc_transpose(psum((5, 1)).broadcast(1, 4), tile((4, 5))))


def test_refuses_a_pe_transpose_across_banks(trn2, refuses):
    def body(start):
        wide = nl.ndarray((8, 1024), nl.float32, buffer=nl.psum)
        nisa.nc_transpose(wide[:, start : start + 16], tile((16, 8)))

    trn2.attempt(lambda: body(496))
    with refuses(PsumBankError, "NKI203", "touch banks 0..1"):
        trn2.attempt(lambda: body(504))


@pytest.mark.parametrize("shape", [(16, 5), (3, 4, 5), (2, 3, 4, 5), (200, 64)])
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_dma_transposes_by_rank(trn2, shape, dtype):
    data, order = random_values(shape, dtype), ORDERS[len(shape)]

    def kernel(array, axes):
        dst = nl.ndarray(tuple(shape[a] for a in order), array.dtype, buffer=nl.sbuf)
        nisa.dma_transpose(dst, array, axes=axes)
        return store(dst)

    for axes in (None, order, list(order)):
        np.testing.assert_array_equal(trn2.outputs(kernel, data, axes), data.transpose(order))


@pytest.mark.parametrize(("count", "columns"), [(16, 1), (48, 1), (256, 2)])
def test_dma_gathers_rows_and_transposes_them(trn2, count, columns):
    table = random_values((40, 24), ml_dtypes.bfloat16)
    rows = np.random.default_rng(3).integers(0, 40, (count // columns, columns), dtype=np.uint32)

    def kernel(array, indices):
        dst = nl.ndarray((24, count), nl.bfloat16, buffer=nl.sbuf)
        nisa.dma_transpose(dst, array.ap([[24, count], [1, 24]], vector_offset=nl.load(indices)), axes=(1, 0))
        return store(dst)

    np.testing.assert_array_equal(trn2.outputs(kernel, table, rows), table[rows.T.reshape(-1)].T)


def turn(shape=(16, 8), dtype="bfloat16", source=hbm, dst=None, **options):
    """One transpose of zeros."""
    target = tuple(shape[a] for a in ORDERS[len(shape)]) if dst is None else dst
    nisa.dma_transpose(nl.ndarray(target, dtype), source(shape, dtype), **options)


def test_a_dma_transpose_writes_to_any_partition(trn2):
    def kernel(given):
        target = nl.ndarray((24, 16), given.dtype)
        for start in (0, 8, 16):
            nisa.dma_transpose(target[start : start + 8], given)
        return store(target)

    given = random_values((16, 8), ml_dtypes.bfloat16)
    np.testing.assert_array_equal(trn2.outputs(kernel, given), np.tile(given.T, (3, 1)))


@pytest.mark.parametrize(("shape", "axes"), [((16, 8), (0, 1)), ((4, 4, 8), (1, 2, 0)), ((2, 2, 2, 2), (3, 2, 1, 0))])
def test_refuses_other_axes(trn2, refuses, shape, axes):
    trn2.attempt(lambda: turn(shape))
    with refuses(ArgumentError, "NKI101", f"{axes} for {shape}"):
        trn2.attempt(lambda: turn(shape, axes=axes))


def test_refuses_other_ranks(trn2, refuses):
    with refuses(ArgumentError, "NKI101", "(16,)"):
        trn2.attempt(lambda: nisa.dma_transpose(tile((16, 1), "bfloat16"), hbm((16,), "bfloat16")))


def test_refuses_other_shapes_types_and_memories(trn2, refuses):
    with refuses(ShapeError, "NKI102", "(16, 8) for (16, 8)"):
        trn2.attempt(lambda: turn(dst=(16, 8)))
    with refuses(DtypeError, "NKI103", "uint8"):
        trn2.attempt(lambda: turn(dtype="uint8"))
    with refuses(BufferRuleError, "NKI104", "src is in PSUM"):
        trn2.attempt(lambda: turn(source=psum))
    with refuses(BufferRuleError, "NKI104", "private_hbm"):
        trn2.attempt(lambda: nisa.dma_transpose(hbm((8, 16)), hbm((16, 8))))
    with refuses(DtypeError, "NKI103", "float32 and bfloat16"):
        trn2.attempt(lambda: nisa.dma_transpose(tile((8, 16)), hbm((16, 8), "bfloat16")))
    with refuses(ShapeError, "NKI102", "strides (1, 0)"):
        trn2.attempt(lambda: nisa.dma_transpose(tile((8, 1)).broadcast(1, 16), hbm((16, 8))))
    trn2.attempt(lambda: turn(source=tile, dtype="float32"))


@pytest.mark.parametrize("shape", [(8, 8), (32, 8), (3, 16, 8), (4, 3, 8), (16, 8)])
def test_hwdge_transposes_blocks_of_16_rows(trn2, refuses, shape):
    for good in ((16, 128), (4, 4, 8), (2, 3, 8, 8)):
        trn2.attempt(lambda good=good: turn(good, dge_mode=MODE.hwdge))
    dtype = "float32" if shape == (16, 8) else "bfloat16"
    with refuses(ShapeError, "NKI102", f"{dtype}{shape}"):
        trn2.attempt(lambda: turn(shape, dtype, dst=tuple(shape[a] for a in ORDERS[len(shape)]), dge_mode=MODE.hwdge))


def test_a_direct_transpose_is_not_left_to_software(trn2, refuses):
    for good in (MODE.unknown, MODE.none):
        trn2.attempt(lambda good=good: turn(dge_mode=good))
    with refuses(ArgumentError, "NKI101", "swdge"):
        trn2.attempt(lambda: turn(dge_mode=MODE.swdge))


def gather(rows=16, columns=8, indices=(16, 1), kind="uint32", dtype="bfloat16", **options):
    """One gathering transpose of zeros."""
    picked = hbm((40, columns), dtype).ap([[columns, rows], [1, columns]], vector_offset=tile(indices, kind))
    nisa.dma_transpose(nl.ndarray((columns, rows), dtype), picked, **options)


@pytest.mark.parametrize(
    ("arguments", "actual"),
    [
        ({"rows": 8, "indices": (16, 1)}, "(8, 8)"),
        ({"dtype": "float32"}, "float32"),
        ({"kind": "int32"}, "int32"),
        ({"indices": (24, 1)}, "(24, 1)"),
        ({"rows": 32, "indices": (16, 2)}, "(16, 2)"),
        ({"rows": 128, "indices": (128, 1, 1)}, "(128, 1, 1)"),
    ],
)
def test_refuses_a_gather_of_another_layout(trn2, refuses, arguments, actual):
    trn2.attempt(lambda: gather(columns=128))
    trn2.attempt(lambda: gather(rows=256, indices=(128, 2)))
    with refuses(ShapeError, "NKI102", actual):
        trn2.attempt(lambda: gather(**{"columns": 8, **arguments}))


def test_refuses_a_4d_gather_with_two_middle_dimensions(trn2, refuses):
    def body(a, b):
        picked = hbm((40, a, b, 8), "bfloat16").vector_select(0, tile((16, 1), "uint32"))
        nisa.dma_transpose(nl.ndarray((8, a, b, 16), "bfloat16"), picked)

    trn2.attempt(lambda: body(1, 3))
    with refuses(ShapeError, "NKI102", "(16, 2, 3, 8)"):
        trn2.attempt(lambda: body(2, 3))


def test_a_gather_is_swdge(trn2, refuses):
    assert trn2.attempt(gather)[-1].details["dge"] == "swdge"
    with refuses(ArgumentError, "NKI101", "hwdge"):
        trn2.attempt(lambda: gather(dge_mode=MODE.hwdge))


def test_skip_needs_a_gather(trn2, refuses):
    trn2.attempt(lambda: gather(oob_mode=SKIP))
    with refuses(ArgumentError, "NKI101", "static addresses"):
        trn2.attempt(lambda: turn(oob_mode=SKIP))


@pytest.mark.parametrize("rank", [2, 3, 4])
@pytest.mark.parametrize("outside", [(), (3, 7, 8, 15), tuple(range(16))])
def test_columns_of_rows_out_of_bounds_keep_what_they_hold(trn2, refuses, rank, outside):
    middle = (3, 1)[: rank - 2]
    table = random_values((40, *middle, 24), ml_dtypes.bfloat16)
    rows = np.random.default_rng(3).integers(0, 40, (16, 1), dtype=np.uint32)
    rows[list(outside)] = np.uint32(2**32 - 1)  # -1
    shape = tuple((16, *middle, 24)[axis] for axis in ORDERS[rank])

    def kernel(array, indices, mode):
        dst = nl.ndarray(shape, nl.bfloat16)
        nisa.memset(dst, 7)
        nisa.dma_transpose(dst, array.vector_select(0, nl.load(indices)), axes=ORDERS[rank], oob_mode=mode)
        return store(dst)

    wanted = table[np.minimum(rows[:, 0], 39)].transpose(ORDERS[rank]).copy()
    wanted[..., list(outside)] = 7
    for mode in (SKIP, SKIP.value):
        np.testing.assert_array_equal(trn2.outputs(kernel, table, rows, mode), wanted)
    if outside:
        with refuses(OutOfBounds, "NKI204"):
            trn2.outputs(kernel, table, rows, nisa.oob_mode.error)


def test_columns_that_a_gather_skipped_stay_unwritten(trn2, refuses):
    def kernel(array, indices):
        dst = nl.ndarray((24, 16), nl.bfloat16)
        nisa.dma_transpose(dst, array.vector_select(0, nl.load(indices)), oob_mode=SKIP)
        return store(nl.copy(dst))

    table, rows = random_values((40, 24), ml_dtypes.bfloat16), np.arange(16, dtype=np.uint32)[:, None]
    np.testing.assert_array_equal(trn2.outputs(kernel, table, rows), table[:16].T)
    with refuses(UninitializedRead, "NKI401", "(0, 5)"):
        trn2.outputs(kernel, table, np.where(rows == 5, 40, rows).astype(np.uint32))


def test_priority_needs_neuroncore_v4(trn2, trn3, refuses):
    trn3.attempt(lambda: turn(priority=1))
    with refuses(TargetError, "NKI106", "trn2"):
        trn2.attempt(lambda: turn(priority=1))
