"""Which bytes an access touches, against a list of them."""

import itertools
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nkisim.dtypes import dtype_of
from nkisim.errors import Location
from nkisim.memory import Access, MemoryRegion, Storage
from nkisim.memory.byte_map import ByteMap
from nkisim.memory.footprint import footprint
from nkisim.observe.common_bytes import first_common_byte

SIZE = 4096
STORAGE = Storage(MemoryRegion.shared_hbm, 1, SIZE, SIZE, 0, "", None, Location("kernel.py", 1))

TILE = Storage(MemoryRegion.sbuf, 8, 48, 48, 0, "", 0, Location("kernel.py", 1))


def access_to(start, shape, strides, itemsize=4, rows=None):
    dtype = dtype_of({1: "uint8", 2: "bfloat16", 4: "float32"}[itemsize])
    return Access(STORAGE, dtype, start, shape, strides, None if rows is None else np.array(rows, np.int64))


def bytes_of(access):
    """All of them, one by one."""
    counts = [range(n) for n in access.shape]
    if access.rows is not None:
        counts[0] = access.rows.tolist()
    starts = (
        access.start + sum(i * s for i, s in zip(at, access.strides, strict=True)) for at in itertools.product(*counts)
    )
    return {start + k for start in starts for k in range(access.dtype.itemsize)}


@st.composite
def accesses(draw):
    """Small patterns anywhere in the memory: steps of any size and sign, broadcasts, overlaps, gathers."""
    itemsize = draw(st.sampled_from([1, 2, 4]))
    rank = draw(st.integers(1, 3))
    shape = [draw(st.integers(1, 5)) for _ in range(rank)]
    strides = [draw(st.integers(-20, 40)) * itemsize for _ in range(rank)]
    rows = None
    if draw(st.booleans()):
        strides[0] = abs(strides[0])
        rows = draw(st.lists(st.integers(0, 9), min_size=0, max_size=6))
        shape[0] = len(rows)
    start = draw(st.integers(0, 60)) * itemsize + 1024
    return access_to(start, tuple(shape), tuple(strides), itemsize, rows)


@settings(max_examples=300, deadline=None)
@given(accesses(), accesses())
def test_two_accesses_share_the_bytes_that_are_in_both_lists(a, b):
    common = bytes_of(a) & bytes_of(b)
    assert first_common_byte(a, b) == (min(common) if common else None)


@st.composite
def tiles(draw):
    """Adjacent partitions of a tile in SBUF, 48 bytes each: parts of them, all of them, some with gaps."""
    shape = (draw(st.integers(1, 4)), draw(st.integers(1, 12)))
    step = draw(st.sampled_from([1, 1, 2]))
    byte = 4 * draw(st.integers(0, 12 - shape[1]))
    start = 48 * draw(st.integers(0, 4)) + byte
    columns = (shape[0], -(-shape[1] // step))
    return Access(TILE, dtype_of("float32"), start, columns, (48, 4 * step))


@settings(max_examples=500, deadline=None)
@given(tiles(), tiles())
def test_tiles_share_the_bytes_that_are_in_both_lists(a, b):
    common = bytes_of(a) & bytes_of(b)
    assert first_common_byte(a, b) == (min(common) if common else None)


@settings(max_examples=200, deadline=None)
@given(accesses())
def test_the_bounds_are_the_first_and_last_byte(access):
    found, touched = footprint(access), bytes_of(access)
    assert (found is None) == (not touched)
    if found is not None:
        assert found.bounds == (min(touched), max(touched) + 1)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(accesses(), st.integers(1, 7)), min_size=1, max_size=6), accesses())
def test_a_byte_map_holds_one_number_a_byte_whatever_the_order_of_sizes(written, looked_at):
    numbers, expected = ByteMap(SIZE), np.zeros(SIZE, np.uint8)
    for access, number in written:
        numbers.put(access, number)
        expected[sorted(bytes_of(access))] = number
    touched = sorted(bytes_of(looked_at))
    assert set(numbers.get(looked_at).reshape(-1).tolist()) == set(expected[touched].tolist())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(accesses(), st.sampled_from([1, 2, 4, 8])), min_size=1, max_size=6), accesses())
def test_bits_of_a_byte_map_add_up(included, looked_at):
    numbers, expected = ByteMap(SIZE), np.zeros(SIZE, np.uint8)
    for access, bits in included:
        numbers.include(access, bits)
        expected[sorted(bytes_of(access))] |= bits
    touched = sorted(bytes_of(looked_at))
    assert set(numbers.get(looked_at).reshape(-1).tolist()) == set(expected[touched].tolist())


def test_rows_touched_whole_are_one_unit_each():
    rows = footprint(access_to(0, (3, 64), (256, 4), rows=[4, 1, 7]))
    assert rows is not None
    assert (rows.run, rows.pitch, rows.unit, rows.dims) == (256, 256, 256, ())


def test_interleaved_slabs_share_nothing():
    slab = [access_to(offset, (8, 16), (128, 4)) for offset in (0, 64)]
    assert first_common_byte(*slab) is None
    assert math.gcd(footprint(slab[0]).unit, footprint(slab[1]).unit) == 64
