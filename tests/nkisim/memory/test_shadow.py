"""The shadow: which bytes count as written, by what, in one state or in many."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.device import tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.dtypes import dtype_of
from nkisim.errors import Location
from nkisim.memory import (
    MATMUL,
    NEVER,
    NOT_COMPUTED,
    WRITTEN,
    ZEROED,
    Access,
    MemoryRegion,
    Storage,
    first_unwritten,
    is_its_own,
    lowest_state,
    own_states,
    resolve,
)
from nkisim.memory.shadow import Shadow

STORAGE = Storage(MemoryRegion.sbuf, 4, 3, 3, 0, "", 0, Location("kernel.py", 1))


def rows_from(first, count):
    return Access(STORAGE, dtype_of("uint8"), 3 * first, (count, 3), (3, 1))


def scattered(rows):
    return Access(STORAGE, dtype_of("uint8"), 0, (len(rows), 3), (3, 1), np.array(rows))


def test_a_memory_in_one_state_is_kept_as_that_state():
    shadow = Shadow(12)
    assert shadow.uniform == NEVER
    shadow.mark(rows_from(0, 3), WRITTEN)
    assert shadow.uniform is None
    shadow.mark(rows_from(2, 2), WRITTEN)
    assert shadow.uniform == WRITTEN


def test_matmul_results_and_other_writes_are_told_apart():
    shadow = Shadow(12)
    shadow.mark(rows_from(0, 2), MATMUL)
    shadow.mark(rows_from(2, 2), WRITTEN)
    assert shadow.uniform is None
    assert shadow.by_byte().tolist() == [MATMUL] * 6 + [WRITTEN] * 6
    shadow.mark(rows_from(0, 4), MATMUL)
    assert shadow.uniform == MATMUL


def test_whole_rows_of_a_tile_cost_one_number_each():
    shadow = Shadow(12)
    shadow.mark(rows_from(1, 1), WRITTEN)
    assert shadow.states(rows_from(0, 4)).size == 4


MARKS = st.tuples(
    st.lists(st.integers(0, 3), min_size=1, max_size=5) | st.tuples(st.integers(0, 3), st.integers(1, 4)),
    st.sampled_from([WRITTEN, NOT_COMPUTED, ZEROED, MATMUL]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(MARKS, max_size=12))
def test_a_shadow_holds_the_last_state_of_every_byte_whatever_was_marked_when(marks):
    shadow, expected = Shadow(12), np.full((4, 3), NEVER)
    for where, state in marks:
        if isinstance(where, list):
            shadow.mark(scattered(where), state)
            expected[where] = state
        else:
            first, last = where[0], min(4, where[0] + where[1])
            shadow.mark(rows_from(first, last - first), state)
            expected[first:last] = state
        assert shadow.is_complete == (NEVER not in expected)
        assert shadow.highest >= expected.max()
        assert shadow.uniform in (None, *(set(expected.flat) if len(set(expected.flat)) == 1 else ()))
    assert shadow.by_byte().tolist() == expected.reshape(-1).tolist()


def test_psum_knows_which_of_the_tensors_at_an_address_wrote_last(trn2):
    def body():
        first = nl.ndarray((4, 8), "float32", buffer=nl.psum, address=(0, 0))
        second = nl.ndarray((4, 4), "bfloat16", buffer=nl.psum, address=(0, 8))  # columns 2, 3 of first
        nisa.memset(first, 1)
        assert is_its_own(resolve(first)).all()
        nisa.memset(second[0:2, 0:2], 1)
        assert not is_its_own(resolve(first)).all()
        assert not is_its_own(resolve(first[:, 2:3])).all()
        assert is_its_own(resolve(first[:, 3:8])).all()
        assert is_its_own(resolve(first[2:4])).all()
        assert is_its_own(resolve(second[0:2, 0:2])).all()
        assert not is_its_own(resolve(second[0:2])).all()
        states = own_states(resolve(first[:, 2:4]))
        assert states.tolist() == [[NEVER, WRITTEN]] * 2 + [[WRITTEN, WRITTEN]] * 2

    trn2.attempt(body)


@pytest.mark.parametrize(
    ("buffer", "value", "state"), [("psum", 0, ZEROED), ("psum", 1, WRITTEN), ("sbuf", 0, WRITTEN)]
)
def test_zeros_in_psum_are_told_from_other_values(trn2, buffer, value, state):
    def body():
        t = nl.ndarray((4, 8), "float32", buffer=getattr(nl, buffer))
        nisa.memset(t, value)
        assert lowest_state(resolve(t)) == state

    trn2.attempt(body)


@pytest.mark.parametrize("dtype", ["uint8", "bfloat16", "float32", "float8_e4m3fn_x4"])
def test_the_first_unwritten_element_is_named_in_elements(trn2, dtype):
    def body():
        t = nl.ndarray((4, 3, 5), dtype, buffer=nl.sbuf)
        assert first_unwritten(resolve(t)) == (0, 0, 0)
        nisa.memset(t[:, 0:2], 0)
        nisa.memset(t[0:2, 2, 0:4], 0)
        assert first_unwritten(resolve(t)) == (0, 2, 4)
        assert first_unwritten(resolve(t[:, :, ::2])) == (0, 2, 2)
        assert first_unwritten(resolve(t.permute((0, 2, 1)))) == (0, 4, 2)
        assert first_unwritten(resolve(t[2:4, 2])) == (0, 0)
        assert first_unwritten(resolve(t[0:2, 2, 0:4])) is None
        nisa.memset(t[:, 2], 0)
        assert first_unwritten(resolve(t)) is None

    trn2.attempt(body)


def test_unwritten_bytes_of_an_element_make_it_unwritten(trn2):
    def body():
        t = nl.ndarray((1, 3), nl.float32, buffer=nl.sbuf)
        nisa.memset(t.view(nl.uint8)[:, 0:7], 0)
        assert first_unwritten(resolve(t)) == (0, 1)
        assert first_unwritten(resolve(t[:, 1:2].expand_dim(1).broadcast(1, 4))) == (0, 0, 0)

    trn2.attempt(body)


def test_a_repeated_element_does_not_count_for_its_neighbours(trn2):
    def body():
        t = nl.ndarray((16,), nl.float32, buffer=nl.private_hbm)
        nisa.dma_copy(t.ap([[4, 4], [1, 4]]), tile((4, 4)))
        assert first_unwritten(resolve(t)) is None
        u = nl.ndarray((4, 4), nl.float32, buffer=nl.private_hbm)
        nisa.dma_copy(u.permute((1, 0)), tile((4, 4)))
        assert first_unwritten(resolve(u)) is None

    trn2.attempt(body)


def test_a_scatter_writes_each_of_its_rows(trn2):
    def body():
        t, index = nl.ndarray((4, 6), nl.float32, buffer=nl.private_hbm), tile((3, 1), "int32")
        nisa.iota(index, [[1, 1]], channel_multiplier=1)
        nisa.dma_copy(t.vector_select(0, index), tile((3, 6)))
        assert first_unwritten(resolve(t)) == (3, 0)
        nisa.iota(index, [[1, 1]], offset=1, channel_multiplier=1)
        nisa.dma_copy(t.vector_select(0, index), tile((3, 6)))
        assert first_unwritten(resolve(t)) is None

    trn2.attempt(body)


@pytest.mark.parametrize(
    ("byte", "number", "integer"), [(None, np.nan, -1), ("0", 0, 0), ("0x3F", 0.747059, 0x3F3F3F3F)]
)
def test_unwritten_memory_has_a_defined_value(trn2, monkeypatch, byte, number, integer):
    if byte is not None:
        monkeypatch.setenv("NKISIM_UNWRITTEN_BYTE", byte)

    def kernel():
        out = nl.ndarray((4, 6), nl.float32, buffer=nl.shared_hbm)
        whole = nl.ndarray((4, 6), nl.int32, buffer=nl.shared_hbm)
        nisa.dma_copy(out[:, 0:3], tile((4, 3)))
        return out, whole

    run = trn2.run(kernel, report_only=True)
    out, whole = run.outputs
    np.testing.assert_allclose(out[:, 3:], number, rtol=1e-6)
    assert not out[:, :3].any()
    assert (whole == integer).all()
    assert {finding.error.code for finding in run.findings} == {"NKI401"}


def test_a_partly_accumulated_region_shows_its_lowest_state(trn2):
    def body():
        dst = nl.ndarray((4, 8), nl.float32, buffer=nl.psum)
        assert lowest_state(resolve(dst)) == NEVER
        nisa.nc_matmul(dst[:, 0:4], tile((2, 4)), tile((2, 4)))
        assert lowest_state(resolve(dst)) == NEVER
        assert lowest_state(resolve(dst[:, 0:4])) == MATMUL
        nisa.memset(dst[:, 4:8], 0)
        assert lowest_state(resolve(dst)) == ZEROED
        nisa.memset(dst[:, 4:8], 1)
        assert lowest_state(resolve(dst)) == WRITTEN

    trn2.attempt(body)
