"""Row numbers of one scatter."""

import numpy as np
import pytest
from support.device import random_values

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import DuplicateRow


def board(array):
    copy = nl.ndarray(array.shape, nl.float32, buffer=nl.shared_hbm)
    nisa.dma_copy(copy, array)
    return copy


def rows_of(tensor, index):
    return tensor.ap([[8, 4], [1, 8]], vector_offset=index, indirect_dim=0)


def copying(array, ids):
    out = board(array)
    nisa.dma_copy(rows_of(out, nl.load(ids)), nl.load(array[0:4]), oob_mode=nisa.oob_mode.skip)
    return out


def adding(array, ids):
    out = board(array)
    rows = rows_of(out, nl.load(ids))
    nisa.dma_compute(rows, [rows, nl.load(array[0:4])], nl.add, oob_mode=nisa.oob_mode.skip)
    return out


def index(*rows):
    return np.array(rows, np.int32).reshape(-1, 1)


@pytest.mark.parametrize("scatter", [copying, adding])
def test_finds_a_row_written_twice(trn2, refuses, scatter):
    data = random_values((10, 8))
    trn2.run(scatter, data, index(3, 1, 9, 0))
    with refuses(DuplicateRow, "NKI404", "row 9", "positions [1, 3]"):
        trn2.run(scatter, data, index(3, 9, 1, 9))


@pytest.mark.parametrize("scatter", [copying, adding])
def test_accepts_repeated_indices_that_are_out_of_bounds(trn2, scatter):
    trn2.run(scatter, random_values((10, 8)), index(-1, 99, -1, 99))


def test_counts_positions_among_the_rows_in_bounds(trn2, refuses):
    with refuses(DuplicateRow, "NKI404", "row 2", "positions [0, 1] of the rows in bounds"):
        trn2.run(copying, random_values((10, 8)), index(-1, 2, 99, 2))


def test_a_gather_may_read_a_row_twice(trn2):
    def kernel(array, ids):
        nl.load(rows_of(array, nl.load(ids)))

    trn2.run(kernel, random_values((10, 8)), index(4, 4, 4, 4))


def test_reports_a_line_once(trn2):
    def kernel(array, ids):
        out = board(array)
        for _ in range(3):
            nisa.dma_copy(rows_of(out, nl.load(ids)), nl.load(array[0:4]))
        return out

    findings = trn2.run(kernel, random_values((10, 8)), index(4, 4, 4, 4), report_only=True).findings
    assert [f.code for f in findings] == ["NKI404"]
