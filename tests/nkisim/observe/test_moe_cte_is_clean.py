"""The detectors on a real kernel: silent in every output mode, and not when a barrier is taken away."""

from typing import Any

import pytest
from support.case import Case
from support.inputs import build_inputs

import nkisim
from nkimoe import moe_cte
from nkimoe.kernels.stages import update_output

MODES = {
    "one core": Case(T=150, H=128, I=48, cores=1),
    "slabs added": Case(T=150, H=128, I=48),
    "slabs returned": Case(T=150, H=128, I=48, per_core_output=True),
    "slabs returned, T + 1 rows": Case(T=150, H=128, I=48, per_core_output=True, skip_token=False),
    "shared by disjoint tokens": Case(T=300, H=128, I=48, non_overlapping=True, routing="two_halves"),
    "scales of blocks, of tokens": Case(
        variant="shard_on_i", T=150, I=208, weights="fp8-block", hidden_scales="tokens", bias_degree=2
    ),
    "MXFP8 rows": Case(
        variant="shard_on_i_mx", T=60, H=512, I=256, target="trn3", weights="mxfp8", coded_rows=True, coarse_scales=True
    ),
    "some blocks in a loop": Case(variant="shard_on_i_hybrid", T=150, H=128, I=48, static_blocks=1),
    "dropping": Case(variant="shard_on_i_dropping", T=150, H=128, I=48),
    "MXFP4": Case(variant="shard_on_block_mx", T=60, H=512, I=96, target="trn3", weights="mxfp4"),
    "MXFP4 in a loop": Case(variant="shard_on_i_mx_hybrid", T=60, H=512, I=256, target="trn3", weights="mxfp4"),
    "overwritten": Case(T=150, H=128, I=48, K=1, accumulating=False),
    "overwritten, T + 1 rows": Case(T=150, H=128, I=48, K=1, accumulating=False, skip_token=False),
    "int8 weights": Case(T=300, H=128, I=48, weights="int8"),
    "int8": Case(T=300, H=128, I=48, weights="int8", int8_inputs=True),
    "int8 in a device loop": Case(T=300, H=128, I=48, weights="int8", int8_inputs=True, static_blocks=0, conditions=1),
    "int8 in pieces": Case(T=300, H=640, I=1100, B=256, E=2, K=1, weights="int8", int8_inputs=True),
}
ORDERED_BY_A_BARRIER = ("slabs added", "slabs returned", "shared by disjoint tokens", "overwritten")


def simulator(case: Case, **options: Any) -> nkisim.Simulator:
    return nkisim.Simulator(case.target, case.cores, **options)


def call(case: Case) -> dict[str, Any]:
    return {**build_inputs(case), **case.options()}


@pytest.mark.parametrize("case", MODES.values(), ids=MODES)
def test_finds_nothing_with_eager_or_late_transfers(case: Case) -> None:
    assert simulator(case).compare_dma_orders(moe_cte, **call(case)).findings == []


@pytest.mark.parametrize("mode", ORDERED_BY_A_BARRIER)
def test_finds_a_barrier_that_was_taken_away(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    isa = update_output.nisa

    class WithoutBarrier:
        core_barrier = staticmethod(lambda data, cores: None)

        def __getattr__(self, name: str) -> Any:
            return getattr(isa, name)

    monkeypatch.setattr(update_output, "nisa", WithoutBarrier())
    case = MODES[mode]
    found = simulator(case, report_only=True).run(moe_cte, **call(case)).findings
    races = [finding for finding in found if finding.code == "NKI403"]
    assert races
    assert all(str(finding).count("update_output.py") + str(finding).count("output_rows.py") >= 2 for finding in races)
