""".ap(): explicit patterns over the storage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided
from support.device import Device, hbm, random_values, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import ArgumentError, OutOfBounds, PartitionError, ViewError
from nkisim.memory import read, resolve


def strided(array, pattern, offset):
    """The oracle: the same pattern over the flattened array."""
    flat = np.ascontiguousarray(array).reshape(-1)
    steps, counts = [s for s, _ in pattern], [n for _, n in pattern]
    return as_strided(flat[offset:], counts, [s * flat.itemsize for s in steps])


@settings(max_examples=150, deadline=None)
@given(
    pattern=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 4)), min_size=1, max_size=5),
    offset=st.integers(0, 20),
)
def test_any_pattern_inside_hbm_reads_what_it_says(pattern, offset):
    data = np.arange(20 + 9 * 3 * 5 + 1, dtype=np.int32)

    def kernel(array):
        view = array.ap(pattern, offset=offset)
        assert view.shape == tuple(n for _, n in pattern)
        np.testing.assert_array_equal(read(resolve(view)), strided(data, pattern, offset))

    Device("trn2").run(kernel, data)


@pytest.mark.parametrize(
    ("pattern", "offset"),
    [
        ([[16, 16], [1, 8]], 8),
        ([[16, 16], [2, 8]], 0),
        ([[16, 8], [0, 3], [4, 4]], 35),
        ([[16, 1], [1, 16]], 16 * 15),
        ([[16, 4], [-1, 16]], 15),
        ([(16, 3), (0, 2), (0, 2), (5, 3)], 5),
    ],
)
def test_patterns_of_sbuf(trn2, pattern, offset):
    data = random_values((16, 16))

    def kernel(array):
        view = nl.load(array).ap(pattern, offset=offset)
        flat = data.reshape(-1)
        grid = np.indices([n for _, n in pattern]).reshape(len(pattern), -1)
        expected = flat[offset + sum(s * i for (s, _), i in zip(pattern, grid, strict=True))]
        np.testing.assert_array_equal(read(resolve(view)).reshape(-1), expected)

    trn2.run(kernel, data)


def test_a_pattern_replaces_the_pattern_of_the_view_but_adds_to_its_offset(trn2):
    def body():
        t = tile((128, 256))
        u = t.slice(1, 8, 24)
        assert (u.get_pattern(), u.offset) == ([[256, 128], [1, 16]], 8)
        v = t.ap([[256, 128], [1, 16]], offset=8)
        assert v.layout == u.layout
        assert t.ap([[256, 128], [2, 128]]).ap([[256, 128], [1, 64]]).layout == t.ap([[256, 128], [1, 64]]).layout
        assert u.ap([[256, 128], [1, 4]]).offset == 8
        assert u.ap([[256, 128], [1, 4]], offset=3).offset == 11

    trn2.attempt(body)


@pytest.mark.parametrize("width", [16, 256])
def test_the_partitions_of_a_narrow_view_may_be_apart_by_its_width_or_by_that_of_its_tensor(trn2, width):
    data = random_values((128, 256), np.float32)

    def kernel(array):
        half = nl.load(array)[:, 16:32]
        np.testing.assert_array_equal(read(resolve(half.ap([[width, 128], [2, 4]], offset=3))), data[:, 19:27:2])

    trn2.run(kernel, data)


@pytest.mark.parametrize("width", [15, 32, 512])
def test_no_other_distance_of_partitions_can_be_expressed(trn2, width):
    with pytest.raises(ViewError, match="partitions of one access are adjacent"):
        trn2.attempt(lambda: nisa.memset(tile((128, 256))[:, 16:32].ap([[width, 128], [1, 4]]), 0.0))


def test_a_pattern_may_reinterpret_the_bits(trn2):
    data = random_values((8, 6), np.int32)

    def kernel(array):
        t = nl.load(array)
        half = t.ap([[12, 8], [1, 12]], offset=0, dtype=nl.uint16)
        np.testing.assert_array_equal(read(resolve(half)), data.view(np.uint16))
        odd = t[:, 2:4].ap([[24, 8], [2, 4]], offset=1, dtype=nl.uint8)
        np.testing.assert_array_equal(read(resolve(odd)), data.view(np.uint8)[:, 9:16:2])

    trn2.run(kernel, data)


def test_a_runtime_offset_of_a_reinterpreted_pattern_counts_in_the_rows_of_the_tensor(trn2):
    data = random_values((8, 6), np.int32)

    def kernel(array):
        row = array.ap([[24, 2], [1, 24]], scalar_offset=nisa.register_alloc(3), dtype=nl.uint8)
        np.testing.assert_array_equal(read(resolve(row)), data.view(np.uint8)[3:5])

    trn2.run(kernel, data)


def test_refuses_a_pattern_that_runs_backwards_out_of_its_partition(trn2, refuses):
    def body(offset):
        nisa.dma_copy(hbm((8, 4), "uint8"), tile((8, 16), "uint8").ap([[16, 8], [-1, 4]], offset=offset))

    trn2.attempt(lambda: body(3))
    with refuses(OutOfBounds, "NKI204", "bytes -1..3"):
        trn2.attempt(lambda: body(2))


def test_refuses_a_reinterpreted_pattern_that_starts_between_elements(trn2, refuses):
    trn2.attempt(lambda: tile((8, 16), "uint8")[:, 4:].ap([[4, 8], [1, 2]], dtype=nl.float32))
    with refuses(ViewError, "NKI201", "byte 3"):
        trn2.attempt(lambda: tile((8, 16), "uint8")[:, 3:].ap([[4, 8], [1, 2]], dtype=nl.float32))


def test_refuses_to_stride_over_partitions(trn2, refuses):
    def body(step):
        nisa.tensor_copy(tile((8, 32)), tile((16, 32)).ap([[step, 8], [1, 32]]))

    trn2.attempt(lambda: body(32))
    with refuses(ViewError, "NKI201", "64 in NkiTensor"):
        trn2.attempt(lambda: body(64))


@pytest.mark.parametrize(
    ("pattern", "offset", "error", "code", "actual"),
    [
        ([[32, 8], [1, 32]], 1, OutOfBounds, "NKI204", "bytes 4..132"),
        ([[32, 8], [2, 17]], 0, OutOfBounds, "NKI204", "bytes 0..132"),
        ([[32, 8], [-1, 4]], 2, OutOfBounds, "NKI204", "bytes -4..12"),
        ([[32, 16], [1, 8]], 32, PartitionError, "NKI202", "partitions 1..16"),
        ([[32, 16], [1, 8]], -32, PartitionError, "NKI202", "partitions -1..14"),
    ],
)
def test_refuses_a_pattern_that_leaves_its_partitions(trn2, refuses, pattern, offset, error, code, actual):
    def body(pattern, offset):
        source = tile((16, 32)).ap(pattern, offset=offset)
        nisa.dma_copy(hbm(source.shape), source)

    trn2.attempt(lambda: body([[32, 16], [1, 32]], 0))
    with refuses(error, code, actual):
        trn2.attempt(lambda: body(pattern, offset))


@pytest.mark.parametrize(
    ("pattern", "offset", "actual"),
    [([[1, 65]], 0, "bytes 0..260"), ([[1, 4]], 61, "bytes 244..260"), ([[-2, 4]], 5, "bytes -4..24")],
)
def test_refuses_a_pattern_that_leaves_hbm(trn2, refuses, pattern, offset, actual):
    def body(pattern, offset):
        source = hbm((64,)).ap(pattern, offset=offset)
        nisa.dma_copy(hbm(source.shape), source)

    trn2.attempt(lambda: body([[-1, 64]], 63))
    with refuses(OutOfBounds, "NKI204", actual):
        trn2.attempt(lambda: body(pattern, offset))


@pytest.mark.parametrize("pattern", [[], [[32, 8], [1, 0]], [[32, 8, 1]]])
def test_refuses_a_malformed_pattern(trn2, refuses, pattern):
    with refuses(ArgumentError, "NKI101", str(pattern)):
        trn2.attempt(lambda: tile((16, 32)).ap(pattern))


def test_refuses_two_kinds_of_runtime_offset(trn2, refuses):
    def body():
        index = tile((8, 1), "int32")
        return hbm((16, 32)).ap([[32, 8], [1, 32]], scalar_offset=index[0:1], vector_offset=index)

    with refuses(ArgumentError, "NKI101", "both given"):
        trn2.attempt(body)


def test_refuses_an_indirect_dimension_that_does_not_exist_or_is_not_the_first_of_a_gather(trn2, refuses):
    def body(dim):
        return hbm((16, 32)).ap([[32, 8], [1, 8]], vector_offset=tile((8, 1), "int32"), indirect_dim=dim)

    trn2.attempt(lambda: body(0))
    with refuses(ViewError, "NKI201", "indirect_dim=1"):
        trn2.attempt(lambda: body(1))
    with refuses(ViewError, "NKI201", "dim 2 of shape (16, 32)"):
        trn2.attempt(lambda: body(2))
