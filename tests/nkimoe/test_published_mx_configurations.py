"""The layers nki-library tests its MX kernels with, and gpt-oss-120b's on the ranks it lists.

Sizes and options are theirs, but for the number of tokens and of experts: `scaled` says how many remain. Layers that
are the same then run once. A few run narrower in the usual suite; all of them at full width are slow.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.case import Case
from support.launch import check

from nkimoe import ActFnType

MOST_TOKENS, MOST_EXPERTS = 256, 4
BLOCK, ON_I, HYBRID = "shard_on_block_mx", "shard_on_i_mx", "shard_on_i_mx_hybrid"
FP4, E4M3, E5M2 = "mxfp4", "mxfp8", "mxfp8-e5m2"
SEVEN = {"gate_upper": 7.0, "up_upper": 7.0, "up_lower": -7.0}


def scaled(case: Case) -> Case:
    """At most MOST_TOKENS tokens, or one block of them, and MOST_EXPERTS experts."""
    E = min(case.E, MOST_EXPERTS)
    return replace(case, T=min(case.T, max(MOST_TOKENS, case.B)), E=E, K=min(case.K, E))


def layer(variant: str, H: int, T: int, I: int, E: int, B: int, K: int, weights: str, **options: Any) -> Case:
    """In the order of the published table."""
    options = {"activation": ActFnType.Swish, "skip_token": True, **SEVEN, **options}
    return Case(variant=variant, H=H, T=T, I=I, E=E, B=B, K=K, weights=weights, target="trn3", **options)


def block(*sizes: int, weights: str, looped: bool, **options: Any) -> Case:
    return layer(BLOCK, *sizes, weights, conditions=2 if looped else None, **options)


UNIT = (
    *(
        block(3072, 10240, 384, 128, B, 4, weights=FP4, looped=looped, skip_token=skip)
        for B in (256, 512)
        for skip in (False, True)
        for looped in (False, True)
    ),
    block(3072, 10240, 1536, 32, 256, 4, weights=FP4, looped=True, skip_token=False),
    block(3072, 1024, 1536, 32, 256, 4, weights=FP4, looped=True, skip_token=False),
    *(
        block(3072, 10240, 384, 128, 256, 4, weights=weights, looped=looped, skip_token=not looped)
        for weights in (E4M3, E5M2)
        for looped in (False, True)
    ),
    *(
        block(3072, 1024, 384, 128, 256, 2, weights=weights, looped=False, carrier=True)
        for weights in (FP4, E4M3, E5M2)
    ),
    block(3072, 128, 3072, 2, 256, 2, weights=FP4, looped=True, carrier=True),
    *(
        block(H, 4096, I, E, 256, K, weights=E4M3, looped=True, static_blocks=2, activation=ActFnType.SiLU)
        for H, I, E, K in ((4096, 1536, 2, 2), (4096, 1024, 4, 4), (3072, 384, 2, 2))
    ),
    *(layer(variant, 3072, 1024, 2048, 8, 256, 4, FP4) for variant in (ON_I, HYBRID)),
    *(layer(variant, 7168, 10240, 1024, 8, 256, 8, weights) for variant in (ON_I, HYBRID) for weights in (FP4, E5M2)),
    *(layer(variant, 7168, 1024, 1024, 8, 256, 8, E4M3) for variant in (ON_I, HYBRID)),
    layer(HYBRID, 3072, 1024, 2048, 8, 256, 8, E4M3, carrier=True),
    *(layer(variant, 3072, 1024, 2048, 8, 256, 8, E5M2, carrier=True) for variant in (ON_I, HYBRID)),
    layer(HYBRID, 4096, 4096, 2048, 2, 512, 2, E4M3, static_blocks=2),
    layer(HYBRID, 4096, 4096, 2048, 2, 256, 2, E4M3, static_blocks=2, activation=ActFnType.SiLU),
)
GPT_OSS = (
    *(
        block(3072, T, I, E, B, 4, weights=weights, looped=E < 128)
        for T in (1024, 4096, 10240, 32768)
        for B in (128, 256)
        for E, I, second in ((128, 384, E4M3), (32, 1536, E5M2), (4, 1536, E5M2), (16, 384, E5M2))
        for weights in (FP4, second)
    ),
    block(3072, 1024, 384, 128, 128, 4, weights=E5M2, looped=False),
)


def narrow(case: Case) -> Case:
    """Few tokens, H a quarter of it, a third of I: the same number of odd tiles, much less of everything."""
    return replace(
        scaled(case), T=min(case.B, 100), E=2, K=1, H=max(512, case.H // 2048 * 512), I=case.I // 3 // 32 * 32
    )


def test_all_gpt_oss_layers_are_here() -> None:
    assert len(GPT_OSS) == 65


@pytest.mark.parametrize("case", [narrow(case) for case in dict.fromkeys((*UNIT, *GPT_OSS[:8]))], ids=str)
def test_published_layers_made_narrow(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("case", [GPT_OSS[0], GPT_OSS[6]], ids=str)
def test_gpt_oss_layers_with_few_tokens(case: Case) -> None:
    check(replace(scaled(case), T=64, E=2, K=1))


@pytest.mark.slow
@pytest.mark.parametrize("case", dict.fromkeys(map(scaled, UNIT)), ids=str)
def test_published_layers(case: Case) -> None:
    check(case)


@pytest.mark.slow
@pytest.mark.parametrize("case", dict.fromkeys(map(scaled, GPT_OSS)), ids=str)
def test_gpt_oss_layers(case: Case) -> None:
    check(case)
