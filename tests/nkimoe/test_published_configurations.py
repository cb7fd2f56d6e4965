"""The layers nki-library tests its dense kernels with, on one and two cores.

Sizes and options are theirs, but for the number of tokens, for the number of experts where all of their weights would
not fit in 1 GiB, and for blocks that hold padding alone: `scaled` says so. Slow: about a minute each. A few of them run
narrower in the usual suite.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.case import Case
from support.inputs import build_inputs
from support.launch import assert_matches, check, reference, run

from nkimoe import ActFnType, ExpertAffinityScaleMode

MOST_WEIGHT_BYTES = 2**30
MOST_TOKENS = 1024
PADDING_BLOCKS = 2
Swish, SiLU = ActFnType.Swish, ActFnType.SiLU
SEVEN = {"gate_upper": 7.0, "up_upper": 7.0, "up_lower": -7.0}
EIGHT = {"gate_upper": 7.0, "up_upper": 8.0, "up_lower": -9.0}


def scaled(case: Case) -> Case:
    """At most MOST_TOKENS tokens (or two blocks of them), as many experts as MOST_WEIGHT_BYTES hold, little padding."""
    one_expert = 3 * case.H * case.I * (2 if case.weights == "plain" else 1)
    return replace(
        case,
        T=min(case.T, max(MOST_TOKENS, 2 * case.B)),
        E=max(1, min(case.E, MOST_WEIGHT_BYTES // one_expert)),
        padding_blocks=PADDING_BLOCKS,
    )


def layer(variant: str, H: int, T: int, E: int, B: int, K: int, I: int, **options: Any) -> Case:
    """In the order of the published table. Biases and pad rows unless told otherwise."""
    options = {"biases": "both", "skip_token": False, **options}
    return Case(variant=variant, H=H, T=T, E=E, B=B, K=K, I=I, **options)


def on_i(*sizes: int, **options: Any) -> Case:
    return layer("shard_on_i", *sizes, **options)


def on_block(*sizes: int, **options: Any) -> Case:
    return layer("shard_on_block", *sizes, skip_token=True, activation=Swish, **EIGHT, **options)


def hybrid(*sizes: int, **options: Any) -> Case:
    return layer("shard_on_i_hybrid", *sizes, **options)


def trained(*sizes: int, **options: Any) -> list[Case]:
    """With checkpoints, the affinity on the output and on I; no biases."""
    return [
        on_i(*sizes, biases="none", checkpoints=True, multiply_on_i=on, skip_token=skip, **options)
        for on in (True, False)
        for skip in (True, False)
    ]


def dropping(*sizes: int) -> list[Case]:
    return [layer("shard_on_i_dropping", *sizes, biases="none", multiply_on_i=on) for on in (True, False)]


PUBLISHED = (
    on_i(3072, 1024, 8, 512, 4, 2048),
    *(on_i(3072, 1024, 64, 512, 8, I, skip_token=skip) for I in (2048, 3072) for skip in (False, True)),
    *(
        on_i(3072, 1024, 8, 512, 4, I, skip_token=skip, activation=Swish)
        for I in (2048, 3072)
        for skip in (False, True)
    ),
    *(
        on_i(3072, 10240, 8, 512, 4, 1536, skip_token=True, activation=Swish, weights=weights, **SEVEN)
        for weights in ("fp8-row", "plain")
    ),
    *(
        on_block(3072, 1024, 8, B, 4, I, skip_weight=keep)
        for B in (512, 256)
        for I in (384, 192)
        for keep in (False, True)
    ),
    *(on_block(3072, 1024, 8, B, 4, I) for B in (256, 512) for I in (1536, 3072)),
    on_block(3072, 10240, 128, 256, 4, 192, skip_weight=True),
    *trained(3072, 1024, 64, 512, 8, 2048),
    *trained(3072, 1024, 64, 512, 8, 3072),
    *trained(3072, 1024, 8, 512, 4, 2048, activation=Swish),
    *trained(3072, 1024, 8, 512, 4, 3072, activation=Swish),
    on_i(4096, 10240, 4, 512, 8, 768, skip_token=True, biases="none"),
    hybrid(4096, 10240, 4, 512, 8, 768, skip_token=True, biases="none"),
    *dropping(1536, 8192, 2, 4096, 2, 6144),
    *dropping(2048, 2048, 2, 1024, 2, 8192),
    *dropping(4096, 4096, 2, 2048, 8, 1536),
)
NEWER = (
    *(
        hybrid(7168, 10240, E, 512, K, 2048, scaling=mode, skip_token=skip)
        for E, K in ((64, 8), (1, 1))
        for mode in (
            ExpertAffinityScaleMode.NO_SCALE,
            ExpertAffinityScaleMode.POST_SCALE,
            ExpertAffinityScaleMode.PRE_SCALE,
        )
        for skip in (False, True)
    ),
    *(hybrid(3072, 1024, 64, 512, 8, I) for I in (2048, 3072)),
    *(hybrid(3072, 1024, 8, 512, 4, I) for I in (2048, 3072, 768)),
    *(hybrid(3072, 10240, 8, 512, 4, I) for I in (768, 1536)),
    *(
        hybrid(3072, 10240, 8, 512, 4, 768, weights="fp8-row", **limits)
        for limits in ({"gate_upper": 7.0}, {"gate_lower": -7.0}, {"up_upper": 7.0}, {"up_lower": -7.0}, SEVEN)
    ),
    hybrid(4864, 1024, 8, 512, 4, 1216),
    *(hybrid(3072, 1024, 8, 512, 4, I) for I in (2880, 720)),
    *(
        on_i(3072, 1024, 8, 512, 4, 2048, multiply_on_i=True, scaling=mode)
        for mode in (ExpertAffinityScaleMode.POST_SCALE, ExpertAffinityScaleMode.PRE_SCALE)
    ),
    on_i(1024, 512, 2, 256, 2, 512, activation=ActFnType.SquaredReLU),
    on_i(3072, 1024, 8, 512, 4, 2048, weights="fp8-static"),
    *(
        on_i(H, 4096, E, 512, K, I // tp, multiply_on_i=True, biases="none")
        for H, I, E, K in ((5120, 8192, 16, 1), (2048, 1408, 64, 6), (2048, 768, 128, 8))
        for tp in (1, 4)
    ),
    *(hybrid(4096, 4096, 128 // ep, 512, 8, 1536 // tp, skip_token=True) for ep in (64, 32, 16) for tp in (1, 2)),
)


def few(case: Case) -> Case:
    """Two experts and hardly more tokens than a block holds, on narrower matrices."""
    return replace(case, T=min(case.T, case.B + 40), E=2, K=1, H=512, I=case.I // 4, B=min(case.B, 1024))


def test_there_are_48_published_configurations() -> None:
    assert len(PUBLISHED) == 48


@pytest.mark.parametrize("case", [few(case) for case in (*PUBLISHED[::7], *NEWER[::9])], ids=str)
def test_few_tokens_and_experts(case: Case) -> None:
    check(case)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("case", [scaled(case) for case in (*PUBLISHED, *NEWER)], ids=str)
def test_published_sizes_on_two_cores_and_on_one(case: Case) -> None:
    inputs = build_inputs(case)
    expected = reference(case, inputs)
    for cores in (2, 1):
        assert_matches(run(replace(case, cores=cores), inputs), expected)
