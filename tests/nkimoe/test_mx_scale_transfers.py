"""Block scales of MX weights: repeated by a plain transfer in large blocks, gathered in small ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.case import Case, cases
from support.launch import assert_same_bits, check, run

from nkimoe.planning.mx import tiling
from nkisim.observe import Event, Finding, Observer

SCALES = {"gate_up_proj_scale", "down_proj_scale"}
WIDE = Case(target="trn3", weights="mxfp4", T=150, H=512, I=384, E=3)
ON_BLOCK, ON_I, HYBRID = (
    replace(WIDE, variant=variant) for variant in ("shard_on_block_mx", "shard_on_i_mx", "shard_on_i_mx_hybrid")
)


class GatheredScales(Observer):
    """Which scales GpSimd describes."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def on_instruction(self, event: Event) -> list[Finding]:
        if event.indexed_rows:
            self.names |= {access.storage.name for access in event.reads if access.storage.name in SCALES}
        return []


def gathered(case: Case) -> set[str]:
    seen = GatheredScales()
    run(case, observers=[seen])
    return seen.names


@cases(
    ON_BLOCK,
    replace(ON_BLOCK, static_blocks=0, cores=1),
    replace(ON_BLOCK, I=160, skip_gate=True, biases="none"),
    replace(ON_BLOCK, weights="mxfp8", I=640, B=256, H=1024),
    replace(ON_BLOCK, routing="one_expert", K=1, T=300),
    replace(ON_I, I=512),
    replace(ON_I, weights="mxfp8", I=352),
    HYBRID,
)
def test_repeated_scales_give_the_bits_of_gathered_ones(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = check(case)
    monkeypatch.setattr(tiling, "REPEATED_COLUMNS", {2: 0, 4: 0})
    monkeypatch.setattr(tiling, "REPEATED_IN_TURN", 0)
    assert_same_bits(outcome.output, run(case, outcome.inputs).output)


def test_large_blocks_gather_no_scales_and_small_ones_all() -> None:
    assert gathered(ON_BLOCK) == set()
    assert gathered(replace(ON_BLOCK, B=64)) == SCALES


def test_rows_of_a_quadrant_that_is_not_full_are_gathered() -> None:
    assert gathered(replace(ON_BLOCK, I=352)) == {"down_proj_scale"}
