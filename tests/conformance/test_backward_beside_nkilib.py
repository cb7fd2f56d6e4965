"""nki-library's backward kernel and ours agree on the same inputs.

Needs a checkout: NKILIB=path/to/nki-library pytest tests/conformance. Nothing of it is stored here.

Left out: options that it ignores (sharding, affinity on I, dropping), activations other than SiLU and Swish, which it
takes for SiLU; blocks of 128, whose one tile its two cores do not share, and pad rows, since both give NaN there. It
clears the gradients of affinities without a barrier behind the zeros, so what one core writes early may be cleared by
the other one: those are compared where they are not zero.
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
from support.gradients import NAMES, assert_golden, golden, run_backward
from support.inputs import DTYPES
from support.launch import reference_checkpoints

import nkisim
from nkimoe import ActFnType
from nkimoe.reference.tolerance import distance

CHECKOUT = os.environ.get("NKILIB")
pytestmark = [
    pytest.mark.skipif(not CHECKOUT, reason="NKILIB names no checkout of nki-library"),
    pytest.mark.filterwarnings("ignore"),  # theirs is written for an older NKI
]

# Theirs rounds more often than ours: weights' gradients to bf16 after each block.
THEIRS = 2e-2
BASE = Case(T=256, H=512, I=128, E=4, K=2, B=256, biases="none")
LIMITS = {"gate_upper": 1.0, "gate_lower": -1.0, "up_upper": 0.5, "up_lower": -0.5}


def theirs(case: Case, arguments: dict[str, Any]) -> dict[str, Any]:
    """Gradients by argument, as the kernel of the checkout computes them."""
    nkisim.install()
    sys.path.insert(0, str(Path(str(CHECKOUT)) / "src"))
    folder = "nkilib_src.nkilib.experimental.moe.bwd"
    kernel = importlib.import_module(f"{folder}.blockwise_mm_backward").blockwise_mm_bwd
    types = importlib.import_module(f"{folder}.moe_bwd_parameters")
    forward = {name: value for name, value in arguments.items() if name in (*NAMES, *ROUTING)}
    down = reference_checkpoints(case, forward)[1].astype(DTYPES[case.dtype])
    returned = (
        nkisim.Simulator("trn2", lnc=2, report_only=True)
        .run(
            kernel,
            **{name: arguments[name] for name in (*NAMES[:4], "token_position_to_id", "output_hidden_states_grad")},
            gate_up_proj_act_checkpoint_T=arguments["gate_up_activations_T"],
            down_proj_act_checkpoint=down,
            block_to_expert=arguments["block_to_expert"].reshape(-1, 1),
            block_size=case.B,
            skip_dma=types.SkipMode(case.skip_token, False),
            clamp_limits=types.ClampLimits(case.up_upper, case.up_lower, case.gate_upper, case.gate_lower),
            bias=case.biases == "both",
            activation_type=types.ActFnType[case.activation.name],
        )
        .outputs
    )
    return dict(zip(NAMES, returned, strict=False))


ROUTING = ("token_position_to_id", "block_to_expert")


@cases(
    BASE,
    replace(BASE, T=512, B=512, activation=ActFnType.Swish),
    replace(BASE, **LIMITS),
    replace(BASE, biases="both", K=1),
)
def test_both_agree_with_the_golden_gradients_and_ours_are_nearer(case: Case) -> None:
    ours = run_backward(case)
    assert_golden(ours)
    expected = golden(ours.arguments)
    for name, gradient in theirs(case, ours.arguments).items():
        if name not in expected:
            continue
        compared = [np.asarray(each) for each in (gradient, ours.found[name], expected[name])]
        if name == "expert_affinities_masked":
            kept = compared[0] != 0
            assert kept.sum() > case.T * case.K / 2
            compared = [each[kept] for each in compared]
        a, b, c = (each.reshape(len(each), -1) for each in compared)
        far, near = (distance(each, c).rel_l2 for each in (a, b))
        assert far < THEIRS, name
        assert near <= 1.05 * far, name
