"""Both cores at the same bytes of shared HBM: what needs a barrier, and what does not."""

import numpy as np
import pytest
from support.device import hbm, random_values, tile

import nkisim
import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import DataRace
from nkisim.observe import Note

ROWS, COLUMNS = 8, 16


def shared(rows=ROWS, columns=COLUMNS, name=""):
    return nl.ndarray((rows, columns), nl.float32, buffer=nl.shared_hbm, name=name)


def barrier(tensor):
    nisa.core_barrier(tensor, (0, 1))


def exchange():
    a, other = tile((4, 4)), 1 - nl.program_id()
    nisa.sendrecv(a, a, other, other, 0)


def put(view):
    nisa.dma_copy(view, tile(view.shape))


def fill(view, value):
    nisa.memset(values := tile(view.shape), value)
    nisa.dma_copy(view, values)


def put_own(view):
    fill(view, nl.program_id())


def get(view):
    nl.load(view)


def on(core, action, view):
    if nl.program_id() == core:
        action(view)


# Conflicts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("writer", [0, 1])
def test_finds_a_write_that_the_other_core_reads_without_a_barrier(trn2, refuses, writer):
    def body(between):
        board = shared(name="board")
        on(0, put, board)
        barrier(board)
        on(writer, put, board[writer : writer + 1])
        between(board)
        on(1 - writer, get, board[writer : writer + 1])

    trn2.attempt(lambda: body(barrier), cores=2)
    with refuses(DataRace, "NKI403", f"core {writer} writes", f"core {1 - writer} reads", "'board'"):
        trn2.attempt(lambda: body(lambda board: None), cores=2)


def test_finds_a_read_that_the_other_core_overwrites(trn2, refuses):
    def body(between):
        board = shared()
        on(0, put, board)
        barrier(board)
        on(1, get, board[3:5])
        between(board)
        on(0, put, board[4:6])

    trn2.attempt(lambda: body(barrier), cores=2)
    with refuses(DataRace, "NKI403", "core 1 reads", "core 0 writes", f"byte {4 * COLUMNS * 4} "):
        trn2.attempt(lambda: body(lambda board: None), cores=2)


def test_finds_two_writes_of_different_values(trn2, refuses):
    trn2.attempt(lambda: on(1, put_own, shared()), cores=2)
    with refuses(DataRace, "NKI403", "core 0 writes", "core 1 writes"):
        trn2.attempt(lambda: put_own(shared()), cores=2)


# The same value -------------------------------------------------------------------------------------------------------


def findings(trn2, body, **options):
    return trn2.run(lambda: body(), cores=2, **options).findings


def test_notes_two_writes_of_the_same_value(trn2):
    (note,) = findings(trn2, lambda: put(shared(name="board")))
    assert isinstance(note, Note)
    assert note.code == "NKI403"
    assert "the same" in str(note)
    assert "'board'" in str(note)


def test_notes_the_same_value_in_other_parts_and_of_not_a_number(trn2):
    def body():
        board, values = shared(), tile((ROWS, COLUMNS))
        nisa.memset(values, float("nan"))
        if nl.program_id() == 0:
            nisa.dma_copy(board, values)
        else:
            for row in range(ROWS):
                nisa.dma_copy(board[row : row + 1], values[0:1])

    assert [type(found) for found in findings(trn2, body)] == [Note]


def test_a_core_may_read_what_both_wrote(trn2):
    def body():
        board = shared()
        put(board)
        get(board)
        put(board)
        get(board[1:2])

    assert {type(found) for found in findings(trn2, body)} == {Note}


def test_finds_a_read_before_the_same_value_is_written(trn2, refuses):
    def kernel(array):
        get(array)
        put(array)

    with refuses(DataRace, "NKI403", "core 0 writes", "core 1 reads"):
        trn2.run(kernel, np.zeros((4, 4), np.float32), cores=2)


def test_finds_the_same_value_where_one_core_wrote_another_before(trn2, refuses):
    def body(core):
        board = shared()
        if nl.program_id() == core:
            fill(board, 1)
        fill(board, 2)

    with refuses(DataRace, "NKI403", "core 1 writes"):
        trn2.attempt(lambda: body(0), cores=2)
    with refuses(DataRace, "NKI403", "core 1 writes"):
        trn2.attempt(lambda: body(1), cores=2)


def test_without_numerics_no_two_values_are_known_to_be_the_same():
    def kernel(array):
        board = shared()
        nisa.dma_copy(board, nl.load(array))
        return board

    data = np.ones((ROWS, COLUMNS), np.float32)
    assert [type(f) for f in nkisim.Simulator("trn2", 2).run(kernel, data).findings] == [Note]
    with pytest.raises(DataRace):
        nkisim.Simulator("trn2", 2, numerics=False).run(kernel, data)


# Other conflicts ------------------------------------------------------------------------------------------------------


def test_names_the_kernel_lines_of_both_accesses(trn2):
    def kernel():
        board = shared()
        if nl.program_id() == 0:
            put(board)
        else:
            get(board)

    (finding,) = trn2.run(kernel, cores=2, report_only=True).findings
    lines = {part.split(")")[0].rsplit(":", 1)[1] for part in str(finding).split("test_races.py")[1:] if ":" in part}
    assert len(lines) >= 2


def test_finds_a_race_on_an_argument(trn2, refuses):
    def kernel(array, racy):
        core = nl.program_id()
        on(0, put, array[0:1])
        if not racy:
            barrier(array)
        get(array[0:1] if core else array[1:2])

    trn2.run(kernel, random_values((2, 4)), False, cores=2)
    with refuses(DataRace, "NKI403", "'array'"):
        trn2.run(kernel, random_values((2, 4)), True, cores=2)


def test_a_barrier_for_another_tensor_orders_nothing(trn2, refuses):
    def body(named):
        board, other = shared(), shared()
        on(0, put, board)
        barrier(other if named == "other" else board)
        on(1, get, board)

    trn2.attempt(lambda: body("board"), cores=2)
    with refuses(DataRace, "NKI403", "core 0 writes"):
        trn2.attempt(lambda: body("other"), cores=2)


def test_an_exchange_orders_both_cores(trn2):
    def body():
        board = shared()
        on(0, put, board)
        exchange()
        on(1, put, board)

    trn2.attempt(body, cores=2)


def test_a_barrier_orders_what_comes_before_it_only(trn2, refuses):
    def body():
        board = shared()
        on(0, put, board)
        barrier(board)
        get(board)
        on(1, put, board[7:8])

    with refuses(DataRace, "NKI403", "core 0 reads", "core 1 writes"):
        trn2.attempt(body, cores=2)


def test_reports_a_pair_of_lines_once_and_goes_on(trn2):
    def kernel():
        board, tiles = shared(), tile((ROWS, COLUMNS))
        nisa.memset(tiles, nl.program_id())
        for row in range(ROWS):
            nisa.dma_copy(board[row : row + 1], tiles[0:1])
        nisa.dma_copy(board, tiles)

    findings = trn2.run(kernel, cores=2, report_only=True).findings
    assert len(findings) == len({str(finding) for finding in findings}) == 2


# No conflicts ---------------------------------------------------------------------------------------------------------


def test_accepts_disjoint_rows_of_one_tensor_on_both_cores(trn2):
    def body():
        board, core = shared(), nl.program_id()
        for row in range(core, ROWS, 2):
            put(board[row : row + 1])
            get(board[row : row + 1])

    trn2.attempt(body, cores=2)


def test_accepts_interleaved_slabs_and_finds_one_column_too_many(trn2, refuses):
    def body(columns):
        slabs = nl.ndarray((ROWS, 2, COLUMNS), nl.float32, buffer=nl.shared_hbm)
        mine = slabs.ap([[2 * COLUMNS, ROWS], [1, columns]], offset=nl.program_id() * COLUMNS)
        put(mine)
        get(mine)

    trn2.attempt(lambda: body(COLUMNS), cores=2)
    with refuses(DataRace, "NKI403", f"first at byte {COLUMNS * 4} "):
        trn2.attempt(lambda: body(COLUMNS + 1) if nl.program_id() == 0 else body(COLUMNS), cores=2)


def test_accepts_reads_of_the_same_bytes(trn2):
    def kernel(array):
        get(array)
        get(array[1:])

    trn2.run(kernel, random_values((4, 4)), cores=2)


def test_accepts_private_memory_and_one_core(trn2):
    trn2.attempt(lambda: put(hbm((4, 4))), cores=2)
    trn2.attempt(lambda: [put(shared()), get(tile((1, 1)))][:0], cores=1)


def scattering(rows_of_core):
    def kernel(*ids):
        core = nl.program_id()
        board, values = shared(), tile((4, COLUMNS))
        index = nl.load(ids[core])
        rows = board.ap([[COLUMNS, 4], [1, COLUMNS]], vector_offset=index, indirect_dim=0)
        nisa.dma_copy(rows, values, oob_mode=nisa.oob_mode.skip)

    return kernel, [np.array(rows, np.int32).reshape(4, 1) for rows in rows_of_core]


@pytest.mark.parametrize(
    "rows", [([0, 2, 4, 6], [1, 3, 5, 7]), ([0, 7, -1, 99], [1, 6, -1, 99]), ([-1] * 4, [0, 1, 2, 3])]
)
def test_a_scatter_touches_the_rows_it_names_and_not_those_it_skips(trn2, rows):
    kernel, ids = scattering(rows)
    trn2.run(kernel, *ids, cores=2)


def test_finds_two_scatters_that_share_a_row(trn2):
    kernel, ids = scattering(([0, 2, 4, -1], [1, 3, 4, -1]))
    with pytest.raises(DataRace, match=f"first at byte {4 * COLUMNS * 4} "):
        trn2.run(kernel, *ids, cores=2)
