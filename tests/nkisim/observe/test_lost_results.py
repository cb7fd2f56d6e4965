"""Matmul results that are replaced before anything reads them."""

import pytest
from support.device import store, tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import LostResult


def psum(columns=8, **options):
    return nl.ndarray((8, columns), nl.float32, buffer=nl.psum, **options)


def multiply(dst, accumulate=None):
    nisa.nc_matmul(dst, tile((8, 8)), tile((8, dst.shape[1])), accumulate=accumulate)


def read(dst):
    nisa.tensor_copy(tile(dst.shape), dst)


def test_finds_a_group_that_a_new_group_overwrites_unread(trn2, refuses):
    def body(flag):
        dst = psum()
        multiply(dst)
        multiply(dst, accumulate=flag)
        read(dst)

    trn2.attempt(lambda: body(None))
    trn2.attempt(lambda: body(True))
    with refuses(LostResult, "NKI406", "nc_matmul overwrites", "the matmul at", "psum tensor"):
        trn2.attempt(lambda: body(False))


def test_accepts_a_tile_that_is_read_between_its_groups(trn2):
    def body():
        dst = psum()
        for _ in range(3):
            multiply(dst, accumulate=False)
            multiply(dst, accumulate=True)
            read(dst)

    trn2.attempt(body)


def test_accepts_a_read_in_the_middle_of_a_group(trn2):
    def body():
        dst = psum()
        multiply(dst)
        read(dst)
        multiply(dst)
        read(dst)

    trn2.attempt(body)


@pytest.mark.parametrize("flag", [None, True])
def test_notes_a_sum_that_goes_on_after_it_was_read(trn2, flag):
    def kernel(reads, flag):
        dst = psum()
        multiply(dst)
        if reads:
            read(dst)
        multiply(dst, accumulate=flag)
        read(dst)
        return store(tile((1, 1)))

    assert trn2.run(kernel, False, flag).findings == []
    assert trn2.run(kernel, True, False).findings == []
    (note,) = trn2.run(kernel, True, flag).findings
    assert note.code == "NKI410"
    assert "after it was read" in str(note)


def test_finds_what_was_added_after_the_last_read(trn2, refuses):
    def body(reads):
        dst = psum()
        multiply(dst)
        read(dst)
        multiply(dst)
        if reads:
            read(dst)
        multiply(dst, accumulate=False)

    trn2.attempt(lambda: body(True))
    with refuses(LostResult, "NKI406"):
        trn2.attempt(lambda: body(False))


def test_reading_a_part_is_enough(trn2):
    def body():
        dst = psum()
        for _ in range(2):
            multiply(dst, accumulate=False)
            read(dst[:, 0:1])

    trn2.attempt(body)


def test_parts_of_one_tile_are_separate(trn2, refuses):
    def body(read_columns):
        dst = psum(16)
        for _ in range(2):
            multiply(dst[:, 0:8], accumulate=False)
            multiply(dst[:, 8:16], accumulate=False)
            read(dst[:, 0:read_columns])

    trn2.attempt(lambda: body(16))
    with refuses(LostResult, "NKI406"):
        trn2.attempt(lambda: body(8))


@pytest.mark.parametrize("engine", [nisa.engine.tensor, nisa.engine.vector])
def test_transposes_count_on_the_tensor_engine(trn2, refuses, engine):
    def body():
        dst = psum() if engine is nisa.engine.tensor else tile((8, 8))
        nisa.nc_transpose(dst, tile((8, 8)), engine=engine)
        nisa.nc_transpose(dst, tile((8, 8)), engine=engine)

    if engine is nisa.engine.vector:
        trn2.attempt(body)
    else:
        with refuses(LostResult, "NKI406", "nc_transpose"):
            trn2.attempt(body)


def test_follows_addresses_not_tensors(trn2, refuses):
    def body(second):
        multiply(psum(address=(0, 0)))
        multiply(psum(address=(0, second)))

    trn2.attempt(lambda: body(2048))
    with refuses(LostResult, "NKI406"):
        trn2.attempt(lambda: body(0))


def test_a_memset_starts_afresh(trn2):
    def body():
        dst = psum()
        multiply(dst)
        nisa.memset(dst, 0)
        multiply(dst, accumulate=False)
        nisa.tensor_copy(result := tile((8, 8)), dst)
        store(result)

    trn2.attempt(body)


def test_an_overlapping_window_goes_on_with_what_it_overlaps_of_its_tensor_only(trn2, refuses):
    def body(other_address):
        dst, other = psum(16, address=(0, 0)), psum(address=(0, other_address))
        multiply(other)
        multiply(dst[:, 0:8])
        multiply(dst[:, 4:16])
        read(dst)

    trn2.attempt(lambda: body(2048))
    with refuses(LostResult, "NKI406"):
        trn2.attempt(lambda: body(32))
