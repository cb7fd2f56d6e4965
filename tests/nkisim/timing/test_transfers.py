"""DMA: sixteen engines, queues that share them, the HBM stack that two cores share."""

import numpy as np
import pytest
from support.timeline import TRN2, ns, numbers, timed

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.timing import Order

LANES = 8  # partitions an engine serves
STATIC = ns("dma.issue_static") + ns("dma.start")
HARDWARE = ns("dma.issue_hwdge") + ns("dma.start_hwdge")


def moving(row_bytes, rows=LANES):
    """How long an engine needs for rows that lie apart in HBM."""
    return rows * (ns("dma.descriptor") + row_bytes / ns("dma.rate"))


def matrix(row_bytes, rows=128):
    """Of whose rows the first half is loaded, so that what is loaded lies apart."""
    return np.zeros((rows, 2 * row_bytes), np.uint8)


def load(source, mode=nisa.dge_mode.none):
    rows, columns = source.shape
    nisa.dma_copy(nl.ndarray((rows, columns // 2), nl.uint8), source[:, : columns // 2], dge_mode=mode)


def test_a_load_of_all_partitions_uses_all_engines_at_once():
    t = timed(load, matrix(8192))
    assert t.latency_ns == pytest.approx(STATIC + moving(8192) + ns("dma.complete"))


def test_a_load_of_eight_partitions_uses_one_engine_as_long():
    t = timed(load, matrix(8192, rows=8))
    assert t.latency_ns == pytest.approx(STATIC + moving(8192) + ns("dma.complete"))
    (work,) = (w for w in t.costs[t.tasks[0].work].engines if w)
    assert work == pytest.approx(moving(8192))


def test_partitions_that_the_engines_divide_are_dealt_to_all_of_them():
    t = timed(load, matrix(8192, rows=32))
    assert t.latency_ns == pytest.approx(STATIC + moving(8192, rows=2) + ns("dma.complete"))


def test_rows_that_lie_together_in_hbm_are_read_at_once():
    def body(source):
        nisa.dma_copy(nl.ndarray((128, 1024), nl.uint8), source, dge_mode=nisa.dge_mode.none)

    together, apart = timed(body, np.zeros((128, 1024), np.uint8)), timed(load, matrix(1024))
    once = ns("dma.descriptor") + LANES * 1024 / ns("dma.rate")
    assert together.latency_ns == pytest.approx(STATIC + once + ns("dma.complete"))
    assert apart.latency_ns - together.latency_ns == pytest.approx(7 * ns("dma.descriptor"))


def test_tiny_pieces_cost_a_descriptor_each():
    t = timed(load, matrix(2))
    assert t.latency_ns == pytest.approx(STATIC + LANES * max(ns("dma.least"), moving(2, 1)) + ns("dma.complete"))


def test_transfers_of_one_queue_run_in_order():
    def body(first, second):
        load(first)
        load(second)

    t = timed(body, matrix(32768), matrix(4096))
    assert t.end[0] == pytest.approx(STATIC + moving(32768))
    assert t.begin[1] == pytest.approx(t.end[0])
    assert t.end[1] == pytest.approx(t.end[0] + moving(4096))
    assert t.reason[1] == "dma"


def test_transfers_of_two_queues_share_the_engines():
    def body(first, second):
        load(first)
        load(second, nisa.dge_mode.hwdge)

    t = timed(body, matrix(32768), matrix(4096))
    assert t.begin == pytest.approx([STATIC, HARDWARE])
    assert t.end[1] == pytest.approx(HARDWARE + 2 * moving(4096)), "it has half of the engines"
    assert t.end[0] == pytest.approx(STATIC + moving(32768) + moving(4096)), "no engine is idle meanwhile"


def test_a_narrow_transfer_delays_only_its_own_engine():
    def body(wide, narrow):
        load(wide)
        load(narrow, nisa.dge_mode.hwdge)
        load(wide)

    t = timed(body, matrix(32768), matrix(32768, rows=8))
    one = moving(32768)
    assert t.end[1] == pytest.approx(HARDWARE + 2 * one), "half of the first engine"
    assert t.end[0] == pytest.approx(STATIC + one + (one - (HARDWARE - STATIC))), "its last part is on that engine"
    assert t.end[2] == pytest.approx(STATIC + 3 * one)


def test_a_stream_is_bound_by_the_engines():
    def body(source):
        for row in range(0, 512, 128):
            load(source[row : row + 128])

    t = timed(body, matrix(4096, rows=512))
    assert t.latency_ns == pytest.approx(STATIC + 4 * moving(4096) + ns("dma.complete"))


def test_hardware_descriptors_are_made_one_transfer_at_a_time():
    def body(source):
        for row in range(0, 512, 128):
            load(source[row : row + 128], nisa.dge_mode.hwdge)

    t = timed(body, matrix(256, rows=512))
    assert moving(256) < ns("dma.issue_hwdge")
    assert t.latency_ns == pytest.approx(3 * ns("dma.issue_hwdge") + HARDWARE + moving(256) + ns("dma.complete"))


@pytest.mark.parametrize(("queued", "waits"), [(128, [1, 2, 3]), (256, [2, 3]), (384, [3]), (512, []), (None, [])])
@pytest.mark.parametrize("order", Order)
def test_a_queue_starts_no_transfer_while_as_many_descriptors_as_it_holds_are_under_way(queued, waits, order):
    def body(source):
        for row in range(0, 512, 128):
            load(source[row : row + 128], nisa.dge_mode.hwdge)

    machine = TRN2 if queued is None else TRN2.with_value("dma.queued", queued)
    t = timed(body, matrix(32768, rows=512), order=order, machine=machine)
    behind = (queued or 0) // 128
    assert [n for n in range(1, 4) if t.issue[n] > t.issue[n - 1] + ns("dma.issue_hwdge") + 1] == waits
    assert [t.issue[n] for n in waits] == pytest.approx([t.end[n - behind] for n in waits])
    assert {t.reason[n] for n in waits} <= {"dma"}


def test_other_queues_do_not_wait_for_a_full_one():
    def body(first, second):
        load(first, nisa.dge_mode.hwdge)
        nisa.dma_copy(nl.ndarray((128, 32768), nl.uint8), second[:, :32768], dge_mode=nisa.dge_mode.hwdge,
                      engine=nisa.engine.scalar)  # fmt: skip

    t = timed(body, matrix(32768), matrix(32768), machine=TRN2.with_value("dma.queued", 128))
    assert t.issue == [0.0, 0.0]


def test_an_exchange_moves_at_its_own_share_of_the_rate():
    def body():
        me = nl.program_id(0)
        mine, other = nl.ndarray((1, 1024), nl.float32), nl.ndarray((1, 1024), nl.float32)
        nisa.memset(mine, 1.0)
        nisa.sendrecv(mine, other, 1 - me, 1 - me, pipe_id=0)

    def took(machine):
        t = timed(body, cores=2, machine=machine)
        (number,) = numbers(t, "sendrecv", core=0)
        return t.end[number] - t.begin[number]

    assert took(TRN2.with_value("dma.exchange", 0.5)) == pytest.approx(2 * took(TRN2))


@pytest.mark.parametrize(
    ("rows", "dtype", "queue"),
    [(128, nl.uint8, "dge sync"), (128, nl.int32, "gpsimd"), (4, nl.uint8, "dma"), (4, nl.int32, "dma")],
)
def test_a_copy_without_a_mode_is_issued_by_hardware_or_software_that_casts_or_is_static(rows, dtype, queue):
    def body(source):
        nisa.dma_copy(nl.ndarray((rows, 256), dtype), source)

    t = timed(body, np.zeros((rows, 256), np.uint8))
    assert t.tasks[0].queue == queue


def test_two_cores_share_the_stack():
    alone, together = timed(load, matrix(32768)), timed(load, matrix(32768), cores=2)
    wanted = 2 * TRN2["dma.engines"] * LANES * 32768 / moving(32768)
    assert wanted > ns("hbm.stack_rate") > wanted / 2
    assert alone.end[0] == pytest.approx(STATIC + moving(32768))
    assert together.end == pytest.approx([STATIC + moving(32768) * wanted / ns("hbm.stack_rate")] * 2)
    assert together.reason[numbers(together, "dma_copy", core=0)[0]] == "hbm"


def test_three_partitions_wait_for_their_own_engine_only():
    def body(wide, narrow):
        load(wide)
        tile = nl.ndarray((128, 4096), nl.uint8)
        nisa.dma_copy(tile[96:99], narrow[:, :4096], dge_mode=nisa.dge_mode.hwdge)

    t = timed(body, matrix(32768), matrix(4096, rows=3))
    wide, narrow = (t.costs[t.tasks[n].work].engines for n in (0, 1))
    assert narrow == pytest.approx([0.0] * 12 + [3 * moving(4096, 1)] + [0.0] * 3)
    assert wide == pytest.approx([moving(32768)] * 16)
    assert t.begin[1] == pytest.approx(HARDWARE)
    assert t.end[1] == pytest.approx(HARDWARE + 2 * narrow[12]), "that engine serves both queues in turn"
    assert t.end[0] == pytest.approx(STATIC + wide[12] + narrow[12])


def test_three_partitions_take_as_long_alone_as_an_eighth_of_all_less():
    three, all_rows = timed(load, matrix(4096, rows=3)), timed(load, matrix(4096))
    assert three.latency_ns == pytest.approx(STATIC + moving(4096, rows=3) + ns("dma.complete"))
    assert all_rows.latency_ns - three.latency_ns == pytest.approx(moving(4096, rows=LANES - 3))


@pytest.mark.parametrize("columns", [128, 96, 81, 65, 33])
def test_a_transpose_on_chip_moves_rows_however_many_columns(columns):
    def body():
        source = nl.zeros((128, columns), nl.bfloat16)
        nisa.dma_transpose(nl.ndarray((columns, 128), nl.bfloat16), source)

    t = timed(body)
    (number,) = numbers(t, "dma_transpose")
    transfer = t.costs[t.tasks[number].work]
    assert transfer.descriptors == 128
    spread = 16 if columns % 16 == 0 else columns / LANES  # engines, or partitions over those of an engine
    bytes_of_one = 128 * columns * 2 / spread
    descriptors = -(-128 // spread)
    busiest = (bytes_of_one / ns("dma.rate") + descriptors * ns("dma.descriptor")) / ns("dma.transpose_sbuf")
    assert max(transfer.engines) == pytest.approx(busiest)
    assert t.done[number] - t.issue[number] == pytest.approx(STATIC + max(transfer.engines) + ns("dma.complete"))


@pytest.mark.parametrize(("rows", "columns"), [(128, 81), (128, 65), (81, 128)])
def test_a_transpose_of_a_part_of_a_table_in_hbm_moves_rows_too(rows, columns):
    def body(source):
        nisa.dma_transpose(nl.ndarray((columns, rows), nl.bfloat16), source[:rows, :columns])

    t = timed(body, np.zeros((256, 256), np.float32).astype("bfloat16"))
    transfer = t.costs[t.tasks[0].work]
    assert transfer.descriptors <= max(rows, columns)
    assert max(transfer.engines) < 2 * (moving(2 * 128) / ns("dma.transpose_hbm"))


@pytest.mark.parametrize("inside", [128, 96, 32, 0])
@pytest.mark.parametrize("wide", [128, 256], ids=["all of dst", "half of dst"])
def test_a_gathering_transpose_moves_what_is_in_bounds_as_one_that_skips_nothing(inside, wide):
    def body(source, rows, mode):
        index = nl.ndarray((128, 1), nl.uint32)
        nisa.dma_copy(index, rows)
        turned = nl.zeros((128, 1, 16, wide), nl.bfloat16)
        pattern = [[2048, 128], [1, 1], [128, 16], [1, 128]]
        gathered = source.ap(pattern, vector_offset=index, indirect_dim=0)
        nisa.dma_transpose(turned[:, :, :, :128], gathered, oob_mode=mode)

    def moved(rows, mode):
        t = timed(body, np.zeros((256, 2048), np.float32).astype("bfloat16"), rows.astype(np.uint32), mode)
        (number,) = numbers(t, "dma_transpose")
        return t.costs[t.tasks[number].work]

    rows = np.arange(128)[:, None]
    every, some = moved(rows, nisa.oob_mode.error), moved(np.where(rows < inside, rows, 999), nisa.oob_mode.skip)
    assert (some.nbytes, some.descriptors) == (every.nbytes * inside // 128, every.descriptors * inside // 128)
    assert max(some.engines) == pytest.approx(max(every.engines) * inside / 128)
