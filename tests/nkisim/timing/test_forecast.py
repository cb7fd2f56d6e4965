"""Between what a latency may lie: two orders, ranges of constants, and which of these matter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.synthetic import product
from support.timed_kernels import copy_hbm, every_engine, many_matmuls, many_vector_instructions
from support.timeline import TRN2, traced

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.machine.loader import load_machine
from nkisim.timing import Forecast, Order, forecast, schedules, sensitivity, timeline
from nkisim.timing.clock import CORNERS
from nkisim.timing.program import Program
from nkisim.timing.schedule import schedule

EVERYTHING = [section for sections in CORNERS.values() for section in sections]
FASTEST, SLOWEST = TRN2.fastest(EVERYTHING), TRN2.slowest(EVERYTHING)
SQUARE = np.ones((128, 128), np.float32).astype("bfloat16")
KERNELS = {
    "every engine": (every_engine, SQUARE, SQUARE),
    "a product": (product, np.zeros((256, 128), np.float32), np.zeros((256, 512), np.float32)),
    "transfers": (copy_hbm, np.zeros((128, 8192), np.float32)),
    "matmuls": (many_matmuls,),
    "the Vector Engine": (many_vector_instructions,),
}


@pytest.fixture(params=KERNELS)
def program(request):
    return traced(*KERNELS[request.param])


def test_the_interval_holds_what_is_taken_both_orders_every_look_ahead_and_all_corners(program):
    found = forecast(program, TRN2)
    low, high = found.interval
    inside = (*found.by_order.values(), *found.by_look_ahead.values(), *found.by_corner.values())
    assert found.nominal in inside
    assert all(low <= ns <= high for ns in inside)
    assert low < high


def test_a_forecast_is_made_of_the_schedules(program):
    found, made = forecast(program, TRN2), dict(schedules(program, TRN2))
    near, far = TRN2.quantities["order.look_ahead"].ends
    assert found.nominal == next(iter(made.values())).latency_ns == timeline(program, TRN2).latency_ns
    assert found.by_order == {"program": timeline(program, TRN2, Order.program).latency_ns, "compiler": found.nominal}
    assert list(found.by_look_ahead) == [near, TRN2["order.look_ahead"], far]
    assert found.by_corner == {name: made[name].latency_ns for name in made if name.startswith(("fast ", "slow "))}
    assert len(found.by_corner) == 2 * len(CORNERS)
    assert made["slow memory"].machine == TRN2.slowest(("dma", "hbm"))


def test_a_forecast_from_a_timeline_that_is_known_is_the_same(program):
    found = forecast(program, TRN2)
    assert forecast(program, TRN2, timeline(program, TRN2)) == found
    other = forecast(program, TRN2, schedule(program, SLOWEST))
    assert other.nominal != found.nominal


def test_every_open_constant_of_a_duration_is_in_one_corner():
    sections = [section for those in CORNERS.values() for section in those]
    assert len(sections) == len(set(sections))
    open_ones = {key.partition(".")[0] for key, quantity in TRN2.quantities.items() if quantity.is_open}
    assert open_ones - {"order"} == {section for section in sections if section in open_ones}


def test_the_unexplained_factor_widens_an_interval_at_both_ends():
    orders, corners = {"program": 120.0, "compiler": 100.0}, {"fast memory": 80.0, "slow memory": 150.0}
    found = Forecast(orders, {16: 110.0, 32: 100.0, 64: 90.0}, corners, 1.25)
    assert found.nominal == 100.0
    assert found.interval == (64.0, 187.5)


@pytest.mark.parametrize("target", ["trn2", "trn3"])
def test_an_empty_program_takes_no_time_at_all(target):
    found = forecast(Program(), load_machine(target))
    assert found.interval == (0.0, 0.0)
    assert sensitivity(Program(), load_machine(target)) == []


def chains():
    """Chains of instructions, each on the result of the one before, on one engine."""

    def vector(tile):
        nisa.tensor_scalar(tile, tile, nl.add, 1.0, engine=nisa.engine.vector)

    def reciprocal(tile):
        nisa.reciprocal(tile, tile)

    def scalar(tile):
        nisa.activation(tile, nl.exp, tile)

    def copies(tile):
        nisa.activation(tile, nl.copy, tile)

    def gpsimd(tile):
        nisa.tensor_copy(tile, tile, engine=nisa.engine.gpsimd)

    def transfers(tile):
        nisa.dma_copy(tile, tile, dge_mode=nisa.dge_mode.hwdge)

    return [vector, reciprocal, scalar, copies, gpsimd, transfers]


@settings(max_examples=40, deadline=None)
@given(step=st.sampled_from(chains()), columns=st.integers(1, 2048), length=st.integers(1, 12))
def test_a_chain_on_one_engine_takes_least_on_the_fastest_machine_and_most_on_the_slowest(step, columns, length):
    def body():
        tile = nl.ndarray((128, columns), nl.float32)
        nisa.memset(tile, 1.0)
        for _ in range(length):
            step(tile)

    program = traced(body)
    fastest, nominal, slowest = (schedule(program, m).latency_ns for m in (FASTEST, TRN2, SLOWEST))
    assert fastest <= nominal <= slowest
    assert fastest < slowest


@settings(max_examples=15, deadline=None)
@given(length=st.integers(1, 200), columns=st.integers(1, 512))
def test_a_chain_of_matmuls_likewise(length, columns):
    def body():
        left, right = nl.zeros((128, 128), nl.bfloat16), nl.zeros((128, columns), nl.bfloat16)
        total = nl.ndarray((128, columns), nl.float32, buffer=nl.psum)
        for number in range(length):
            nisa.nc_matmul(total, left, right, accumulate=number > 0)

    program = traced(body)
    fastest, nominal, slowest = (schedule(program, m).latency_ns for m in (FASTEST, TRN2, SLOWEST))
    assert fastest <= nominal <= slowest


def test_sensitivity_lists_what_moves_the_latency_the_largest_first(program):
    found = sensitivity(program, TRN2)
    assert found
    assert all(each.ns > 0 for each in found)
    assert [each.ns for each in found] == sorted((each.ns for each in found), reverse=True)
    assert len({each.name for each in found}) == len(found)
    for each in found:
        if not each.name.startswith("order"):
            assert TRN2.quantities[each.name].is_open
            assert not each.name.startswith("peak.")


def test_a_kernel_of_one_engine_hangs_on_the_constants_of_that_engine_only():
    names = {each.name for each in sensitivity(traced(many_vector_instructions), TRN2)}
    assert names == {"dve_time.result", "dve_rate.copy_32_sbuf", "sync.semaphore"}, "every step waits for a result"


def test_a_constant_moves_what_the_ends_of_its_range_move():
    program = traced(many_vector_instructions)
    (semaphore,) = [each for each in sensitivity(program, TRN2) if each.name == "sync.semaphore"]
    low, high = TRN2.quantities["sync.semaphore"].ends
    assert semaphore.ns == pytest.approx(50 * (high - low)), "the fifty steps each wait once"
    assert semaphore.slow_ns > semaphore.fast_ns


def test_the_order_has_a_leverage_of_its_own():
    def body():
        for _ in range(2):
            tile = nl.ndarray((128, 512), nl.float32)
            nisa.memset(tile, 1.0, engine=nisa.engine.vector)
            nisa.tensor_copy(nl.ndarray((128, 512), nl.float32), tile, engine=nisa.engine.vector)

    program = traced(body)
    (order,) = [each for each in sensitivity(program, TRN2) if each.name.startswith("order")]
    assert order.name == "order: compiler or program"
    assert order.fast_ns == timeline(program, TRN2, Order.compiler).latency_ns
    assert order.slow_ns == timeline(program, TRN2, Order.program).latency_ns
