"""shard_on_block agrees with the reference for every size of block, hidden and intermediate dimension."""

from dataclasses import replace

import pytest
from support.case import Case, cases
from support.launch import assert_same_bits, check, plan_of

from nkimoe import ExpertAffinityScaleMode
from nkimoe.planning import plan as plans

NO_SCALE, POST_SCALE, PRE_SCALE, PRE_SCALE_DELAYED = ExpertAffinityScaleMode
FEW = Case(T=70, E=2, K=1)


@cases(
    *(Case(B=B, H=128, I=80, T=300) for B in (128, 256, 384, 512, 640, 768, 896, 1024)),
    *(Case(B=B, H=128, I=48, T=B - 1, skip_token=False, cores=1) for B in (256, 384, 640, 1024)),
    *(Case(B=B, H=128, I=48, T=2 * B + 1, K=1, E=2, skip_weight=True) for B in (256, 384, 640, 1024)),
    *(Case(B=B, H=256, I=48, T=700, K=1, E=1, scaling=PRE_SCALE_DELAYED) for B in (512, 640, 1024)),
)
def test_every_size_of_block(case: Case) -> None:
    check(case)


@cases(
    *(replace(FEW, H=H, I=48) for H in (128, 384, 512, 640, 1280, 2048, 8192)),
    *(replace(FEW, H=H, I=16, skip_token=False) for H in (128, 384, 1280, 2048, 3968)),
    *(replace(FEW, H=H, I=16, compute_dtype="float32") for H in (384, 1280, 2048)),
)
def test_every_hidden_size(case: Case) -> None:
    check(case)


@cases(
    *(replace(FEW, H=256, I=I) for I in (16, 32, 48, 112, 128, 144, 192, 208, 256, 272, 512, 528, 1024, 1408)),
    *(replace(FEW, H=256, I=I, skip_token=False, scaling=PRE_SCALE) for I in (16, 48, 128, 192, 208, 1408)),
    *(replace(FEW, H=256, I=I, skip_weight=True, T=300, biases="gate_up") for I in (16, 48, 192, 208, 1408)),
    *(replace(FEW, H=512, I=I, B=256, T=300) for I in (48, 208, 400)),
)
def test_every_intermediate_size(case: Case) -> None:
    check(case)


@cases(
    *(
        Case(T=T, H=128, I=32, skip_token=skip_token)
        for T in (1, 2, 63, 127, 129, 255, 257)
        for skip_token in (True, False)
    )
)
def test_every_number_of_tokens(case: Case) -> None:
    check(case)


STREAMED = Case(T=90, H=2048, I=2192, E=2, K=1, padding_blocks=0)


@cases(
    STREAMED,
    replace(STREAMED, T=40, cores=1, skip_token=False, biases="none"),
    replace(STREAMED, T=40, cores=1, scaling=PRE_SCALE),
    replace(STREAMED, T=40, cores=1, scaling=PRE_SCALE_DELAYED, biases="gate_up"),
    replace(STREAMED, T=40, cores=1, biases="down", accumulating=False),
    replace(STREAMED, T=300, B=384, I=2064, K=1, E=1),
    Case(T=150, H=2944, I=1440, E=2, B=256, K=1, cores=1),  # whole pieces take turns with one of fewer rows
    replace(STREAMED, T=150, B=256, K=2, cores=1),  # two tiles of tokens hold old rows while down weights stream
    slow=(
        Case(T=300, H=7168, I=2048, E=2, B=512, K=1),
        Case(T=200, H=3072, I=3072, E=2, B=512),
        Case(T=100, H=8192, I=2000, E=2),
        Case(T=1000, H=8192, I=2000, E=2, B=1024, K=1),
        Case(T=100, H=1024, I=16384, E=2, K=1),
        Case(T=60, H=8192, I=4096, E=1, K=1),
        Case(T=300, H=4096, I=1536, E=2, B=384, compute_dtype="float32"),
        Case(T=300, H=2944, I=2880, E=2, B=256),
    ),
)
def test_weights_too_large_for_the_chip_are_streamed(case: Case) -> None:
    outcome = check(case)
    plan = plan_of(case, outcome.inputs)
    assert plan.weights == plans.STREAMED
    assert outcome.run.profile.sbuf_peak_bytes <= plan.target.sbuf_bytes


@cases(
    slow=(
        Case(T=1000, H=2048, I=1408, E=4, B=256, K=2),
        Case(T=640, H=4096, I=192, E=16, K=8, B=128),
        Case(T=640, H=4096, I=192, E=16, K=8, B=512, skip_weight=True),
        Case(T=512, H=5120, I=1024, E=2, K=1, B=512, scaling=PRE_SCALE),
        Case(T=1500, H=2944, I=720, E=8, K=4, B=256, skip_token=False),
    )
)
def test_sizes_of_real_layers(case: Case) -> None:
    check(case)


def test_routing_tables_loaded_a_few_blocks_at_a_time_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(T=700, E=6, H=128, I=48, B=256, skip_weight=True)
    whole = check(case).output
    monkeypatch.setattr("nkimoe.kernels.stages.load_routing.ROUTING_COLUMNS", 4)
    assert_same_bits(check(case).output, whole)
