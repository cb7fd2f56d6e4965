"""DMA transfers that complete late: the same bits, unless something looks without waiting."""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.device import hbm, random_values, store

import nkisim
import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import ArgumentError, DmaOrderError


def compare(kernel, *args, cores=1, **options):
    return nkisim.Simulator("trn2", cores, **options).compare_dma_orders(kernel, *args)


def at(byte, columns=8, dtype=nl.float32):
    return nl.ndarray((32, columns), dtype, buffer=nl.sbuf, address=(0, byte))


def shared(rows=2):
    return nl.ndarray((rows, 8), nl.float32, buffer=nl.shared_hbm)


def test_finds_a_read_through_another_tensor_at_the_address(refuses):
    def kernel(array, aliased):
        target = at(0)
        nisa.dma_copy(target, array)
        return store(at(0) if aliased else target)

    data = random_values((32, 8))
    assert compare(kernel, data, False).findings == []
    with refuses(DmaOrderError, "NKI407", "output[0, 0]", "nan", "test_late_dma.py"):
        compare(kernel, data, True)


def test_finds_a_transfer_that_overtakes_a_write_through_another_tensor():
    def kernel(array, aliased):
        first = at(0)
        nisa.dma_copy(first, array)
        nisa.memset(at(0) if aliased else first, 0)
        return store(first)

    codes = [[f.code for f in compare(kernel, random_values((32, 8)), x, report_only=True).findings] for x in (0, 1)]
    assert codes == [[], ["NKI405", "NKI407"]]


@pytest.mark.parametrize("named", [True, False])
def test_finds_a_read_of_the_other_core_without_a_barrier(named):
    def kernel(array):
        board, other, result = shared(), shared(), shared()
        core = nl.program_id()
        nisa.dma_copy(board[core : core + 1], nl.load(array[core : core + 1]))
        nisa.core_barrier(board if named else other, (0, 1))
        nisa.dma_copy(result[core : core + 1], nl.load(board[1 - core : 2 - core]))
        return result

    codes = [f.code for f in compare(kernel, random_values((2, 8)), cores=2, report_only=True).findings]
    assert codes == ([] if named else ["NKI403", "NKI407"])


def test_accepts_what_one_core_reads_back_itself():
    def kernel(array):
        board = shared()
        for _ in range(3):
            nisa.dma_copy(board, nl.load(array))
            values = nl.load(board)
            nisa.tensor_tensor(values, values, values, nl.add)
            nisa.dma_copy(array, values)
            nisa.dma_copy(board[0:1], nl.load(array[1:2]))
        return board, array

    assert compare(kernel, random_values((2, 8))).findings == []


def test_leaves_the_arguments_alone_and_compares_what_was_written_to_them(refuses):
    def kernel(array, aliased):
        target = at(0)
        nisa.dma_copy(target, nl.load(array))
        nisa.dma_copy(array, at(0) if aliased else target)

    data = random_values((32, 8))
    before = data.copy()
    compare(kernel, data, False)
    with refuses(DmaOrderError, "NKI407", "argument"):
        compare(kernel, data, True)
    np.testing.assert_array_equal(data, before)


def test_reports_a_run_that_only_fails_late(refuses):
    def kernel(table, array):
        ids = nl.ndarray((32, 1), nl.int32, buffer=nl.sbuf, address=(0, 0))
        nisa.dma_copy(ids, array)
        again = nl.ndarray((32, 1), nl.int32, buffer=nl.sbuf, address=(0, 0))
        return store(nl.load(table.ap([[8, 32], [1, 8]], vector_offset=again, indirect_dim=0)))

    table, ids = random_values((32, 8)), np.arange(32, dtype=np.int32).reshape(32, 1)
    with refuses(DmaOrderError, "NKI407", "only the run with late transfers fails", "NKI204"):
        compare(kernel, table, ids)


def test_a_late_run_returns_what_the_kernel_returns():
    @dataclass
    class Pair:
        first: Any
        scale: float = 2.0

    def kernel(pair):
        values = nl.load(pair.first)
        nisa.tensor_scalar(values, values, nl.multiply, pair.scale)
        nisa.dma_copy(pair.first, values)
        return store(values), {"copy": pair.first}

    pair = Pair(random_values((4, 8)))
    expected = pair.first * 2
    run = nkisim.Simulator("trn2", 2, dma="late", report_only=True).run(kernel, copy.deepcopy(pair))
    assert nkisim.Simulator("trn2", 1, dma="late").run(kernel, pair).findings == []
    np.testing.assert_array_equal(pair.first, expected)
    assert run.outputs[0].shape == (4, 8)


def test_gathers_scatters_and_transfers_that_overlap_complete_in_order():
    def kernel(array, ids):
        board, index = hbm((8, 8), buffer=nl.shared_hbm), nl.load(ids)
        rows = board.ap([[8, 4], [1, 8]], vector_offset=index, indirect_dim=0)
        values = nl.load(array)
        nisa.dma_copy(rows, values, oob_mode=nisa.oob_mode.skip)
        nisa.dma_copy(board[2:6], values)
        nisa.dma_compute(rows, [rows, values], nl.add, oob_mode=nisa.oob_mode.skip)
        return board

    ids = np.array([[3], [-1], [7], [2]], np.int32)
    assert compare(kernel, random_values((4, 8)), ids).findings == []


def test_refuses_an_unknown_order(refuses):
    with refuses(ArgumentError, "NKI101", "'sometimes'"):
        nkisim.Simulator("trn2", dma="sometimes")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("wrac"), st.integers(0, 3), st.integers(0, 6)), min_size=1, max_size=12))
def test_kernels_without_aliases_never_depend_on_the_order(steps):
    def kernel(array):
        board, tiles = hbm((8, 8), buffer=nl.shared_hbm), [at(32 * i) for i in range(4)]
        for one in tiles:
            nisa.memset(one, 0)
        for what, number, row in steps:
            one = tiles[number][0:2]
            if what == "w":
                nisa.dma_copy(board[row : row + 2], one)
            elif what == "r":
                nisa.dma_copy(one, board[row : row + 2])
            elif what == "a":
                nisa.dma_copy(one, array[row : row + 2])
            else:
                nisa.tensor_scalar(one, one, nl.add, 1.0)
        return board, [store(one) for one in tiles]

    data = random_values((8, 8))
    assert compare(kernel, data).findings == []
