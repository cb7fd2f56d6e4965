"""A prediction is a function of the kernel; it changes nothing; it is quick."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.synthetic import product, synthetic
from support.timeline import TRN2, timed, traced

import nkisim
from nkisim.timing import Order, Timer, timeline

RNG = np.random.default_rng(0)
LEFT, RIGHT = RNG.standard_normal((256, 128), np.float32), RNG.standard_normal((256, 512), np.float32)


def told(made):
    return made.issue, made.begin, made.end, made.done, made.because, made.reason


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("cores", [1, 2])
def test_every_run_predicts_the_same(cores, order):
    first = timed(product, LEFT, RIGHT, cores=cores, order=order)
    assert first.latency_ns > 0
    for _ in range(3):
        assert told(timed(product, LEFT, RIGHT, cores=cores, order=order)) == told(first)


@pytest.mark.parametrize("order", Order)
def test_a_timeline_asked_for_twice_is_the_same(order):
    program = traced(product, LEFT, RIGHT)
    assert told(timeline(program, TRN2, order)) == told(timeline(program, TRN2, order))


def test_one_order_leaves_the_other_as_it_is():
    program = traced(product, LEFT, RIGHT)
    first = told(timeline(program, TRN2, Order.program))
    timeline(program, TRN2, Order.compiler)
    assert told(timeline(program, TRN2, Order.program)) == first


def test_results_have_the_same_bits_with_and_without_time():
    with_time = nkisim.Simulator("trn2", 1).run(product, LEFT, RIGHT)
    assert with_time.profile.latency_us > 0
    plain = nkisim.Simulator("trn2", 1, timing=False).run(product, LEFT, RIGHT)
    assert plain.outputs.tobytes() == with_time.outputs.tobytes()


@pytest.mark.parametrize("order", Order)
def test_shapes_alone_predict_the_same(order):
    timer = Timer(TRN2)
    nkisim.Simulator("trn2", 1, observers=[timer], numerics=False).run(product, LEFT, RIGHT)
    assert told(timeline(timer.program, TRN2, order)) == told(timed(product, LEFT, RIGHT, order=order))


@pytest.mark.parametrize("order", Order)
def test_values_do_not_change_a_prediction(order):
    zeros = timed(product, np.zeros_like(LEFT), RIGHT, order=order)
    assert told(zeros) == told(timed(product, LEFT, RIGHT, order=order))


@pytest.mark.parametrize("order", Order)
def test_a_longer_synthetic_program_takes_in_proportion_longer(order):
    short, long = (timeline(synthetic(n), TRN2, order).latency_ns for n in (2000, 4000))
    assert long / short == pytest.approx(2, rel=0.02)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_compiler_order_of_a_million_tasks_takes_a_minute_and_four_gigabytes_at_most():
    tests = Path(__file__).resolve().parents[2]
    path = os.pathsep.join([str(tests), os.environ.get("PYTHONPATH", "")])
    made = subprocess.run(
        [sys.executable, "-m", "support.synthetic", "1000000"], capture_output=True, text=True, check=True, cwd=tests,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    used = json.loads(made.stdout)
    print(f"{used['seconds']:.1f} s of processor time, {used['bytes'] / 2**30:.2f} GiB at most")
    assert used["done"] == 1_000_000
    assert used["seconds"] < 60
    assert used["bytes"] < 4 * 2**30
