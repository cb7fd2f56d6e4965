"""What schedules of one program share: who waits for whom, and what everything costs."""

import numpy as np
import pytest
from support.programs import HandProgram, cost, moved
from support.timed_kernels import many_matmuls
from support.timeline import TRN2, traced

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import SimulationError
from nkisim.timing.flat.waits import KIND, ON_PE, SHIFT
from nkisim.timing.flat.ways import PLAIN
from nkisim.timing.schedule import schedule
from nkisim.timing.task import AFTER_ISSUE, AFTER_RESULT

QUICK = cost(10.0)


def test_matmuls_of_one_core_that_follow_each_other_stand_apart_from_all_that_wait():
    made = HandProgram()
    first = made.add("tensor", QUICK)
    second = made.add("tensor", QUICK, [first])
    reader = made.add("vector", QUICK, [second])
    refill = made.add("dge sync", moved(5.0), [second], kind=AFTER_ISSUE)
    elsewhere = made.add("tensor", QUICK, [first], core=1)
    behind = followers_of(made.program)
    assert behind[first] == [(second, ON_PE), (elsewhere, AFTER_RESULT)]
    assert behind[second] == [(reader, AFTER_RESULT), (refill, AFTER_ISSUE)]


def followers_of(program):
    """Of each task, who waits for it and for what."""
    tasks, entries, *_ = program.flat(PLAIN).followers
    return [[(entry >> SHIFT, entry & KIND) for entry in entries[task.first : task.stop]] for task in tasks]


def test_every_task_is_told_by_all_that_it_waits_for():
    program = traced(many_matmuls)
    told = [0] * len(program.tasks)
    for others in followers_of(program):
        for other, _ in others:
            told[other] += 1
    assert told == [len(task.after) for task in program.tasks]
    assert any(told)


def waits_of(made, order=None):
    """What each task waits for in an order, by default the program's."""
    tasks, waits, *_ = made.program.flat(PLAIN).in_order(order or made.program.order)
    return [tuple(waits[task.first : task.stop]) for task in tasks]


def test_a_queue_waits_once_for_what_several_of_its_instructions_need():
    made = HandProgram()
    loaded = made.add("dma", moved(5.0))
    first, again = (made.add("vector", QUICK, [loaded]) for _ in range(2))
    elsewhere = made.add("scalar", QUICK, [loaded])
    waits = waits_of(made)
    assert waits[first] == waits[elsewhere] == (2 * loaded,)
    assert waits[again] == ()


def test_a_later_reason_of_the_same_queue_to_wait_is_kept():
    made = HandProgram()
    loads = [made.add("dma", moved(5.0)) for _ in range(2)]
    made.add("vector", QUICK, loads[:1])
    both = made.add("vector", QUICK, loads)
    assert waits_of(made)[both] == (2 * loads[1],)


def test_triggers_that_may_overtake_each_other_wait_each_for_themselves():
    made = HandProgram()
    ready = made.add("vector", QUICK)
    triggers = [made.add("dge sync", moved(5.0), [ready]) for _ in range(2)]
    assert [waits_of(made)[number] for number in triggers] == [(2 * ready,)] * 2


def test_matmuls_of_other_work_wait_again_because_they_prepare_for_other_times():
    made = HandProgram()
    loaded = made.add("dma", moved(5.0))
    short, long, alike = (made.add("tensor", cost(10.0, load=load), [loaded]) for load in (1.0, 8.0, 8.0))
    made.program.tasks[alike].work = made.program.tasks[long].work
    waits = waits_of(made)
    assert waits[short] == waits[long] == (2 * loaded,)
    assert waits[alike] == ()


def test_a_matmul_does_not_wait_for_one_that_the_pe_has_begun_before():
    made = HandProgram()
    first = made.add("tensor", QUICK)
    second = made.add("tensor", QUICK, [first])
    assert waits_of(made)[second] == ()


def test_matmuls_that_wait_against_their_order_are_told():
    made = HandProgram()
    made.add("tensor", QUICK, [1])
    made.add("tensor", QUICK)
    with pytest.raises(SimulationError, match="2 wait for each other"):
        schedule(made.program, TRN2)


def test_what_is_left_to_wait_for_depends_on_the_order():
    made = HandProgram()
    loaded = made.add("dma", moved(5.0))
    first, second = (made.add("vector", QUICK, [loaded]) for _ in range(2))
    order = {**made.program.order, (0, "vector"): [second, first]}
    assert (waits_of(made)[second], waits_of(made, order)[second]) == ((), (2 * loaded,))


def test_costs_of_one_machine_are_not_taken_for_those_of_another():
    works, slow = traced(many_matmuls).works, TRN2.slowest(("pe_time",))
    nominal = works.costs(TRN2)
    assert works.costs(TRN2) is nominal
    assert sum(c.busy.ns for c in works.costs(slow)) > sum(c.busy.ns for c in nominal)
    assert [c.busy for c in works.costs(TRN2)] == [c.busy for c in nominal]


def test_costs_are_computed_again_for_a_program_that_has_grown():
    works, others = traced(many_matmuls).works, traced(copy_columns, np.zeros((128, 64), np.float32)).works
    before = len(works.costs(TRN2))
    works.number(others.examples[-1], ((), ()))
    assert len(works.costs(TRN2)) == before + 1


def copy_columns(hbm):
    """A tile is loaded, and copied in two halves, each through a view of its own."""
    t, out = nl.ndarray((128, 64), nl.float32), nl.ndarray((128, 64), nl.float32)
    nisa.dma_copy(t, hbm)
    for columns in (slice(0, 32), slice(32, 64)):
        nisa.tensor_copy(out[:, columns], t[:, columns])


def copy_thrice(hbm, same_view):
    t, out = nl.ndarray((128, 64), nl.float32), nl.ndarray((128, 64), nl.float32)
    nisa.dma_copy(t, hbm)
    kept = t.ap([[64, 128], [1, 32]])
    for _ in range(3):
        nisa.tensor_copy(out[:, :32], kept if same_view else t.ap([[64, 128], [1, 32]]))
    nisa.memset(t, 0.0)


def test_an_operand_waits_alike_whether_its_view_was_made_once_or_again():
    hbm = np.zeros((128, 64), np.float32)
    kept, anew = (
        [(sorted(task.after), task.work) for task in traced(copy_thrice, hbm, same).tasks] for same in (True, False)
    )
    assert kept == anew
    assert len(kept[-1][0]) > 3, "the last write waits for the load and all three readers"


def rooms(used_late):
    """Four tiles nearly fill SBUF, the fifth takes the room of one; the first may be used again behind it."""
    tiles = [nl.ndarray((128, 44 << 10), nl.uint8) for _ in range(5)]
    for tile in tiles:
        nisa.memset(tile, 0)
        nisa.tensor_copy(tile[:, 8:16], tile[:, :8])
    if used_late:
        nisa.tensor_copy(tiles[0][:, 8:16], tiles[0][:, :8])


@pytest.mark.parametrize(("used_late", "given_up"), [(False, 0), (True, 1)])
def test_a_tile_keeps_its_room_until_the_last_use_of_a_view(used_late, given_up):
    tasks = traced(rooms, used_late).tasks
    fifth = [task for task in tasks if task.opcode == "memset"][4]
    assert {waited >> 1 for waited in fifth.after} == {2 * given_up, 2 * given_up + 1}
