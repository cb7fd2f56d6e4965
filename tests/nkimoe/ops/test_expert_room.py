"""Operations with experts fit on chip, and what the plan says they need covers what they hold."""

import pytest
from support.expert_cases import layer, shared_layer, smooth_layer

from nkimoe.ops import fused_experts, fused_moe_smoothquant, pair_experts, shared_expert
from nkisim import Simulator

SIZES = [(300, 64, 512), (300, 600, 2048), (600, 512, 4096), (40, 1024, 8192), (100, 100, 8192)]  # T, N, K


@pytest.fixture
def plans(monkeypatch):
    """Those that are made."""
    made, make_plan = [], pair_experts.make_plan

    def remember(*arguments):
        made.append(make_plan(*arguments))
        return made[-1]

    monkeypatch.setattr(pair_experts, "make_plan", remember)
    return made


def peak_bytes(operation, arguments, **options):
    profiles = []

    def launch(kernel, *given):
        run = Simulator("trn2", 2, numerics=False).run(kernel, *given)
        profiles.append(run.profile)
        return run.outputs

    operation.launched_by(launch)(**arguments, **options)
    return profiles[0].sbuf_peak_bytes


@pytest.mark.parametrize(("T", "N", "K"), SIZES)
def test_the_plan_covers_what_is_on_chip(T, N, K, plans):
    routed = layer(T, N, K, 2, 2)
    peaks = [
        peak_bytes(fused_experts, routed, block_size=256),
        peak_bytes(fused_experts, routed, block_size=256, round_each=False),
        peak_bytes(fused_moe_smoothquant, smooth_layer(T, N, K, 2, 2), block_size=256),
        peak_bytes(shared_expert, shared_layer(T, N, K)),
    ]
    estimates = [plan.tiling.sbuf_bytes for plan in plans[::2]]  # each core makes the same
    assert len(estimates) == 4
    assert [pair for pair in zip(peaks, estimates, strict=True) if pair[0] > pair[1]] == []
