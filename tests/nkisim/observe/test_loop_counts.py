"""Device loops that both cores run equally often, or not: a note."""

import pytest
from support.device import tile

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl


def notes(device, *counts, cores=2):
    """Findings of loops whose iterations are given for core 0 and core 1."""

    def kernel():
        for both in counts:
            nl.fori_loop(0, both[nl.program_id(0)], lambda _: nisa.memset(tile((1, 1)), 1.0))

    return [str(finding) for finding in device.run(kernel, cores=cores).findings]


@pytest.mark.parametrize("counts", [[(2, 2)], [(0, 0)], [(1, 1), (3, 3)]])
def test_accepts_loops_that_run_equally_often(trn2, counts):
    assert notes(trn2, *counts) == []


def test_accepts_any_count_on_one_core(trn2):
    assert notes(trn2, (3, 0), cores=1) == []


@pytest.mark.parametrize("counts", [(2, 3), (1, 0)])
def test_notes_loops_that_do_not_once_a_line(trn2, counts):
    (note,) = notes(trn2, counts, counts)
    assert note.startswith("NKI410: device loops run equally often on both cores")
    assert f"{counts[0]} iterations on core 0, {counts[1]} on core 1 (" in note
    assert "test_loop_counts.py" in note
