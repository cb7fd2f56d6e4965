"""The critical path: no gap, no overlap, and each nanosecond where it belongs."""

import numpy as np
import pytest
from support.hand_made import HandMade, transfer_cost
from support.timed_kernels import copy_hbm, every_engine, many_matmuls, many_vector_instructions
from support.timeline import ns, timed

import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim import Simulator
from nkisim.timing import Order
from nkisim.timing.costs import Cost
from nkisim.timing.critical_path import RESOURCES, critical_path
from nkisim.timing.duration import Duration
from nkisim.timing.timeline import Timeline

SQUARE = np.ones((128, 128), np.float32).astype("bfloat16")


def timeline_of(kernel, *args, lnc=1) -> Timeline:
    return Simulator("trn2", lnc).run(kernel, *args).profile.prediction.timeline


@pytest.mark.parametrize("lnc", [1, 2])
def test_steps_follow_each_other_from_zero_to_the_latency(lnc):
    timeline = timeline_of(every_engine, SQUARE, SQUARE, lnc=lnc)
    steps = critical_path(timeline).steps
    assert len(steps) > 5
    assert steps[0].start == 0
    assert steps[-1].end == timeline.latency_ns == max(timeline.done)
    assert [step.end for step in steps[:-1]] == [step.start for step in steps[1:]]
    assert all(step.ns >= 0 for step in steps)


@pytest.mark.parametrize("lnc", [1, 2])
def test_resources_and_confidences_add_up_to_the_latency(lnc):
    timeline = timeline_of(every_engine, SQUARE, SQUARE, lnc=lnc)
    path = critical_path(timeline)
    assert sum(path.ns_by_resource.values()) == pytest.approx(timeline.latency_ns, rel=1e-12)
    assert path.confidence.ns == pytest.approx(timeline.latency_ns, rel=1e-12)
    assert set(path.ns_by_resource) <= set(RESOURCES)
    assert list(path.ns_by_resource.values()) == sorted(path.ns_by_resource.values(), reverse=True)


def looped(x):
    """Two loads and an activation an iteration, and something behind the loop; on each core the same."""
    out = nl.ndarray(x.shape, x.dtype, buffer=nl.private_hbm)

    def once(_):
        for _ in range(2):
            tile = nl.load(x)
            nisa.activation(tile, nl.exp, tile)
            nisa.dma_copy(out, tile)

    nl.fori_loop(0, 3, once)
    nisa.dma_copy(out, nl.load(x))
    return out


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("cores", [1, 2])
def test_steps_lead_through_the_drains_of_loops_in_either_order(cores, order):
    t = timed(looped, np.ones((128, 512), np.float32), cores=cores, order=order)
    path = critical_path(t)
    assert (path.steps[0].start, path.steps[-1].end) == (0, t.latency_ns)
    assert [step.end for step in path.steps[:-1]] == [step.start for step in path.steps[1:]]
    assert all(step.ns >= 0 for step in path.steps)
    assert sum(path.ns_by_resource.values()) == pytest.approx(t.latency_ns, rel=1e-12)
    drains = ns("sync.loop_entry") + 2 * ns("sync.loop_turn") + ns("sync.loop_exit")
    assert drains <= path.ns_by_resource["sync"] < drains + 3 * 2 * 2 * ns("sync.semaphore")


def test_a_chain_over_two_engines_is_cut_at_begin_end_and_result():
    made = HandMade()
    first = made.engine("vector", (0, 0, 100, 140))
    made.engine("scalar", (170, 170, 300, 400), because=first, reason="operand")
    path = critical_path(made.timeline)
    assert path.ns_by_resource == {"latency": 40 + 100, "scalar": 130, "vector": 100, "sync": 30}
    assert path.bound_by == "latency"


def test_an_engine_that_waits_for_its_queue_counts_until_it_can_issue():
    made = HandMade()
    first = made.engine("vector", (0, 0, 100, 180))
    second = made.engine("vector", (100, 100, 200, 280), because=first, reason="queue")
    assert critical_path(made.timeline).ns_by_resource == {"vector": 200, "latency": 80}
    assert [step.task for step in critical_path(made.timeline).steps] == [first, second]


def test_the_parts_of_a_transfer_are_told_apart():
    made = HandMade()
    load = made.transfer("dge sync", (0, 1050, 1150, 1160), transfer_cost())
    made.engine("vector", (1460, 1460, 1500, 1500), because=load, reason="operand")
    path = critical_path(made.timeline)
    assert path.ns_by_resource == {"latency": 1000 + 10 + 300, "dma": 100, "dma_issue": 50, "vector": 40}
    assert path.confidence == pytest.approx(Duration(documented=100 + 40, derived=1000 + 10 + 300, assumed=50))


def test_the_time_of_a_transfer_that_the_stack_delays_is_of_the_stack():
    made = HandMade()
    made.transfer("dge sync", (0, 1050, 1450, 1460), transfer_cost(), reason="hbm")
    assert critical_path(made.timeline).ns_by_resource["hbm"] == 400
    assert "dma" not in critical_path(made.timeline).ns_by_resource


@pytest.mark.parametrize(("reason", "resource"), [("dma", "dma"), ("hbm", "hbm")])
def test_a_transfer_that_waits_behind_another_passes_the_blame_on(reason, resource):
    made = HandMade()
    big = made.transfer("dge sync", (0, 1050, 3050, 3060), transfer_cost(moving=2000))
    small = made.transfer("dge sync", (50, 3050, 3150, 3160), transfer_cost(), reason=reason)
    path = critical_path(made.timeline)
    assert [(step.task, step.start, step.end) for step in path.steps] == [(big, 0, 3050), (small, 3050, 3160)]
    assert path.ns_by_resource["latency"] == 1000 + 10
    assert path.ns_by_resource[resource] >= 100
    assert path.ns_by_resource["dma"] >= 2000


@pytest.mark.parametrize(
    ("reason", "core", "queue", "engines"),
    [
        ("dma", 1, "dge sync", (2000.0, 0.0)),
        ("dma", 0, "dge scalar", (2000.0, 0.0)),
        ("dma", 0, "dge sync", (0.0, 2000.0)),
        ("operand", 0, "dge sync", (2000.0, 0.0)),
    ],
    ids=["another core", "another queue", "other engines", "no wait"],
)
def test_a_transfer_that_does_not_wait_behind_another_blames_nobody(reason, core, queue, engines):
    made = HandMade()
    cost = transfer_cost(moving=2000)
    cost.engines = engines
    made.transfer(queue, (0, 1050, 3050, 3060), cost, core=core)
    small = made.transfer("dge sync", (50, 3050, 3150, 3160), transfer_cost(), reason=reason)
    assert [step.task for step in critical_path(made.timeline).steps] == [small]


def test_a_transfer_that_is_only_waited_for_until_its_issue_blames_nobody():
    made = HandMade()
    made.transfer("dge sync", (0, 1050, 3050, 3060), transfer_cost(moving=2000))
    second = made.transfer("dge sync", (50, 3050, 3150, 3160), transfer_cost(), because=-1, reason="dma")
    third = made.transfer("dge sync", (100, 5000, 5100, 5110), transfer_cost(), because=second, reason="queue")
    assert [step.task for step in critical_path(made.timeline).steps] == [second, third]


def test_descriptors_that_software_makes_are_work_of_the_gpsimd_engine():
    made = HandMade()
    first = made.transfer("gpsimd", (0, 900, 950, 960), transfer_cost(issue=900, start=0))
    made.engine("gpsimd", (900, 900, 1000, 1000), because=first, reason="queue")
    assert critical_path(made.timeline).ns_by_resource == {"gpsimd": 1000}


def test_a_drain_is_control_behind_the_result_of_the_last_task_before_it():
    made = HandMade()
    turn = made.machine.number("sync.loop_turn")
    last = made.engine("vector", (0, 0, 100, 140))
    at = 140 + turn
    made.engine("scalar", (at, at, at + 50, at + 50), because=last, reason="drain", epoch=1)
    path = critical_path(made.timeline)
    assert path.ns_by_resource == {"sync": turn, "vector": 100, "scalar": 50, "latency": 40}
    assert path.confidence == pytest.approx(Duration(documented=150, derived=turn + 40))


def test_a_loop_that_begins_the_program_is_control():
    made = HandMade()
    made.engine("vector", (3500, 3500, 3600, 3600), reason="drain", epoch=1)
    assert critical_path(made.timeline).ns_by_resource == {"sync": 3500, "vector": 100}


def test_a_barrier_is_control_and_leads_to_the_core_that_came_last():
    made = HandMade()
    late = made.engine("vector", (0, 0, 700, 700), core=1)
    met = made.engine("gpsimd", (700, 700, 900, 900), core=1, because=late, reason="operand", meeting=0)
    made.engine("gpsimd", (700, 700, 950, 950), because=met, reason="meeting", meeting=0)
    path = critical_path(made.timeline)
    assert path.ns_by_resource == {"vector": 700, "sync": 250}
    assert [made.timeline.tasks[step.task].core for step in path.steps] == [1, 1, 0]


def test_a_follower_that_does_not_wait_for_the_result_ends_the_step_early():
    made = HandMade()
    reader = made.engine("vector", (0, 0, 100, 500))
    made.engine("scalar", (130, 130, 600, 600), because=reader, reason="operand")
    assert critical_path(made.timeline).ns_by_resource == {"scalar": 470, "vector": 100, "latency": 30}


def test_durations_rest_on_the_constants_of_the_cost():
    made = HandMade()
    cost = Cost(busy=Duration(documented=75, derived=25), latency=Duration(documented=75, assumed=125))
    made.engine("vector", (0, 0, 100, 200), cost)
    assert critical_path(made.timeline).confidence == pytest.approx(Duration(documented=75, derived=25, assumed=100))


def test_only_the_chain_behind_the_last_task_counts():
    made = HandMade()
    made.engine("gpsimd", (0, 0, 390, 390))
    last = made.engine("vector", (0, 0, 400, 400))
    path = critical_path(made.timeline)
    assert [step.task for step in path.steps] == [last]
    assert path.ns_by_resource == {"vector": 400}


def test_a_program_without_instructions_is_bound_by_nothing():
    path = critical_path(HandMade().timeline)
    assert (path.steps, path.ns_by_resource, path.bound_by) == ([], {}, "nothing")
    assert path.confidence == Duration()


@pytest.mark.parametrize(
    ("kernel", "inputs", "resource"),
    [
        (many_matmuls, (), "tensor"),
        (many_vector_instructions, (), "vector"),
        (copy_hbm, (np.ones((128, 8192), np.float32),), "dma"),
    ],
)
def test_kernels_that_do_one_thing_are_bound_by_it(kernel, inputs, resource):
    assert critical_path(timeline_of(kernel, *inputs)).bound_by == resource
