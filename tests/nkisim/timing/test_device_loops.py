"""Device loops drain a core: at the entry, between iterations and at the exit everything is at rest."""

from itertools import pairwise

import numpy as np
import pytest
from support.timeline import ns, numbers, timed, traced, vector_latency

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.observe import LoopMark
from nkisim.timing import Order
from nkisim.timing.drains import Drain, Epochs

ONE = vector_latency(512, ns("dve_rate.copy_32_sbuf"))
ENTRY, TURN, EXIT = (ns(f"sync.loop_{what}") for what in ("entry", "turn", "exit"))


def step(_=None):
    """One instruction of the Vector Engine, with a tile of its own."""
    nisa.memset(nl.ndarray((128, 512), nl.float32), 1.0, engine=nisa.engine.vector)


def between(loop):
    """A loop with an instruction before and one behind it."""

    def body():
        step()
        loop()
        step()

    return body


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("iterations", [1, 2, 7])
def test_a_loop_is_entered_and_left_once_and_turns_between_iterations(iterations, order):
    t = timed(between(lambda: nl.fori_loop(0, iterations, step)), order=order)
    turns = [ENTRY, *[TURN] * (iterations - 1), EXIT]
    expected = [0.0]
    for turn in turns:
        expected.append(expected[-1] + ONE + turn)
    assert t.begin == pytest.approx(expected)
    assert t.reason == ["start", *["drain"] * (iterations + 1)]


def test_a_drain_waits_for_the_slowest_engine_and_for_transfers():
    def body(source):
        def once(_):
            nisa.dma_copy(nl.ndarray((128, 4096), nl.uint8), source, dge_mode=nisa.dge_mode.none)
            step()

        nl.fori_loop(0, 3, once)

    t = timed(body, np.zeros((128, 4096), np.uint8))
    transfers, steps = numbers(t, "dma_copy"), numbers(t, "memset")
    assert t.done[transfers[0]] > t.done[steps[0]]
    turned = pytest.approx([t.done[n] + TURN for n in transfers[:-1]])
    assert [t.issue[n] for n in transfers[1:]] == turned
    assert [t.issue[n] for n in steps[1:]] == turned


def test_a_loop_without_iterations_costs_nothing():
    looped, plain = timed(between(lambda: nl.fori_loop(0, 0, step))), timed(between(lambda: None))
    assert looped.latency_ns == pytest.approx(plain.latency_ns)


def test_a_loop_at_the_end_of_a_kernel_is_left_with_the_kernel():
    t = timed(lambda: nl.fori_loop(0, 2, step))
    assert t.latency_ns == pytest.approx(ENTRY + 2 * ONE + TURN)


def test_nested_loops_drain_where_they_are_entered_turned_and_left():
    def outer(_):
        nl.fori_loop(0, 3, step)

    first, second = traced(between(lambda: nl.fori_loop(0, 2, outer))).drains
    assert first == [
        Drain(entries=2), Drain(turns=1), Drain(turns=1),
        Drain(entries=1, turns=1, exits=1), Drain(turns=1), Drain(turns=1), Drain(exits=2),
    ]  # fmt: skip
    assert second == []


@pytest.mark.parametrize("inner", [[], [LoopMark.begin, LoopMark.end]], ids=["no iteration", "nor an inner one"])
def test_a_loop_that_never_iterates_drains_nothing(inner):
    epochs = Epochs()
    for mark in (LoopMark.begin, *inner, LoopMark.end):
        epochs.mark(mark)
    assert epochs.current() == 0
    assert epochs.drains == []


def test_nothing_waits_for_an_instruction_of_another_epoch_because_that_is_done():
    def body():
        tile = nl.zeros((128, 512), nl.float32)
        nl.fori_loop(0, 3, lambda _: nisa.tensor_scalar(tile, tile, nl.add, 1.0, engine=nisa.engine.vector))
        nisa.tensor_copy(nl.ndarray((128, 512), nl.float32), tile)

    tasks = traced(body).tasks
    assert [task.epoch for task in tasks] == [0, 1, 2, 3, 4]
    assert all(task.after == () for task in tasks)


def test_nested_loops_take_the_sum_of_their_drains():
    def outer(_):
        nl.fori_loop(0, 3, step)

    t = timed(between(lambda: nl.fori_loop(0, 2, outer)))
    assert t.latency_ns == pytest.approx(8 * ONE + (2 + 1) * ENTRY + (4 + 1) * TURN + (1 + 2) * EXIT)


def test_an_unrolled_loop_drains_nothing():
    def body():
        for _ in range(3):
            step()

    assert traced(body).drains == ([], [])


def test_the_cores_drain_each_for_itself():
    def body():
        step()
        if nl.program_id(0) == 1:
            step()
        nl.fori_loop(0, 2, step)

    t = timed(body, cores=2)
    loops = [[n for n in numbers(t, "memset", core) if t.tasks[n].epoch == 1] for core in (0, 1)]
    assert t.begin[loops[0][0]] == pytest.approx(ONE + ENTRY)
    assert t.begin[loops[1][0]] > t.begin[loops[0][0]]


ROUNDS, COLUMNS = 6, 2048
SOURCE = np.zeros((128, ROUNDS * COLUMNS), np.float32)


def rounds(source, ring, looped):
    """Each round works on a tile of a ring and then loads into it what the round works on that has it next."""
    tiles = [nl.zeros((128, COLUMNS), nl.float32) for _ in range(ring)]

    def once(number):
        tile = tiles[number % ring if isinstance(number, int) else 0]
        nisa.tensor_scalar(nl.ndarray((128, COLUMNS), nl.float32), tile, nl.add, 1.0, engine=nisa.engine.vector)
        nisa.dma_copy(tile, source[:, :COLUMNS], dge_mode=nisa.dge_mode.none)

    if looped:
        nl.fori_loop(0, ROUNDS, once)
        return
    for number in range(ROUNDS):
        once(number)


def test_a_body_that_loads_for_the_next_iteration_gains_nothing_because_every_iteration_drains():
    t = timed(lambda source: rounds(source, 1, looped=True), SOURCE)
    works, loads = numbers(t, "tensor_scalar"), numbers(t, "dma_copy")
    assert [t.issue[n] for n in works[1:]] == pytest.approx([t.done[n] + TURN for n in loads[:-1]])
    one = t.done[loads[0]] - t.issue[works[0]]
    assert t.done[loads[-1]] - t.issue[works[0]] == pytest.approx(ROUNDS * one + (ROUNDS - 1) * TURN)


def test_its_unrolled_twin_gains_from_a_second_tile_until_the_dma_engines_are_busy():
    alone, ring = (timed(lambda source, ring=ring: rounds(source, ring, looped=False), SOURCE) for ring in (1, 2))
    moving = 8 * (ns("dma.descriptor") + COLUMNS * 4 / ns("dma.rate"))  # an engine's eight partitions
    loads = numbers(ring, "dma_copy")
    assert [ring.end[b] - ring.end[a] for a, b in pairwise(loads[1:])] == pytest.approx([moving] * (ROUNDS - 2))
    works, loads = numbers(alone, "tensor_scalar"), numbers(alone, "dma_copy")
    assert all(alone.issue[work] > alone.done[load] for load, work in zip(loads, works[1:], strict=False))
    assert alone.latency_ns - ring.latency_ns > (ROUNDS - 2) * (alone.done[works[0]] - alone.issue[works[0]])


def test_two_tiles_of_one_iteration_do_overlap():
    """Several tiles in one iteration are what a loop gains by."""

    def body(source):
        def once(_):
            for _ in range(2):
                tile = nl.ndarray((128, COLUMNS), nl.float32)
                nisa.dma_copy(tile, source[:, :COLUMNS], dge_mode=nisa.dge_mode.none)
                nisa.tensor_scalar(tile, tile, nl.add, 1.0, engine=nisa.engine.vector)

        nl.fori_loop(0, 2, once)

    t = timed(body, SOURCE)
    works, loads = numbers(t, "tensor_scalar"), numbers(t, "dma_copy")
    assert t.issue[loads[1]] < t.issue[works[0]] < t.done[loads[1]]
    assert t.issue[loads[2]] == pytest.approx(t.done[works[1]] + TURN)
