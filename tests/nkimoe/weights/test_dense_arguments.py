"""MX requests on Trn2: dequantised on the host, computed by the dense implementations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from support.case import Case, cases
from support.inputs import build_inputs

import nkisim
from nkimoe import QuantizationType, moe_cte
from nkimoe.reference.mx import moe_cte_mx_reference
from nkimoe.reference.tolerance import distance, tolerance
from nkimoe.weights import dense_arguments

CASE = Case(variant="shard_on_block_mx", target="trn3", weights="mxfp4", T=60, H=512, I=96, E=2, K=1)


@cases(
    CASE,
    replace(CASE, variant="shard_on_i_mx", weights="mxfp8-e5m2", carrier=True, biases="down"),
    replace(CASE, variant="shard_on_i_mx_hybrid", packed_scales=True, static_blocks=1),
    replace(CASE, weights="mxfp8", mx_scales=QuantizationType.STATIC_MX),
    replace(CASE, weights="mxfp8", mx_scales=QuantizationType.ROW_MX, fp8_inputs="both"),
)
def test_the_result_is_that_of_unquantised_activations(case: Case) -> None:
    inputs = build_inputs(case)
    run = nkisim.Simulator("trn2", lnc=2).run(moe_cte, **dense_arguments({**inputs, **case.options()}))
    for name in ("gate_up_in_scale", "down_in_scale"):
        inputs.pop(name, None)
    expected = moe_cte_mx_reference(**inputs, block_size=case.B, spec=case.spec(), skip_token=True, rule=None)
    rounded_weights = 2 * np.float32(2.0**-9)  # fp8 times an fp32 scale has more bits than bf16
    found, bounds = distance(run.outputs, expected), tolerance("bfloat16", "bfloat16", 1)
    assert found.rel_l2 < bounds.rel_l2 + rounded_weights
