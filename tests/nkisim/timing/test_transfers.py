"""DMA: sixteen engines, queues that share them, the HBM stack that two cores share."""

import numpy as np
import pytest
from support.timeline import TRN2, ns, numbers, timed

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl

PACKET = 4096
EACH = ns("dma.descriptor") + PACKET / ns("dma.rate")
LANES = 8  # partitions an engine serves
ARRIVAL = ns("dma.issue_static") + ns("dma.start")


def load(source, packets, rows=128):
    tile = nl.ndarray((rows, packets * PACKET), nl.uint8)
    nisa.dma_copy(tile, source, dge_mode=nisa.dge_mode.none)


def matrix(packets, rows=128):
    return np.zeros((rows, packets * PACKET), np.uint8)


def test_a_load_of_all_partitions_uses_all_engines_at_once():
    t = timed(lambda source: load(source, 2), matrix(2))
    assert t.latency_ns == pytest.approx(ARRIVAL + 2 * LANES * EACH + ns("dma.complete"))


def test_a_load_of_eight_partitions_uses_one_engine_as_long():
    t = timed(lambda source: load(source, 2, rows=8), matrix(2, rows=8))
    assert t.latency_ns == pytest.approx(ARRIVAL + 2 * LANES * EACH + ns("dma.complete"))
    (work,) = {w for w in t.costs[t.tasks[0].work].engines if w}
    assert work == pytest.approx(2 * LANES * EACH)


def test_rows_that_lie_together_in_hbm_are_read_at_once():
    def body(source):
        nisa.dma_copy(nl.ndarray((128, 256), nl.uint8), source, dge_mode=nisa.dge_mode.none)

    apart = np.zeros((128, 512), np.uint8)[:, :256]
    together = np.zeros((128, 256), np.uint8)
    moved = LANES * 256 / ns("dma.rate")
    assert timed(body, together).latency_ns == pytest.approx(
        ARRIVAL + ns("dma.descriptor") + moved + ns("dma.complete")
    )

    def part(source):
        nisa.dma_copy(nl.ndarray((128, 256), nl.uint8), source[:, 0:256], dge_mode=nisa.dge_mode.none)

    assert timed(part, np.zeros((128, 512), np.uint8)).latency_ns == pytest.approx(
        ARRIVAL + LANES * ns("dma.descriptor") + moved + ns("dma.complete")
    )
    assert apart.strides[0] == 512


def test_transfers_of_one_queue_run_in_order():
    def body(first, second):
        for source in (first, second):
            nisa.dma_copy(nl.ndarray(source.shape, nl.uint8), source, dge_mode=nisa.dge_mode.none)

    t = timed(body, matrix(8), matrix(1))
    assert t.end[0] == pytest.approx(ARRIVAL + 8 * LANES * EACH)
    assert t.begin[1] == pytest.approx(t.end[0])
    assert t.end[1] == pytest.approx(ARRIVAL + 9 * LANES * EACH)


def test_transfers_of_two_queues_share_the_engines():
    def body(first, second):
        nisa.dma_copy(nl.ndarray(first.shape, nl.uint8), first, dge_mode=nisa.dge_mode.none)
        nisa.dma_copy(nl.ndarray(second.shape, nl.uint8), second, dge_mode=nisa.dge_mode.none)

    t = timed(body, matrix(8), matrix(1))
    assert t.begin == pytest.approx([ARRIVAL] * 2)
    assert t.end[1] == pytest.approx(ARRIVAL + 2 * LANES * EACH), "half of the engines until it is done"
    assert t.end[0] == pytest.approx(ARRIVAL + 9 * LANES * EACH), "no engine is idle meanwhile"


def test_a_narrow_transfer_delays_only_its_own_engine():
    def body(wide, narrow):
        nisa.dma_copy(nl.ndarray(wide.shape, nl.uint8), wide, dge_mode=nisa.dge_mode.none)
        nisa.dma_copy(nl.ndarray(narrow.shape, nl.uint8), narrow, dge_mode=nisa.dge_mode.none)
        nisa.dma_copy(nl.ndarray(wide.shape, nl.uint8), wide, dge_mode=nisa.dge_mode.none)

    t = timed(body, matrix(4), matrix(4, rows=8))
    one = 4 * LANES * EACH
    assert t.end[1] == pytest.approx(ARRIVAL + 3 * one), "three queues on the first engine, all with equal work"
    assert t.end[0] == t.end[2] == pytest.approx(ARRIVAL + 3 * one), "done where the last engine is done"


def test_a_stream_is_bound_by_the_engines():
    def body(source):
        for row in range(0, 4 * 128, 128):
            nisa.dma_copy(nl.ndarray((128, PACKET), nl.uint8), source[row : row + 128], dge_mode=nisa.dge_mode.none)

    t = timed(body, np.zeros((512, PACKET), np.uint8))
    assert t.latency_ns == pytest.approx(ARRIVAL + 4 * LANES * EACH + ns("dma.complete"))


def test_two_cores_share_the_stack():
    def body(source):
        load(source, 8)

    alone, together = timed(body, matrix(8)), timed(body, matrix(8), cores=2)
    engines = TRN2["dma.engines"]
    wanted = 2 * engines * PACKET / EACH
    assert wanted > ns("hbm.stack_rate") > wanted / 2
    moving = 8 * LANES * EACH
    assert alone.end[0] == pytest.approx(ARRIVAL + moving)
    assert together.end == pytest.approx([ARRIVAL + moving * wanted / ns("hbm.stack_rate")] * 2)
    assert [together.reason[n] for core in (0, 1) for n in numbers(together, "dma_copy", core)] == ["hbm"] * 2
