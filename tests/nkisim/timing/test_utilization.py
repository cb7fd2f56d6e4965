"""Use of engines: unions of intervals, bytes that agree with the counters."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.hand_made import HandMade, transfer_cost
from support.timed_kernels import copy_hbm, every_engine

from nkisim import Simulator
from nkisim.timing.utilization import EngineUse, dma_use, engine_use, union_ns

INTERVAL = st.tuples(st.integers(0, 60), st.integers(0, 20)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(st.lists(INTERVAL, max_size=12))
def test_a_union_covers_each_nanosecond_once(intervals):
    assert union_ns(intervals) == len({ns for begin, end in intervals for ns in range(begin, end)})


def test_every_engine_of_every_core_counts_for_itself():
    made = HandMade()
    made.engine("vector", (0, 0, 100, 150))
    made.engine("vector", (100, 100, 130, 150))
    made.engine("vector", (0, 0, 70, 90), core=1)
    made.engine("tensor", (0, 20, 50, 90))
    assert engine_use(made.timeline) == {
        (0, "vector"): EngineUse(130, 2), (1, "vector"): EngineUse(70, 1), (0, "tensor"): EngineUse(30, 1),
    }  # fmt: skip


def test_loading_a_table_keeps_the_scalar_engine_busy():
    made = HandMade()
    made.engine("scalar", (0, 1280, 1400, 1500))
    assert engine_use(made.timeline)[0, "scalar"].busy_ns == 1400


def test_making_descriptors_keeps_the_gpsimd_engine_busy_without_being_an_instruction():
    made = HandMade()
    made.transfer("gpsimd", (0, 900, 1000, 1010), transfer_cost(issue=900, start=0))
    made.transfer("dge sync", (0, 1600, 1700, 1710), transfer_cost(issue=600))
    assert engine_use(made.timeline) == {(0, "dma"): EngineUse(200, 2), (0, "gpsimd"): EngineUse(900, 0)}


def test_waiting_at_a_barrier_is_no_work():
    made = HandMade()
    made.engine("gpsimd", (0, 0, 1500, 1500), meeting=0)
    made.engine("gpsimd", (1500, 1500, 1600, 1600))
    assert engine_use(made.timeline) == {(0, "gpsimd"): EngineUse(100, 2)}


def test_transfers_that_overlap_are_one_busy_time_and_two_works():
    made = HandMade()
    made.transfer("dge sync", (0, 1000, 1500, 1510), transfer_cost(moving=300, nbytes=1000))
    made.transfer("dge sync", (0, 1200, 1600, 1610), transfer_cost(moving=100, nbytes=500))
    assert engine_use(made.timeline)[0, "dma"].busy_ns == 600
    use = dma_use(made.timeline)[0]
    assert (use.transfers, use.descriptors, use.nbytes, use.hbm_bytes) == (2, 4, 1500, 1500)
    assert use.engine_ns == (300 + 100) / 2  # two engines, of which one works


@pytest.mark.parametrize("lnc", [1, 2])
def test_bytes_and_instructions_agree_with_the_counters(lnc):
    square = np.ones((128, 128), np.float32).astype("bfloat16")
    profile = Simulator("trn2", lnc).run(every_engine, square, square).profile
    use = dma_use(profile.prediction.timeline)
    assert sum(u.hbm_bytes for u in use.values()) == profile.hbm_read + profile.hbm_written
    counted: dict[str, int] = {}
    for (_, engine), u in engine_use(profile.prediction.timeline).items():
        counted[engine] = counted.get(engine, 0) + u.instructions
    assert counted == profile.instructions


def test_the_dma_engines_never_move_faster_than_they_can():
    profile = Simulator("trn2").run(copy_hbm, np.ones((128, 8192), np.float32), 16).profile
    use = dma_use(profile.prediction.timeline)[0]
    peak = profile.prediction.timeline.machine.number("dma.rate") * 16
    rate = use.nbytes / profile.prediction.timeline.latency_ns
    assert 0.5 * peak < rate < peak
    assert use.engine_ns < profile.prediction.timeline.latency_ns
