"""The order in which a compiler would place instructions: what moves, what stays, and that nothing ever hangs."""

from collections import defaultdict
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.programs import HandProgram, cost, moved
from support.random_programs import programs
from support.timeline import TRN2, ns, numbers, timed, vector_busy, vector_latency

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.timing import Order
from nkisim.timing.compiler_order import compiler_order
from nkisim.timing.costs import Transfer
from nkisim.timing.schedule import schedule
from nkisim.timing.task import AFTER_ISSUE, program_order

VECTOR, SCALAR = (0, "vector"), (0, "scalar")
SYNC = (0, "dge sync")
BUSY = vector_busy(512, ns("dve_rate.copy_32_sbuf"))
RESULT = vector_latency(512, ns("dve_rate.copy_32_sbuf")) + ns("sync.semaphore")


def placed(made, look_ahead=32):
    return compiler_order(made.program, TRN2, look_ahead)


def chain():
    """A tile is written and copied, both on the Vector Engine."""
    a = nl.ndarray((128, 512), nl.float32)
    nisa.memset(a, 1.0, engine=nisa.engine.vector)
    nisa.tensor_copy(nl.ndarray((128, 512), nl.float32), a, engine=nisa.engine.vector)


def two_chains():
    chain()
    chain()


def test_independent_chains_are_woven_into_each_other():
    assert RESULT < 2 * BUSY, "the second write hides the first one's latency"
    written, woven = timed(two_chains, order=Order.program), timed(two_chains, order=Order.compiler)
    last = vector_latency(512, ns("dve_rate.copy_32_sbuf"))
    assert written.latency_ns == pytest.approx(2 * RESULT + BUSY + last)
    assert woven.latency_ns == pytest.approx(3 * BUSY + last)
    assert sorted(woven.begin) == [woven.begin[n] for n in (0, 2, 1, 3)]


def test_without_reordering_the_compiler_keeps_them_as_they_are_written():
    def body():
        with nl.no_reorder():
            two_chains()

    written, kept = timed(body, order=Order.program), timed(body, order=Order.compiler)
    assert kept.begin == written.begin == timed(two_chains, order=Order.program).begin


def test_what_is_outside_may_move_past_what_must_stay_in_order():
    def body():
        with nl.no_reorder():
            two_chains()
        chain()

    t = timed(body, order=Order.compiler)
    inside, outside = t.begin[:4], t.begin[4:]
    assert inside == sorted(inside)
    assert outside[0] < inside[1], "it fills the wait for a result"


def long_behind_short(hold):
    """A short instruction, and one with a long chain behind it, which a compiler starts with unless it is held."""

    def body():
        first = nisa.memset(nl.ndarray((128, 512), nl.float32), 1.0, engine=nisa.engine.vector)
        a, b = nl.ndarray((128, 512), nl.float32), nl.ndarray((128, 512), nl.float32)
        second = nisa.memset(a, 1.0, engine=nisa.engine.vector)
        if hold:
            second.depends_on(first)
        nisa.activation(b, nl.exp, a)

    return body


def test_the_instruction_with_the_longest_chain_behind_it_goes_first():
    t = timed(long_behind_short(hold=False), order=Order.compiler)
    assert t.begin[:2] == pytest.approx([BUSY, 0.0])


@pytest.mark.parametrize("order", Order)
def test_depends_on_holds_an_instruction_back(order):
    t = timed(long_behind_short(hold=True), order=order)
    assert t.begin[:2] == pytest.approx([0.0, RESULT])


def test_operands_keep_their_order_whatever_is_gained():
    def body():
        a, b = nl.ndarray((128, 512), nl.float32), nl.ndarray((128, 512), nl.float32)
        nisa.memset(a, 1.0, engine=nisa.engine.vector)
        nisa.tensor_copy(b, a, engine=nisa.engine.vector)
        nisa.memset(a, 2.0, engine=nisa.engine.vector)
        nisa.activation(nl.ndarray((128, 512), nl.float32), nl.exp, a)

    t = timed(body, order=Order.compiler)
    assert t.begin == sorted(t.begin)


def two_readers_and_a_write():
    """The first reader waits for something else; the second one and the write that follows both do not."""
    a, *copies = (nl.ndarray((128, 512), nl.float32) for _ in range(3))
    nisa.memset(a, 1.0, engine=nisa.engine.vector)
    slow = nisa.memset(nl.ndarray((128, 16384), nl.float32), 1.0, engine=nisa.engine.gpsimd)
    for copy in copies:
        read = nisa.tensor_copy(copy, a, engine=nisa.engine.vector)
        if copy is copies[0]:
            read.depends_on(slow)
    nisa.activation(a, nl.exp, copies[1])


@pytest.mark.parametrize("order", Order)
def test_a_write_waits_for_every_reader_of_what_it_overwrites(order):
    t = timed(two_readers_and_a_write, order=order)
    write = numbers(t, "activation")[0]
    assert all(t.issue[write] >= t.end[reader] for reader in numbers(t, "tensor_copy"))


def test_what_is_further_ahead_than_is_looked_does_not_move():
    made = HandProgram()
    slow = made.add("scalar", cost(1000))
    waiting = [made.add("vector", cost(10), [slow]) for _ in range(4)]
    free = made.add("vector", cost(10))
    assert placed(made, 4)[VECTOR] == [*waiting, free]
    assert placed(made, 5)[VECTOR] == [free, *waiting]


def test_each_instruction_placed_makes_room_for_one_more():
    made = HandProgram()
    slow = made.add("scalar", cost(1000))
    waits = made.add("vector", cost(10), [slow])
    others = [made.add("vector", cost(10)) for _ in range(6)]
    assert placed(made, 2)[VECTOR] == [*others, waits]


def test_a_look_ahead_of_one_keeps_program_order():
    made = HandProgram()
    slow = made.add("scalar", cost(1000))
    for _ in range(4):
        made.add("vector", cost(10), [slow])
        made.add("vector", cost(10))
    assert placed(made, 1) == program_order(made.program.tasks)


def test_triggers_of_transfers_go_in_the_order_in_which_they_can_start():
    made = HandProgram()
    slow = made.add("scalar", cost(1000))
    store = made.add("dge sync", moved(100), [slow])
    short, long = made.add("dge sync", moved(100)), made.add("dge sync", moved(100))
    made.add("vector", cost(5000), [long])
    assert placed(made)[SYNC] == [short, long, store]


def test_transfers_with_static_descriptors_keep_their_order():
    made = HandProgram()
    slow = made.add("scalar", cost(1000))
    store, load = made.add("dma", moved(100), [slow]), made.add("dma", moved(100))
    assert placed(made)[0, "dma"] == [store, load]


def test_functions_of_one_table_stay_together_unless_a_path_is_much_longer():
    def order(longer):
        made = HandProgram()
        start = made.add("scalar", cost(10, table="exp"))
        other = made.add("scalar", cost(10, table="tanh"), [start])
        same = made.add("scalar", cost(10, table="exp"), [start])
        made.add("vector", cost(longer), [other])
        return placed(made)[SCALAR] == [start, same, other]

    assert order(ns("act_time.table_load"))
    assert not order(3 * ns("act_time.table_load"))


def test_nothing_moves_over_a_drain():
    made = HandProgram()
    slow = made.add("scalar", cost(1000))
    waits = made.add("vector", cost(10), [slow])
    made.drain(0)
    after = made.add("vector", cost(10), epoch=1)
    assert placed(made)[VECTOR] == [waits, after]


def test_both_cores_place_a_barrier_at_once():
    made = HandProgram()
    late = made.add("vector", cost(5000), core=1)
    first = made.add("gpsimd", cost(100), meeting=0)
    other = made.add("gpsimd", cost(10))
    second = made.add("gpsimd", cost(100), [late], core=1, meeting=0)
    order = placed(made)
    assert order[0, "gpsimd"] == [other, first], "the other core is not there yet"
    assert order[1, "gpsimd"] == [second]


@settings(max_examples=100, deadline=None)
@given(made=programs(), look_ahead=st.sampled_from([1, 2, 3, 8, 32]))
def test_an_order_has_every_task_once_and_looks_no_further_than_it_may(made, look_ahead):
    tasks, order = made.program.tasks, placed(made, look_ahead)
    written = program_order(tasks)
    assert {stream: sorted(tasks_of) for stream, tasks_of in order.items()} == written
    for stream, tasks_of in order.items():
        left = list(written[stream])
        for number in tasks_of:
            assert left.index(number) < look_ahead
            left.remove(number)
        assert [tasks[n].epoch for n in tasks_of] == sorted(tasks[n].epoch for n in tasks_of)
        ordered = [n for n in tasks_of if tasks[n].ordered]
        assert ordered == sorted(ordered)
    if look_ahead == 1:
        assert order == written


@settings(max_examples=100, deadline=None)
@given(made=programs(), look_ahead=st.sampled_from([1, 2, 8, 32]))
def test_streams_dependencies_and_meetings_form_no_circle(made, look_ahead):
    tasks, order = made.program.tasks, placed(made, look_ahead)
    together = {task.number: f"meeting {task.meeting}" if task.meeting >= 0 else task.number for task in tasks}
    before = defaultdict(set)
    for task in tasks:
        before[together[task.number]] |= {together[waited >> 1] for waited in task.after}
    for tasks_of in order.values():
        for earlier, later in pairwise(tasks_of):
            before[together[later]].add(together[earlier])
    left = set(before) | set(together.values())
    while left:
        free = {node for node in left if not before[node] & left}
        assert free, "a circle"
        left -= free


@settings(max_examples=100, deadline=None)
@given(made=programs(), look_ahead=st.sampled_from([None, 1, 2, 8, 32]))
def test_every_task_runs_in_the_end_and_none_before_what_it_waits_for(made, look_ahead):
    program = made.program
    t = schedule(program, TRN2, placed(made, look_ahead) if look_ahead else None)
    for task in program.tasks:
        n = task.number
        assert t.issue[n] <= t.begin[n] <= t.end[n] <= t.done[n]
        for waited in task.after:
            other, kind = program.tasks[waited >> 1], waited & 1
            if other.engine == task.engine == "tensor":
                assert t.begin[n] >= t.begin[other.number]
                continue
            semaphore = ns("dma.to_engine" if other.engine == "dma" else "sync.semaphore")
            until = t.end[other.number] if kind == AFTER_ISSUE else t.done[other.number]
            assert t.issue[n] >= until + semaphore - 1e-6
        for other in program.tasks:
            if other.core == task.core and other.epoch < task.epoch:
                assert t.issue[n] >= t.done[other.number] + ns("sync.loop_turn") - 1e-6
            if other.meeting == task.meeting >= 0:
                assert t.issue[n] == t.issue[other.number]


@settings(max_examples=60, deadline=None)
@given(made=programs(), look_ahead=st.sampled_from([1, 8, 32]))
def test_a_queue_works_on_one_thing_at_a_time_in_its_order(made, look_ahead):
    order = placed(made, look_ahead)
    t = schedule(made.program, TRN2, order)
    for tasks_of in order.values():
        for earlier, later in pairwise(tasks_of):
            work = t.costs[earlier]
            through = t.begin[earlier] if t.tasks[earlier].engine == "tensor" else t.end[earlier]
            if isinstance(work, Transfer):
                through = t.issue[earlier] + work.issue.ns
            assert t.issue[later] >= through - 1e-6
