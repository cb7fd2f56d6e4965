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
from nkisim.timing.program import Program
from nkisim.timing.schedule import schedule

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


def test_the_interval_holds_what_is_taken_both_orders_and_every_look_ahead(program):
    found = forecast(program, TRN2)
    low, high = found.interval
    assert low < found.nominal < high
    for ns in (*found.by_order.values(), *found.by_look_ahead.values(), found.fastest, found.slowest):
        assert low < ns < high


def test_a_forecast_is_made_of_the_schedules(program):
    found, made = forecast(program, TRN2), schedules(program, TRN2)
    near, far = TRN2.quantities["order.look_ahead"].ends
    assert found.nominal == made["nominal"].latency_ns == timeline(program, TRN2).latency_ns
    assert found.by_order == {"program": timeline(program, TRN2, Order.program).latency_ns, "compiler": found.nominal}
    assert list(found.by_look_ahead) == [near, TRN2["order.look_ahead"], far]
    assert (found.fastest, found.slowest) == (made["fastest"].latency_ns, made["slowest"].latency_ns)
    assert made["slowest"].machine == TRN2.slowest


def test_the_unexplained_factor_widens_an_interval_at_both_ends():
    found = Forecast({"program": 120.0, "compiler": 100.0}, {16: 110.0, 32: 100.0, 64: 90.0}, 80.0, 150.0, 1.25)
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
    fastest, nominal, slowest = (schedule(program, m).latency_ns for m in (TRN2.fastest, TRN2, TRN2.slowest))
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
    fastest, nominal, slowest = (schedule(program, m).latency_ns for m in (TRN2.fastest, TRN2, TRN2.slowest))
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
            assert not each.name.startswith(("launch.", "peak."))


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
