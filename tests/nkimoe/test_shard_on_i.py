"""shard_on_i agrees with the reference: both cores on every block, half of I, gathered H and written H each."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.case import Case, cases
from support.launch import assert_same_bits, check, run

from nkimoe import ActFnType, ExpertAffinityScaleMode
from nkisim.observe import Recorder

I_SHARDED = Case(variant="shard_on_i")
SMALL = replace(I_SHARDED, T=60, H=256, I=48)
STREAMED = replace(I_SHARDED, T=150, H=4096, I=3200, E=2, K=1, B=256)


@cases(
    I_SHARDED,
    replace(I_SHARDED, cores=1),
    replace(I_SHARDED, skip_token=False, T=400, skip_weight=True),
    replace(I_SHARDED, K=1, accumulating=False),
    replace(I_SHARDED, K=1, accumulating=False, cores=1, skip_token=False),
    replace(SMALL, routing="some_tokens_nowhere"),
    replace(SMALL, routing="empty_experts", skip_token=False),
    replace(SMALL, padding_blocks=3),
    *(replace(SMALL, biases=biases, cores=cores) for biases in ("none", "gate_up", "down") for cores in (1, 2)),
    replace(SMALL, gate_upper=0.4, gate_lower=-0.3, up_upper=0.5, up_lower=-0.2),
    *(replace(SMALL, activation=activation) for activation in ActFnType),
    *(replace(SMALL, dtype="float16", scaling=mode) for mode in ExpertAffinityScaleMode),
    *(replace(SMALL, compute_dtype="float32", scaling=mode, H=384) for mode in ExpertAffinityScaleMode),
)
def test_every_option(case: Case) -> None:
    check(case)


@cases(
    *(replace(SMALL, H=H, I=I) for H in (128, 384, 640, 1280, 2048) for I in (16, 48, 208)),
    *(replace(SMALL, I=I) for I in (2, 17, 129, 254, 255, 256, 257, 272)),
    *(replace(SMALL, I=I, cores=1) for I in (1, 17, 255)),
    *(replace(SMALL, B=B, T=B + 20) for B in (256, 384, 512, 640, 1024)),
    replace(SMALL, B=640, T=700, scaling=ExpertAffinityScaleMode.PRE_SCALE_DELAYED, H=1152),
)
def test_every_size(case: Case) -> None:
    check(case)


@cases(
    STREAMED,
    replace(STREAMED, cores=1, T=40, B=128),
    replace(STREAMED, H=2944, I=6000, B=640, T=300, E=1, skip_token=False),
)
def test_weights_too_large_for_the_chip_are_streamed(case: Case) -> None:
    outcome = check(case)
    assert outcome.run.profile.sbuf_peak_bytes < 3 * case.H * case.I * 2 // 128


def test_sums_across_cores_are_fp32_unless_asked_otherwise() -> None:
    """With exact arithmetic the result is the one of a single core; bf16 sums are not exact."""
    case = replace(SMALL, values="dyadic", activation=ActFnType.ReLU, K=1, compute_dtype="float32", T=300)
    alone = run(replace(case, cores=1)).output
    assert_same_bits(run(case).output, alone)
    assert_same_bits(run(case, accumulation_dtype="float32").output, alone)
    check(replace(SMALL, K=1), accumulation_dtype="float32")


def test_nothing_is_gathered_or_written_twice() -> None:
    case = replace(I_SHARDED, T=512, H=512, K=1, E=2, routing="one_expert", biases="none", padding_blocks=0)
    outcome = run(case)
    rows, weights = case.T * case.H * 2, 3 * case.H * case.I * 2
    read, written = outcome.run.profile.hbm_read, outcome.run.profile.hbm_written
    assert read < 2 * rows + weights + rows / 8, "tokens once, old rows once, weights once, and small tables"
    assert written < 2 * rows + rows / 8, "zeros once and results once"


def test_transposes_are_shared_by_the_cores() -> None:
    counts = []
    for variant in ("shard_on_i", "shard_on_block"):
        recorder = Recorder()
        run(replace(SMALL, variant=variant, H=512, T=256, K=1, E=1, padding_blocks=0), observers=[recorder])
        counts.append(sum(event.details.get("transpose", False) for event in recorder.events))
    assert counts[0] == counts[1] > 0


@pytest.mark.parametrize("scaling", ExpertAffinityScaleMode, ids=lambda mode: mode.name)
def test_the_pad_row_of_the_output_is_zero(scaling: ExpertAffinityScaleMode) -> None:
    outcome = run(replace(SMALL, K=1, skip_token=False, scaling=scaling))
    assert not outcome.output[-1].any()
