"""Quantities over time."""

import itertools

import numpy as np
import pytest
from support.hand_made import HandMade, transfer_cost
from support.timed_kernels import copy_hbm

from nkisim import Simulator
from nkisim.memory import MemoryRegion
from nkisim.report.counters import dma_rate, done_until, hbm_rate, memory_in_use


def integral(points):
    """Bytes under a curve of GB/s (bytes a nanosecond) over nanoseconds."""
    return sum(rate * (after - at) for (at, rate), (after, _) in itertools.pairwise(points))


def test_the_rate_is_bytes_over_time():
    made = HandMade()
    made.transfer("dge sync", (0, 1000, 2000, 2010), transfer_cost(nbytes=100_000))
    made.transfer("dge sync", (0, 1500, 2000, 2010), transfer_cost(nbytes=50_000))
    made.engine("vector", (0, 0, 4000, 4000))
    assert [*dma_rate(made.timeline, 0)] == [(0, 0), (1000, 100), (1500, 200), (2000, 0)]
    assert [*dma_rate(made.timeline, 1)] == []
    assert [*hbm_rate(made.timeline)] == [*dma_rate(made.timeline, 0)]


def test_the_bytes_under_the_curve_are_those_of_the_counters():
    profile = Simulator("trn2").run(copy_hbm, np.ones((128, 2048), np.float32)).profile
    moved = integral([*hbm_rate(profile.prediction.timeline)])
    assert moved == pytest.approx(profile.hbm_read + profile.hbm_written, rel=1e-3)


def test_work_is_spread_evenly_over_its_time():
    edges = np.array([0.0, 5, 10, 15, 20])
    begin, end, amount = np.array([0.0, 10]), np.array([10.0, 20]), np.array([10.0, 40])
    np.testing.assert_allclose(done_until(edges, begin, end, amount), [0, 5, 10, 30, 50])


def test_memory_rises_to_the_peak_and_falls_to_nothing(one_core):
    timeline, capacity = one_core.prediction.timeline, one_core.capacity
    points = [*memory_in_use(timeline, capacity, 0, MemoryRegion.sbuf)]
    assert max(used for _, used in points) == one_core.sbuf_peak_bytes
    assert points[-1][0] <= timeline.latency_ns
    assert points[-1][1] == 0
    assert [*memory_in_use(timeline, capacity, 1, MemoryRegion.sbuf)] == [(0, 0)]
