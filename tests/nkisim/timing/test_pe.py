"""The PE: windows at full and at half clock, weights that load behind the matmul before, passes of fp32."""

from itertools import pairwise

import pytest
from support.timeline import TRN2, cycles, ns, numbers, timed
from support.ways import OnePe

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.timing.costs import Cost
from nkisim.timing.duration import Duration

WINDOW = ns("pe_time.window")
ENOUGH = ns("pe_time.window_use") * WINDOW  # work in a window that grants full clock in the next one
SLOW = ns("pe_time.slowdown")
A_LITTLE = 1e-3


def work(busy, load=0.0, tile=None, counted=1.0):
    """A matmul that takes so long at full clock."""
    return Cost(Duration(documented=busy), Duration(documented=busy), Duration(derived=load), tile, counted)


def took(pe, at, busy=10.0):
    """How long a matmul streams that starts at `at`."""
    begin, end, *_ = pe.run(at, 0.0, work(busy))
    assert begin == at
    return end - begin


def test_the_pe_starts_at_half_clock():
    assert took(OnePe(TRN2), 0.0) == 10 * SLOW


@pytest.mark.parametrize(("done", "factor"), [(ENOUGH, 1.0), (ENOUGH - A_LITTLE, SLOW)])
def test_a_window_is_at_full_clock_exactly_if_the_one_before_did_enough(done, factor):
    pe = OnePe(TRN2)
    assert took(pe, 0.0, done) == pytest.approx(SLOW * done)
    assert took(pe, WINDOW) == pytest.approx(10 * factor)


@pytest.mark.parametrize(("counted", "factor"), [(1.0, 1.0), (0.25, SLOW)])
def test_a_window_counts_of_a_matmul_what_it_says(counted, factor):
    pe = OnePe(TRN2)
    pe.run(0.0, 0.0, work(ENOUGH, counted=counted))
    assert took(pe, WINDOW) == pytest.approx(10 * factor)


@pytest.mark.parametrize(
    ("rows", "idle", "counted"), [(128, 1, 1.0), (32, 1, 0.25), (96, 0.5, 0.875), (32, 0, 1.0), (32, None, 1.0)]
)
def test_the_rows_that_hold_no_data_are_no_work_where_the_machine_says_so(rows, idle, counted):
    def body():
        nisa.nc_matmul(tile(512, nl.float32, nl.psum), filled(128, rows=rows), filled(512, rows=rows))

    t = timed(body, machine=TRN2 if idle is None else TRN2.with_value("pe_time.idle_rows", idle))
    assert t.costs[t.tasks[numbers(t, "nc_matmul")[0]].work].counted == counted


@pytest.mark.parametrize("dtype", [nl.bfloat16, nl.float32])
def test_a_result_of_fp32_has_a_delay_of_its_own(dtype):
    def body():
        nisa.nc_matmul(tile(512, nl.float32, nl.psum), filled(128, dtype), filled(512, dtype))

    def delay(machine):
        t = timed(body, machine=machine)
        return t.done[-1] - t.end[-1]

    later = delay(TRN2.with_value("pe_time.result_fp32", ns("pe_time.result_fp32") + 500)) - delay(TRN2)
    assert later == pytest.approx(500 if dtype is nl.float32 else 0)


@pytest.mark.parametrize(("at", "factor"), [(WINDOW - A_LITTLE, SLOW), (WINDOW, 1.0), (2 * WINDOW - A_LITTLE, 1.0)])
def test_the_clock_changes_where_a_window_begins(at, factor):
    pe = OnePe(TRN2)
    took(pe, 0.0, ENOUGH)
    assert took(pe, at) == pytest.approx(10 * factor)


@pytest.mark.parametrize("pause", [2 * WINDOW, 2.5 * WINDOW, 7 * WINDOW])
def test_a_pause_of_a_window_costs_the_full_clock(pause):
    pe = OnePe(TRN2)
    took(pe, 0.0, ENOUGH)
    assert took(pe, pause) == pytest.approx(10 * SLOW)


def test_a_window_at_full_clock_that_did_little_is_followed_by_one_at_half():
    pe = OnePe(TRN2)
    took(pe, 0.0, ENOUGH)
    assert took(pe, WINDOW, ENOUGH - A_LITTLE) == pytest.approx(ENOUGH - A_LITTLE)
    assert took(pe, 2 * WINDOW) == pytest.approx(10 * SLOW)


def test_work_counts_in_the_window_in_which_it_starts():
    pe = OnePe(TRN2)
    took(pe, WINDOW - 1.0, ENOUGH)
    assert took(pe, 2 * WINDOW - 1.0, 0.5) == pytest.approx(0.5), "it began in the window before"
    assert took(pe, 2 * WINDOW) == pytest.approx(10 * SLOW)


def test_a_matmul_keeps_the_clock_it_starts_with():
    pe = OnePe(TRN2)
    took(pe, 0.0, ENOUGH)
    assert took(pe, WINDOW - 1.0, 100.0) == pytest.approx(100 * SLOW)


def test_matmuls_on_quarters_of_their_own_run_side_by_side():
    pe = OnePe(TRN2)
    upper, lower = (0, 2, 0, 4), (2, 2, 0, 4)
    assert pe.run(0.0, 0.0, work(10.0, tile=upper))[:2] == (0.0, 10 * SLOW)
    assert pe.run(0.0, 0.0, work(10.0, tile=lower))[:2] == (0.0, 10 * SLOW)
    assert pe.run(0.0, 0.0, work(10.0, tile=upper))[0] == 10 * SLOW
    assert pe.run(0.0, 0.0, work(10.0))[0] == 2 * 10 * SLOW, "the whole array waits for all parts"


def test_weights_load_before_the_matmul_unless_it_waits_longer_for_the_pe():
    pe = OnePe(TRN2)
    assert pe.run(0.0, 50.0, work(10.0, load=30.0))[:2] == (80.0, 80 + 10 * SLOW)
    assert pe.run(80.0, 60.0, work(10.0, load=30.0))[0] == 80 + 10 * SLOW, "loaded while the one before ran"
    assert pe.run(100.0, 95.0, work(10.0, load=30.0))[0] == 125.0


def tile(columns, dtype=nl.bfloat16, buffer=nl.sbuf, rows=128):
    return nl.ndarray((rows, columns), dtype, buffer=buffer)


def filled(columns, dtype=nl.bfloat16, rows=128):
    t = tile(columns, dtype, rows=rows)
    nisa.memset(t, 1.0, engine=nisa.engine.vector)
    return t


STREAM = cycles(512 + ns("pe_time.overhead"), "pe")


def test_a_busy_pe_reaches_full_clock_with_the_window_after_one_of_enough_work():
    def body():
        left, right = filled(128), filled(512)
        total = tile(512, nl.float32, nl.psum)
        for _ in range(40):
            nisa.nc_matmul(total, left, right)

    t = timed(body)
    runs = numbers(t, "nc_matmul")
    first = t.begin[runs[0]]
    assert first == pytest.approx(max(t.done[0], t.done[1]) + ns("sync.semaphore") + ns("pe_time.load"))
    until = (first // WINDOW + 1) * WINDOW
    slow = -(-(until - first) // (SLOW * STREAM))
    assert slow * STREAM >= ENOUGH, "so the next window is at full clock"
    distances = [t.begin[b] - t.begin[a] for a, b in pairwise(runs)]
    assert distances == pytest.approx([SLOW * STREAM] * int(slow) + [STREAM] * (39 - int(slow)))


def test_new_weights_for_every_matmul_hide_behind_the_one_before():
    def body():
        weights, right = [filled(128) for _ in range(4)], filled(512)
        nisa.nc_matmul(tile(512, nl.float32, nl.psum), filled(128), right)
        for w in weights:
            nisa.nc_matmul(tile(512, nl.float32, nl.psum), w, right)

    t = timed(body)
    runs = numbers(t, "nc_matmul")
    assert [t.begin[n] for n in runs[1:]] == pytest.approx([t.end[n] for n in runs[:-1]])


def test_sums_in_one_bank_follow_each_other_at_the_stream_even_where_a_load_takes_longer():
    def body():
        left, right = filled(128), filled(64)
        total = tile(64, nl.float32, nl.psum)
        for number in range(8):
            nisa.nc_matmul(total, left, right, accumulate=number > 0)

    t = timed(body)
    stream = SLOW * cycles(64 + ns("pe_time.overhead"), "pe")
    assert stream < ns("pe_time.load")
    assert [t.begin[b] - t.begin[a] for a, b in pairwise(numbers(t, "nc_matmul"))] == pytest.approx([stream] * 7)


def test_weights_of_another_engine_that_come_late_hold_the_pe_up_until_they_are_loaded():
    def body():
        right = filled(512)
        nisa.nc_matmul(tile(512, nl.float32, nl.psum), filled(128), right)
        late = tile(4096)
        nisa.memset(late, 1.0, engine=nisa.engine.vector)
        nisa.nc_matmul(tile(512, nl.float32, nl.psum), late[:, :128], right)

    t = timed(body)
    first, second = numbers(t, "nc_matmul")
    written = t.done[numbers(t, "memset")[-1]]
    assert written + ns("sync.semaphore") > t.end[first]
    assert t.begin[second] == pytest.approx(written + ns("sync.semaphore") + ns("pe_time.load"))


@pytest.mark.parametrize(
    ("rows", "dtype", "passes", "factor"),
    [
        (128, nl.bfloat16, 1, 1),
        (32, nl.bfloat16, 1, 1),
        (128, nl.float32, ns("pe_time.fp32_passes"), 1),
        (96, nl.float32, ns("pe_time.fp32_passes"), 1),
        (64, nl.float32, ns("pe_time.fp32_passes"), ns("pe_time.short_k_fp32")),
        (32, nl.float32, ns("pe_time.fp32_passes"), ns("pe_time.short_k_fp32")),
    ],
)
def test_a_contraction_of_fp32_takes_longer_over_no_more_than_half_of_the_rows(rows, dtype, passes, factor):
    def body():
        left, right = filled(128, dtype, rows), filled(512, dtype, rows)
        nisa.nc_matmul(tile(512, nl.float32, nl.psum), left, right)

    t = timed(body)
    cost = t.costs[t.tasks[numbers(t, "nc_matmul")[0]].work]
    repeats = max(1, passes * factor / 2)  # passes of two cycles a column, with a weight load each
    assert cost.busy_ns == pytest.approx(cycles(512 * passes * factor + ns("pe_time.overhead") * repeats, "pe"))
    assert cost.load_ns == pytest.approx(ns("pe_time.load") * repeats)


def test_a_transpose_of_fp32_is_one_pass_however_many_rows():
    def body(rows):
        nisa.nc_transpose(tile(rows, nl.float32, nl.psum, rows=64), filled(64, nl.float32, rows), nisa.engine.tensor)

    for rows in (128, 64):
        t = timed(lambda rows=rows: body(rows))
        cost = t.costs[t.tasks[numbers(t, "nc_transpose")[0]].work]
        assert cost.busy_ns == pytest.approx(cycles(rows * ns("pe_time.transpose_fp32") + ns("pe_time.overhead"), "pe"))
