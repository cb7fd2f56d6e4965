"""A prediction is a function of the kernel; it changes nothing; it is quick."""

import resource
import time

import numpy as np
import pytest
from support.timeline import TRN2, timed

import nkisim
import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.observe import Observer
from nkisim.timing import Order, Timer, timeline
from nkisim.timing.schedule import schedule
from nkisim.timing.task import AFTER_ISSUE, AFTER_RESULT, Task
from nkisim.timing.timer import Program

RNG = np.random.default_rng(0)
LEFT, RIGHT = RNG.standard_normal((256, 128), np.float32), RNG.standard_normal((256, 512), np.float32)


def product(left_t, right):
    """[128, 512], halves of K in turn, on each core its half of the rows of K."""
    total = nl.ndarray((128, 512), nl.float32, buffer=nl.psum)
    for k in range(0, 256, 128):
        stationary, moving = nl.ndarray((128, 128), nl.float32), nl.ndarray((128, 512), nl.float32)
        nisa.dma_copy(stationary, left_t[k : k + 128])
        nisa.dma_copy(moving, right[k : k + 128])
        nisa.nc_matmul(total, stationary, moving)
    result = nl.ndarray((128, 512), nl.float32)
    nisa.activation(result, nl.gelu, total)
    out = nl.ndarray((128, 512), nl.float32, buffer=nl.private_hbm)
    nisa.dma_copy(out, result)
    return out


def told(timeline):
    return timeline.issue, timeline.begin, timeline.end, timeline.done, timeline.because, timeline.reason


@pytest.mark.parametrize("cores", [1, 2])
def test_every_run_predicts_the_same(cores):
    first = timed(product, LEFT, RIGHT, cores=cores)
    assert first.latency_ns > 0
    for _ in range(3):
        assert told(timed(product, LEFT, RIGHT, cores=cores)) == told(first)


def test_a_timeline_asked_for_twice_is_the_same():
    timer = Timer(TRN2)
    nkisim.Simulator("trn2", 1, observers=[timer]).run(product, LEFT, RIGHT)
    assert told(timer.timeline()) == told(timer.timeline())


def test_results_have_the_same_bits_with_and_without_time():
    plain = nkisim.Simulator("trn2", 1).run(product, LEFT, RIGHT).outputs
    with_time = nkisim.Simulator("trn2", 1, observers=[Timer(TRN2)]).run(product, LEFT, RIGHT).outputs
    assert plain.tobytes() == with_time.tobytes()


def test_shapes_alone_predict_the_same():
    timer = Timer(TRN2)
    nkisim.Simulator("trn2", 1, observers=[timer], numerics=False).run(product, LEFT, RIGHT)
    assert told(timer.timeline()) == told(timed(product, LEFT, RIGHT))


def test_values_do_not_change_a_prediction():
    assert told(timed(product, np.zeros_like(LEFT), RIGHT)) == told(timed(product, LEFT, RIGHT))


class _Examples(Observer):
    """The works of a kernel, by opcode."""

    def __init__(self):
        self.program, self.works = Program(), {}

    def on_instruction(self, event):
        self.works[event.opcode] = self.program.works.number(event), event
        return []


def synthetic(count):
    """A pipeline of so many tasks: two loads, two matmuls, a copy, and so on, four deep, as a tiled matmul has it."""
    examples = _Examples()
    nkisim.Simulator("trn2", 1, observers=[examples]).run(product, LEFT, RIGHT)
    steps = ("dma_copy", "dma_copy", "nc_matmul", "nc_matmul", "activation")
    tasks = examples.program.tasks
    for number in range(count):
        opcode = steps[number % len(steps)]
        work, event = examples.works[opcode]
        after = {(n, kind) for n, kind in _before(number, number % len(steps), len(steps)) if n >= 0}
        queue = "dma" if opcode == "dma_copy" else event.engine
        tasks.append(
            Task(number, 0, number, opcode, event.engine, event.location, None, queue, work, [],
                 tuple(n * 2 + kind for n, kind in sorted(after)))
        )  # fmt: skip
    return examples.program


def _before(number, step, steps):
    """A matmul follows its load, the copy both matmuls; a load takes over the tile of the matmul four rounds before."""
    if step < 2:
        return [(number + 2 - 4 * steps, AFTER_ISSUE)]
    if step < 4:
        return [(number - 2, AFTER_RESULT), (number - step + 4 - 4 * steps, AFTER_ISSUE)]
    return [(number - 1, AFTER_RESULT), (number - 2, AFTER_RESULT)]


def test_a_longer_synthetic_program_takes_in_proportion_longer():
    short, long = (schedule(synthetic(n), TRN2).latency_ns for n in (2000, 4000))
    assert long / short == pytest.approx(2, rel=0.02)


@pytest.mark.slow
def test_a_million_tasks_are_scheduled_in_a_minute_and_four_gigabytes():
    program = synthetic(1_000_000)
    started = time.process_time()
    timeline = schedule(program, TRN2)
    taken = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"{len(timeline.tasks)} tasks in {taken:.1f} s of processor time, {peak / 2**30:.2f} GiB at most")
    assert len(timeline.done) == 1_000_000
    assert min(timeline.done) > 0
    assert taken < 60
    assert peak < 4 * 2**30
