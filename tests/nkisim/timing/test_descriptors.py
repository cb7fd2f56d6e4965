"""What starting a transfer costs its queue: patterns, rows named by indices, addresses known at run time only."""

import numpy as np
import pytest
from support.timeline import ns, numbers, timed

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl

SKIP, SOFTWARE, HARDWARE = nisa.oob_mode.skip, nisa.dge_mode.swdge, nisa.dge_mode.hwdge
ROWS, COLUMNS = 256, 1024  # float32: rows of 4 KiB
A_ROW = COLUMNS * 4 / ns("dma.indexed_bytes")  # descriptors
SKIPPED = 1 << 20


def table(columns=COLUMNS):
    return np.zeros((ROWS, columns), np.float32)


def column(rows):
    return np.asarray(rows, np.int32).reshape(-1, 1)


def rows_of(array, index):
    """The rows of `array` that `index` names."""
    return array.ap([[array.shape[1], index.size], [1, array.shape[1]]], vector_offset=index)


def gather(array, indices):
    index = nl.load(indices)
    nisa.dma_copy(nl.zeros((index.size, array.shape[1]), nl.float32), rows_of(array, index), oob_mode=SKIP)


def scatter(array, indices):
    index = nl.load(indices)
    nisa.dma_copy(rows_of(array, index), nl.zeros((index.size, array.shape[1]), nl.float32), oob_mode=SKIP)


def scatter_sum(array, indices):
    index = nl.load(indices)
    picked = rows_of(array, index)
    nisa.dma_compute(picked, [picked, nl.zeros((index.size, array.shape[1]), nl.float32)], nl.add, oob_mode=SKIP)


def gather_sum(array, indices):
    index = nl.load(indices)
    total = nl.zeros((index.size, array.shape[1]), nl.float32)
    nisa.dma_compute(total, [total, rows_of(array, index)], nl.add, oob_mode=SKIP)


def issue(timeline):
    """The last transfer's time on the queue that triggers it."""
    (number,) = [task.number for task, _ in timeline.transfers()][-1:]
    return timeline.costs[timeline.tasks[number].work].issue.ns


@pytest.mark.parametrize("count", [128, 64, 1])
@pytest.mark.parametrize("move", [gather, scatter, gather_sum])
def test_gpsimd_makes_the_descriptors_of_every_row_that_is_named(move, count):
    t = timed(move, table(), column(range(count)))
    assert issue(t) == pytest.approx(ns("dma.issue_swdge") + count * A_ROW * ns("dma.indexed_descriptor"))


@pytest.mark.parametrize(("columns", "descriptors"), [(2, 1), (512, 1), (513, 2), (1024, 2), (4096, 8)])
def test_a_long_row_needs_several_descriptors_and_a_short_one_still_one(columns, descriptors):
    t = timed(gather, table(columns), column(range(128)))
    assert issue(t) == pytest.approx(ns("dma.issue_swdge") + 128 * descriptors * ns("dma.indexed_descriptor"))


def test_pieces_of_a_row_that_lie_apart_need_a_descriptor_each():
    def body(array, indices):
        index = nl.load(indices)
        nisa.dma_copy(nl.zeros((128, 16), nl.float32), array.ap([[COLUMNS, 128], [64, 16]], vector_offset=index))

    t = timed(body, table(), column(range(128)))
    assert issue(t) == pytest.approx(ns("dma.issue_swdge") + 128 * 16 * ns("dma.indexed_descriptor"))


@pytest.mark.parametrize("skipped", [1, 64, 127, 128])
@pytest.mark.parametrize("move", [gather, scatter, gather_sum])
def test_a_row_out_of_bounds_is_looked_at_and_makes_no_descriptor(move, skipped):
    kept = 128 - skipped
    t = timed(move, table(), column([*range(kept), *[SKIPPED] * skipped]))
    made = kept * A_ROW * ns("dma.indexed_descriptor") + skipped * ns("dma.skipped_row")
    assert issue(t) == pytest.approx(ns("dma.issue_swdge") + made)


def test_a_gather_of_which_all_rows_are_skipped_moves_nothing():
    t = timed(gather, table(), column([SKIPPED] * 128))
    (number,) = [task.number for task, _ in t.transfers()][-1:]
    cost = t.costs[t.tasks[number].work]
    assert (cost.nbytes, cost.hbm_bytes, max(cost.engines)) == (0, 0, 0.0)
    assert t.done[number] == pytest.approx(t.issue[number] + issue(t) + ns("dma.start_swdge") + ns("dma.complete"))


def test_an_instruction_with_several_columns_of_indices_pays_for_every_row_and_once_for_the_instruction():
    several, one = (np.arange(n, dtype=np.int32).reshape(128, -1) % ROWS for n in (512, 128))
    four, single = issue(timed(gather_columns, table(512), several)), issue(timed(gather_columns, table(512), one))
    assert four == pytest.approx(ns("dma.issue_swdge") + 512 * ns("dma.indexed_descriptor"))
    assert four - single == pytest.approx(3 * 128 * ns("dma.indexed_descriptor"))


def gather_columns(array, indices):
    """One row an index; a partition has as many as the tile of indices has columns."""
    index = nl.load(indices)
    side_by_side = nl.ndarray((index.shape[0], index.shape[1] * array.shape[1]), nl.float32)
    nisa.dma_copy(side_by_side, rows_of(array, index))


@pytest.mark.parametrize("skipped", [0, 64, 127])
def test_a_scatter_that_accumulates_pays_more_for_each_descriptor(skipped):
    kept = 128 - skipped
    t = timed(scatter_sum, table(), column([*range(kept), *[SKIPPED] * skipped]))
    made = kept * A_ROW * ns("dma.accumulated_descriptor") + skipped * ns("dma.skipped_row")
    assert issue(t) == pytest.approx(ns("dma.issue_swdge") + made)


def test_rows_that_are_named_on_both_sides_count_once():
    def body(source, target, indices):
        index = nl.load(indices)
        nisa.dma_copy(rows_of(target, index), rows_of(source, index))

    t = timed(body, table(), table(), column(range(128)))
    assert issue(t) == pytest.approx(ns("dma.issue_swdge") + 128 * A_ROW * ns("dma.indexed_descriptor"))


@pytest.mark.parametrize("count", [1, 128])
def test_the_gpsimd_engine_does_nothing_else_meanwhile(count):
    def body(array, indices):
        gather(array, indices)
        nisa.memset(nl.ndarray((128, 1), nl.float32), 0.0, engine=nisa.engine.gpsimd)

    t = timed(body, table(), column(range(count)))
    fetched = max(number for number in numbers(t, "dma_copy"))
    assert t.tasks[fetched].queue == "gpsimd"
    assert t.issue[numbers(t, "memset")[-1]] == pytest.approx(t.issue[fetched] + issue(t))


@pytest.mark.parametrize(
    ("columns", "made"),
    [(64, ns("dma.issue_swdge")), (128, 128 * 64 * ns("dma.swdge_run"))],
    ids=["fewer runs than the issue is long", "more"],
)
def test_software_descriptors_of_a_pattern_cost_its_runs_or_the_issue_whichever_is_longer(columns, made):
    def body(source):
        step = 2 if columns == 128 else 1  # every second element: a run each
        nisa.dma_copy(nl.ndarray((128, 64), nl.float32), source[:, ::step], dge_mode=SOFTWARE)

    assert issue(timed(body, np.zeros((128, columns), np.float32))) == pytest.approx(made)


def at_index(array, indices, mode=nisa.dge_mode.unknown):
    """128 rows from the row on that one index names."""
    index = nl.load(indices)
    rows = array.ap([[COLUMNS, 128], [1, COLUMNS]], scalar_offset=index)
    nisa.dma_copy(nl.zeros((128, COLUMNS), nl.float32), rows, oob_mode=SKIP, dge_mode=mode)


def test_an_address_that_is_computed_at_run_time_takes_the_queue_longer():
    def fixed(array, _):
        nisa.dma_copy(nl.zeros((128, COLUMNS), nl.float32), array[5:133], dge_mode=HARDWARE)

    there, computed = timed(fixed, table(), column([5])), timed(at_index, table(), column([5]))
    assert computed.tasks[-1].queue == there.tasks[-1].queue == "dge sync"
    assert issue(computed) == pytest.approx(ns("dma.issue_hwdge") + ns("dma.dynamic_address"))
    assert issue(computed) - issue(there) == pytest.approx(ns("dma.dynamic_address"))


def test_a_whole_transfer_that_is_skipped_costs_its_issue_and_moves_nothing():
    t = timed(at_index, table(), column([SKIPPED]))
    (number,) = [task.number for task, _ in t.transfers()][-1:]
    assert issue(t) == pytest.approx(ns("dma.issue_hwdge") + ns("dma.dynamic_address"))
    assert t.done[number] == pytest.approx(t.issue[number] + issue(t) + ns("dma.start_hwdge") + ns("dma.complete"))
