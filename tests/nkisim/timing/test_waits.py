"""Which line an instruction waited for while its queue had nothing to do."""

import ml_dtypes
import numpy as np
import pytest
from support import timed_kernels

from nkisim import Simulator
from nkisim.report.source_text import line_text
from nkisim.timing.waits import waits

ONES = np.ones((128, 128), ml_dtypes.bfloat16)


def waited(kernel, *arguments, cores=1):
    timeline = Simulator("trn2", cores).run(kernel, *arguments).profile.prediction.timeline
    found = {}
    for place, causes in waits(timeline).items():
        for (line, reason), ns in causes.items():
            found[line_text(place).partition("(")[0], line_text(line).partition("(")[0], reason] = ns
    return found, timeline


def test_an_activation_waits_for_the_matmul_it_reads():
    found, _ = waited(timed_kernels.every_engine, ONES, ONES)
    assert found["nisa.activation", "nisa.nc_matmul", "operand"] > 0
    assert found["nisa.nc_matmul", "nisa.dma_copy", "operand"] > 0
    assert ("nisa.nc_matmul", "nisa.memset", "operand") not in found


def test_waits_of_a_queue_and_its_work_fit_into_the_latency():
    found, timeline = waited(timed_kernels.every_engine, ONES, ONES)
    busy = sum(timeline.end[t.number] - timeline.begin[t.number] for t in timeline.tasks if t.engine == "scalar")
    waiting = sum(ns for (line, *_), ns in found.items() if line == "nisa.activation")
    assert 0 < busy + waiting <= timeline.latency_ns


def test_nothing_waits_in_a_program_without_instructions():
    timeline = Simulator("trn2").run(lambda x: x, ONES).profile.prediction.timeline
    assert waits(timeline) == {}


@pytest.mark.parametrize("cores", [1, 2])
def test_no_wait_is_negative(cores):
    found, _ = waited(timed_kernels.every_engine, ONES, ONES, cores=cores)
    assert min(found.values()) > 0
