"""What is predicted without values is what the operation runs."""

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from support.gemm_cases import BF16
from support.tuned_rows import LAYER, tuned_row

from nkimoe.ops import fused_moe, fused_moe_gemm
from nkimoe.planning.grouped_gemm.choice import GemmChoice, Split
from nkimoe.tuning import TunedTable
from nkimoe.tuning.operand_types import OperandTypes
from nkimoe.tuning.stages import Stages
from nkisim import Simulator

M, H, I, E, K = 64, 256, 320, 4, 2
CHOICES = GemmChoice(128, 120, 2, Split.COLUMNS), GemmChoice(128, 100, 1, Split.BLOCKS)
QUANTISED = {
    "unquant": ("bfloat16", "bfloat16", "no"),
    "int8_w8a8": ("int8", "int8", "per_token"),
    "int8_w8a16": ("bfloat16", "int8", "per_token"),
    "int4_w4a16": ("bfloat16", "int4", "per_1x32"),
    "fp8_w8a16": ("bfloat16", "float8_e4m3", "per_token"),
    "fp8_w8a8": ("float8_e4m3", "float8_e4m3", "per_tensor"),
}


def weights(quantization, rows, columns):
    """b and what comes with it, of values that do not matter; int8 columns are exact in one sum."""
    ones = np.ones((E, rows), np.float32)
    if quantization == "unquant":
        return {"b": np.zeros((E, rows, columns), BF16)}
    if quantization == "int4_w4a16":
        scale = np.ones((E, rows, columns // 32), np.float32)
        return {"b": np.zeros((E, rows, columns // 2), np.uint8), "b_scale": scale, "group_size": 32}
    if quantization.startswith("int8"):
        return {"b": np.zeros((E, rows, columns), np.int8), "b_scale": ones}
    given = {"b": np.zeros((E, rows, columns), ml_dtypes.float8_e4m3), "b_scale": ones}
    return given | ({"a_scale": np.ones(1, np.float32)} if quantization == "fp8_w8a8" else {})


def latency(operation, **arguments):
    """Of its only launch."""
    runs = []

    def launch(kernel, *given):
        runs.append(Simulator("trn2", 2, numerics=False).run(kernel, *given))
        return runs[-1].outputs

    operation.launched_by(launch)(**arguments)
    (run,) = runs
    return run.profile.latency_us


def stages_of(quantization, **changed):
    types = dict(zip(OperandTypes._fields, QUANTISED[quantization], strict=True))
    layer = replace(LAYER, token=M, model_dim=H, inter_dim=I, expert=E, topk=K, **types, **changed)
    return Stages(layer, "trn2", 2)


def common(stages, choices):
    routed, tuned = stages.routed.ids, TunedTable([tuned_row(stages.layer, choices=choices)])
    return {"topk_ids": routed, "topk_weights": np.ones(routed.shape, np.float32), "tuned": tuned.on("trn2", 2)}


@pytest.mark.parametrize("quantization", QUANTISED)
def test_a_layer_is_predicted_as_fused_moe_runs(quantization):
    stages = stages_of(quantization, doweight_stage1=quantization == "unquant")
    first, second = weights(quantization, 2 * I, H), weights(quantization, H, I)
    named = {f"w{n}_scale": each["b_scale"] for n, each in ((1, first), (2, second)) if "b_scale" in each}
    named |= {f"a{n}_scale": each["a_scale"] for n, each in ((1, first), (2, second)) if "a_scale" in each}
    arguments = {
        "hidden_states": np.zeros((M, H), BF16), "w1": first["b"], "w2": second["b"], "quantization": quantization,
        "group_size": first.get("group_size"), "doweight_stage1": stages.layer.doweight_stage1, **named,
    }  # fmt: skip
    found = [latency(fused_moe, **arguments, **common(stages, choices)) for choices in (CHOICES, CHOICES[::-1])]
    assert found == [stages.predict_all(choices).latency_us for choices in (CHOICES, CHOICES[::-1])]
    arguments |= {name: value for name, value in common(stages, CHOICES).items() if name != "tuned"}
    assert latency(fused_moe, **arguments) == stages.predict_all(stages.default).latency_us


@pytest.mark.parametrize("quantization", QUANTISED)
def test_a_single_projection_is_predicted_as_fused_moe_gemm_runs(quantization):
    stages = stages_of(quantization, act_type="gelu", use_g1u1=False)
    arguments = {"a": np.zeros((M, H), BF16), "quantization": quantization, "epilogue": "gelu"}
    arguments |= weights(quantization, I, H)
    assert latency(fused_moe_gemm, **arguments, **common(stages, CHOICES)) == stages.predict_all(CHOICES[:1]).latency_us
