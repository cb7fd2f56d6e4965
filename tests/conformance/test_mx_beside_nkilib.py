"""nki-library's MX kernels and ours agree on the same inputs, where theirs are not known to be wrong.

Needs a checkout: NKILIB=path/to/nki-library pytest tests/conformance. Nothing of it is stored here.

Known of theirs, and why cases below have biases, POST_SCALE and skipped pads: both biases are read even if absent;
the scale mode is not consulted in shard_on_block_mx and only POST_SCALE works in the others; those add the down bias
on both cores; I must be a multiple of 1024 there.
The loop of shard_on_block_mx is a `while` over a register, which NKI 0.7 has no more: only its unrolled part is here.
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

THEIRS = 2e-2  # gate, up and results are bf16 in PSUM: activations at a border round to another e4m3 value
ON_BLOCK = Case(
    variant="shard_on_block_mx", target="trn3", weights="mxfp4", T=256, H=1024, I=512, E=3, K=2, B=128, conditions=None,
    activation=ActFnType.Swish, gate_upper=7.0, up_upper=7.0, up_lower=-7.0,
)  # fmt: skip
ON_I = replace(ON_BLOCK, variant="shard_on_i_mx", I=1024, B=256)
HYBRID = replace(ON_I, variant="shard_on_i_mx_hybrid", conditions=1)
KERNELS = {
    "shard_on_block_mx": ("bwmm_shard_on_block_mx", "bwmm_shard_on_block_mx"),
    "shard_on_i_mx": ("bwmm_shard_on_I_mx", "blockwise_mm_shard_intermediate_mx"),
    "shard_on_i_mx_hybrid": ("bwmm_shard_on_I_mx", "blockwise_mm_shard_intermediate_mx_hybrid"),
}


def theirs(case: Case, inputs: dict[str, Any]) -> Any:
    """The output [T', H] of the unmodified kernel."""
    nkisim.install()
    source = str(Path(str(CHECKOUT)) / "src")
    if source not in sys.path:
        sys.path.insert(0, source)
    module, name = KERNELS[case.variant]
    folder = "nkilib_src.nkilib.core.moe.moe_cte"
    kernel = getattr(importlib.import_module(f"{folder}.{module}"), name)
    skip = importlib.import_module(f"{folder}.bwmm_shard_on_block").SkipMode
    types = importlib.import_module("nkilib_src.nkilib.core.utils.common_types")
    arguments = {
        **inputs,
        "block_size": case.B,
        "activation_function": types.ActFnType[case.activation.name],
        "skip_dma": skip(case.skip_token, False),
        "expert_affinities_scaling_mode": types.ExpertAffinityScaleMode[case.scaling.name],
        "gate_clamp_upper_limit": case.gate_upper,
        "gate_clamp_lower_limit": case.gate_lower,
        "up_clamp_upper_limit": case.up_upper,
        "up_clamp_lower_limit": case.up_lower,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NKISIM_UNWRITTEN_BYTE", "0")  # packed rows behind the last one of I are never written
        output = nkisim.Simulator("trn3", lnc=2, report_only=True).run(kernel, **arguments).outputs
    output = output[0] if isinstance(output, tuple) else output
    return np.asarray(output[0] if output.ndim == 3 else output).astype(np.float32)


def inputs_of(case: Case, down_bias: float) -> dict[str, Any]:
    inputs = build_inputs(case)
    inputs["down_proj_bias"] = inputs["down_proj_bias"] * np.asarray(down_bias, inputs["down_proj_bias"].dtype)
    return inputs


@cases(ON_BLOCK, replace(ON_BLOCK, weights="mxfp8", I=384), replace(ON_BLOCK, weights="mxfp8-e5m2", I=1024))
def test_both_agree_with_the_reference_and_ours_is_nearer(case: Case) -> None:
    _agree(case, inputs_of(case, 1.0))


@cases(ON_I, replace(ON_I, weights="mxfp8"), HYBRID)
def test_both_agree_without_the_down_bias_that_theirs_counts_twice(case: Case) -> None:
    _agree(case, inputs_of(case, 0.0))


def test_theirs_counts_the_down_bias_twice() -> None:
    inputs = inputs_of(ON_I, 1.0)
    expected = reference(ON_I, inputs)
    assert_matches_reference(run(ON_I, inputs))
    assert distance(theirs(ON_I, inputs), expected).rel_l2 > 0.1
    twice = reference(ON_I, {**inputs, "down_proj_bias": inputs["down_proj_bias"] * 2})
    assert distance(theirs(ON_I, inputs), twice).rel_l2 < THEIRS


def test_theirs_scales_although_told_not_to() -> None:
    case = replace(ON_BLOCK, scaling=ExpertAffinityScaleMode.NO_SCALE)
    inputs = inputs_of(case, 1.0)
    assert_matches_reference(run(case, inputs))
    scaled = reference(replace(case, scaling=ExpertAffinityScaleMode.POST_SCALE), inputs)
    assert distance(theirs(case, inputs), scaled).rel_l2 < THEIRS


def _agree(case: Case, inputs: dict[str, Any]) -> None:
    ours = run(case, inputs)
    assert_matches_reference(ours)
    expected = reference(case, inputs)
    far, near = (distance(output, expected).rel_l2 for output in (theirs(case, inputs), ours.output))
    assert far < THEIRS
    assert near < far
