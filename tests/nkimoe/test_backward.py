"""moe_cte_backward gives the golden gradients, for everything that the dense forward pass does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.case import Case, cases
from support.gradients import backward_arguments, backward_plan, check_backward

from nkimoe import ActFnType
from nkimoe.planning.backward import tiling

BASE = Case(T=150, H=256, I=96)
GPT_OSS = {"activation": ActFnType.Swish, "gate_upper": 0.7, "up_upper": 0.7, "up_lower": -0.7, "up_offset": 1.0}


@cases(
    BASE,
    replace(BASE, cores=1),
    replace(BASE, skip_token=False),
    replace(BASE, skip_token=False, cores=1, routing="some_tokens_nowhere"),
    *(replace(BASE, biases=biases, I=128) for biases in ("none", "gate_up", "down")),
    *(replace(BASE, activation=activation) for activation in ActFnType if activation is not ActFnType.SiLU),
    *(replace(BASE, activation=a, skip_gate=True, up_offset=0.5, up_upper=0.6, up_lower=-1.0) for a in ActFnType),
    replace(BASE, **GPT_OSS),
    replace(BASE, gate_lower=0.0, up_upper=0.0),
    replace(BASE, dtype="float16"),
    replace(BASE, dtype="float16", compute_dtype="bfloat16"),
    replace(BASE, compute_dtype="float16"),
    replace(BASE, compute_dtype="float32", **GPT_OSS),
    replace(BASE, dtype="float16", compute_dtype="float32", skip_token=False),
    replace(BASE, target="trn3"),
)
def test_options(case: Case) -> None:
    check_backward(case)


@cases(
    *(replace(BASE, B=B) for B in (16, 40, 200, 256)),
    replace(BASE, B=640, T=700),
    replace(BASE, B=1100, T=1200, E=1, K=1, padding_blocks=0, H=128),
    *(replace(BASE, T=300, E=1, K=1, padding_blocks=0, cores=cores) for cores in (1, 2)),
    replace(BASE, T=60, E=1, K=1, padding_blocks=0),
    replace(BASE, T=1, K=1),
    replace(BASE, routing="empty_experts", E=5, biases="none"),
    *(replace(BASE, routing="empty_experts", E=5, skip_gate=True, biases=b) for b in ("none", "both")),
    replace(BASE, routing="one_expert", K=1, T=600),
    replace(BASE, padding_blocks=3),
    replace(BASE, E=150, K=3, T=100, I=32, H=128, B=16),
    replace(BASE, variant="shard_on_i_dropping", B=200, T=300),
    replace(BASE, H=128, I=48, cores=1),
    *(replace(BASE, I=I) for I in (24, 128, 337)),
)
def test_sizes(case: Case) -> None:
    check_backward(case)


@cases(
    replace(BASE, I=800, H=384),
    replace(BASE, I=800, biases="down", cores=1, T=300),
    replace(BASE, I=1040, skip_gate=True, biases="gate_up"),
    replace(BASE, I=600, B=256, T=400, E=2, padding_blocks=1, **GPT_OSS),
)
def test_several_passes_over_i(case: Case) -> None:
    plan = backward_plan(case, backward_arguments(case))
    assert len(plan.tiling.slices(case.I)) > 1
    assert f"{len(plan.tiling.slices(case.I))} pass(es)" in plan.explain()
    check_backward(case)


@pytest.mark.parametrize("accumulators", [1, 2])
@pytest.mark.parametrize("token_tiles", [1, 2, 3])
def test_every_cut(monkeypatch: pytest.MonkeyPatch, accumulators: int, token_tiles: int) -> None:
    cuts = [(48, token_tiles, accumulators)]
    monkeypatch.setattr(tiling, "_candidates", lambda request, problem: iter(cuts))
    check_backward(replace(BASE, B=384, T=500, E=3))


@cases(
    replace(BASE, T=150, H=2048, I=192, B=256, E=2),
    replace(BASE, T=600, H=256, I=192, E=2),
    slow=(
        replace(BASE, T=700, H=2048, I=192, E=2),
        replace(BASE, T=200, H=2880 + 64, I=720, E=2, **GPT_OSS),
        replace(BASE, T=150, H=8192, I=64, E=2, K=1),
        replace(BASE, T=150, H=4096, I=3584, E=2, K=1, biases="none"),
    ),
)
def test_published_sizes_fit_and_agree(case: Case) -> None:
    gradients = check_backward(case)
    plan = backward_plan(case, gradients.arguments)
    used = gradients.run.profile.sbuf_peak_bytes
    assert used <= plan.tiling.sbuf_bytes <= plan.target.sbuf_bytes


def test_what_no_block_reaches_is_exactly_zero() -> None:
    case = replace(BASE, routing="empty_experts", E=5, skip_token=False)
    arguments = backward_arguments(case)
    arguments["output_hidden_states_grad"][-1] = 1e4  # of the pad row: not read
    found = check_backward(case, **arguments).found
    used = np.unique(arguments["block_to_expert"])
    idle = np.setdiff1d(np.arange(case.E), used)
    assert idle.size
    for name in ("gate_up_proj_weight", "down_proj_weight", "gate_and_up_proj_bias", "down_proj_bias"):
        assert not found[name][idle].any()
        assert all(found[name][e].any() for e in range(0, case.E - 1, 2))
    assert not found["hidden_states"][-1].any()
    affinities = found["expert_affinities_masked"].reshape(-1, case.E)
    assert not affinities[-1].any()
    assert not affinities[:, idle].any()
