"""nki-library's dense kernels and ours agree on the same inputs, where theirs are not known to be wrong.

Needs a checkout: NKILIB=path/to/nki-library pytest tests/conformance. Nothing of it is stored here.

Left out, because nki-library's kernels are known to compute something else there: fp8 scales, and PRE_SCALE with pad
ids of -1, in shard_on_block; PRE_SCALE beyond 512 tokens or with bias or limits, and a down bias with affinity on I,
in shard_on_i; a capacity that is not a multiple of 1024; activations other than SiLU and Swish.
"""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.case import Case, cases
from support.inputs import build_inputs
from support.launch import assert_matches_reference, reference, run

import nkisim
from nkimoe import ActFnType, ExpertAffinityScaleMode
from nkimoe.reference.tolerance import distance

CHECKOUT = os.environ.get("NKILIB")
pytestmark = [
    pytest.mark.skipif(not CHECKOUT, reason="NKILIB names no checkout of nki-library"),
    pytest.mark.filterwarnings("ignore"),  # theirs are written for an older NKI
]

# Theirs rounds more often than ours: partial sums and affinities to bf16.
THEIRS = 2e-2
ON_BLOCK = Case(T=512, H=1024, I=256, E=4, K=2, B=256, biases="none", activation=ActFnType.Swish)
ON_I = replace(ON_BLOCK, variant="shard_on_i", activation=ActFnType.SiLU)
HYBRID = replace(ON_I, variant="shard_on_i_hybrid")
DROPPING = replace(ON_I, variant="shard_on_i_dropping", T=2048, B=1024, E=2, K=1, skip_token=False)
LIMITS = {"gate_upper": 7.0, "up_upper": 8.0, "up_lower": -9.0}


class Theirs:
    """The modules of the checkout."""

    def __init__(self, checkout: Path) -> None:
        nkisim.install()
        sys.path.insert(0, str(checkout / "src"))
        folder = "nkilib_src.nkilib.core.moe.moe_cte"
        self.on_block = importlib.import_module(f"{folder}.bwmm_shard_on_block")
        self.on_i = importlib.import_module(f"{folder}.bwmm_shard_on_I")
        self.types = importlib.import_module("nkilib_src.nkilib.core.utils.common_types")

    def arguments(self, case: Case, inputs: dict[str, Any]) -> dict[str, Any]:
        """Ours as theirs: same tensors, their enums."""
        return {
            **inputs,
            "block_size": case.B,
            "activation_function": self.types.ActFnType[case.activation.name],
            "skip_dma": self.on_block.SkipMode(case.skip_token, case.skip_weight),
            "expert_affinities_scaling_mode": self.types.ExpertAffinityScaleMode[case.scaling.name],
            "gate_clamp_upper_limit": case.gate_upper,
            "gate_clamp_lower_limit": case.gate_lower,
            "up_clamp_upper_limit": case.up_upper,
            "up_clamp_lower_limit": case.up_lower,
        }

    def run(self, case: Case, inputs: dict[str, Any]) -> list[Any]:
        """[output, checkpoints ...], the output as [T', H]."""
        more: dict[str, Any] = {}
        if case.variant == "shard_on_block":
            kernel = self.on_block.bwmm_shard_on_block
        elif case.variant == "shard_on_i":
            kernel = self.on_i.blockwise_mm_baseline_shard_intermediate
            more = {"checkpoint_activation": case.checkpoints, "expert_affinity_multiply_on_I": case.multiply_on_i}
        elif case.variant == "shard_on_i_hybrid":
            kernel = self.on_i.blockwise_mm_baseline_shard_intermediate_hybrid
            more = {"num_static_block": case.static_blocks}
        else:
            kernel = self.on_i.blockwise_mm_shard_intermediate_dropping
            more = {"expert_affinity_multiply_on_I": case.multiply_on_i}
        simulator = nkisim.Simulator("trn2", lnc=2, report_only=True)
        done = simulator.run(kernel, **self.arguments(case, inputs), **more).outputs
        outputs = list(done) if isinstance(done, tuple) else [done]
        if outputs[0].ndim == 3:
            outputs[0] = outputs[0][:, 0]
        return outputs


@pytest.fixture(scope="module")
def theirs() -> Theirs:
    return Theirs(Path(str(CHECKOUT)))


@cases(
    ON_BLOCK,
    replace(ON_BLOCK, biases="both", **LIMITS),
    replace(ON_BLOCK, B=512, skip_weight=True),
    replace(ON_BLOCK, I=1536, H=512, biases="both"),
    ON_I,
    replace(ON_I, biases="both", **LIMITS),
    replace(ON_I, skip_token=False, activation=ActFnType.Swish),
    replace(ON_I, B=512, scaling=ExpertAffinityScaleMode.PRE_SCALE),
    replace(ON_I, weights="fp8-row", biases="both"),
    replace(ON_I, multiply_on_i=True),
    HYBRID,
    replace(HYBRID, static_blocks=2, biases="both", activation=ActFnType.Swish, **LIMITS),
    replace(HYBRID, scaling=ExpertAffinityScaleMode.NO_SCALE),
    replace(HYBRID, weights="fp8-row"),
    DROPPING,
    replace(DROPPING, multiply_on_i=True),
)
def test_both_agree_with_the_reference_and_ours_is_nearer(case: Case, theirs: Theirs) -> None:
    inputs = build_inputs(case)
    ours = run(case, inputs)
    assert_matches_reference(ours)
    expected = reference(case, inputs)[: case.T]
    far, near = (distance(np.asarray(o)[: case.T], expected).rel_l2 for o in (theirs.run(case, inputs)[0], ours.output))
    assert far < THEIRS
    assert near <= 1.05 * far


@cases(replace(ON_I, checkpoints=True), replace(ON_I, checkpoints=True, multiply_on_i=True), DROPPING)
def test_checkpoints_agree_in_slots_with_a_token(case: Case, theirs: Theirs) -> None:
    inputs = build_inputs(case)
    real = inputs["token_position_to_id"].reshape(-1, case.B)
    real = (real >= 0) & (real < case.T)
    pairs = list(zip(run(case, inputs).checkpoints, theirs.run(case, inputs)[1:], strict=True))
    assert pairs
    for ours, other in pairs:
        a, b = (np.moveaxis(t, 3, 1)[real] if t.ndim == 4 else t[real] for t in (ours, np.asarray(other)))
        assert distance(a.reshape(len(a), -1), b.reshape(len(b), -1).astype(np.float32)).rel_l2 < THEIRS


def test_scales_that_theirs_drops_in_shard_on_block_are_honoured(theirs: Theirs) -> None:
    """Their relative error is as large as the codes are; ours is a rounding."""
    case = replace(ON_BLOCK, weights="fp8-row")
    inputs = build_inputs(case)
    expected = reference(case, inputs)
    assert distance(theirs.run(case, inputs)[0], expected).rel_l2 > 1e3
    assert_matches_reference(run(case, inputs))
