"""FP8 weights, with and without FP8 activations, agree with the reference in every dense variant."""

from __future__ import annotations

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from support.case import Case, cases
from support.inputs import build_inputs
from support.launch import assert_matches_reference, assert_same_bits, check, run

from nkimoe import ExpertAffinityScaleMode, QuantizationConfig
from nkisim.observe import Recorder

VARIANTS = ("shard_on_block", "shard_on_i")
SMALL = Case(T=60, H=256, I=208)
BOTH = [
    replace(SMALL, variant=variant, weights=weights) for variant in VARIANTS for weights in ("fp8-row", "fp8-static")
]
ROW, STATIC = (replace(SMALL, weights=weights) for weights in ("fp8-row", "fp8-static"))


@cases(
    *BOTH,
    *(replace(case, fp8="float8_e5m2") for case in BOTH),
    *(replace(case, target="trn3", fp8="float8_e4m3fn") for case in BOTH),
    *(replace(case, shared_scales=True) for case in BOTH),
    *(replace(case, biases="none") for case in BOTH),
    *(replace(case, gate_upper=0.5, up_lower=-0.3, up_offset=1.0) for case in BOTH),
    *(replace(case, cores=1, T=200, skip_token=False) for case in BOTH),
    *(replace(case, dtype="float16") for case in BOTH),
    *(replace(case, scaling=mode) for case in BOTH[1:3] for mode in ExpertAffinityScaleMode),
    *(replace(case, H=2048, I=2064, T=130, B=256) for case in BOTH[::2]),
    *(replace(case, skip_gate=True) for case in BOTH),
    *(replace(case, B=256, T=300, biases=biases) for case in BOTH[::2] for biases in ("both", "none")),
    *(replace(case, B=64, accumulating=False, K=1) for case in BOTH[::2]),
    *(replace(case, I=2 * 192, H=384) for case in BOTH[::2]),
)
def test_weights_alone(case: Case) -> None:
    check(case)


@cases(
    *(replace(case, fp8_inputs=inputs) for case in BOTH for inputs in ("gate_up", "down", "both")),
    *(replace(case, fp8_inputs="both", H=384, I=400) for case in BOTH),
    *(replace(case, fp8_inputs="both", scaling=mode) for case in BOTH[1:3] for mode in ExpertAffinityScaleMode),
    *(replace(case, fp8_inputs="both", target="trn3", fp8="float8_e4m3fn") for case in BOTH),
    *(replace(case, fp8_inputs="both", skip_gate=True, gate_upper=1.0, up_upper=0.3) for case in BOTH),
    replace(BOTH[2], fp8_inputs="both", multiply_on_i=True),
    replace(BOTH[2], fp8_inputs="both", multiply_on_i=True, skip_gate=True, cores=1),
    replace(BOTH[0], fp8_inputs="both", B=640, T=700, fp8="float8_e5m2"),
    *(replace(case, fp8_inputs="both", B=48) for case in BOTH),
)
def test_weights_and_activations(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("variant", VARIANTS)
def test_large_codes_with_signed_scales(variant: str) -> None:
    """Codes over the whole range and scales of either sign: without the scales the result is off by nine orders."""
    case = replace(SMALL, variant=variant, weights="fp8-row", biases="both")
    inputs, rng = build_inputs(case), np.random.default_rng(3)
    for which, columns in (("gate_up", 2 * case.I), ("down", case.H)):
        name = f"{which}_proj_weight"
        codes = rng.integers(-240, 241, inputs[name].shape)
        inputs[name] = codes.astype(np.float32).astype(ml_dtypes.float8_e4m3)
        inputs[f"{which}_proj_scale"] = rng.uniform(-0.1, 0.1, (case.E, 1, columns)).astype(np.float32)
    assert_matches_reference(run(case, inputs))
    unscaled = {**inputs, **{n: np.ones_like(inputs[n]) for n in ("gate_up_proj_scale", "down_proj_scale")}}
    wrong, right = (run(case, x).output.astype(np.float32) for x in (unscaled, inputs))
    assert np.linalg.norm(wrong) > 1e3 * np.linalg.norm(right)


@cases(*BOTH)
def test_scales_may_come_in_the_configuration_or_directly(case: Case) -> None:
    inputs = build_inputs(case)
    direct = run(case, inputs).output
    names = ("gate_up_proj_scale", "down_proj_scale")
    config = QuantizationConfig(*(inputs[name] for name in names))
    others = {name: value for name, value in inputs.items() if name not in names}
    assert_same_bits(run(case, others, quantization_config=config).output, direct)
    wrong = QuantizationConfig(*(inputs[name] * 2 for name in names))
    assert_same_bits(run(case, inputs, quantization_config=wrong).output, direct)


@cases(*BOTH)
def test_half_the_scale_for_twice_the_weight_changes_nothing(case: Case) -> None:
    inputs = build_inputs(case)
    halved = dict(inputs)
    for which in ("gate_up", "down"):
        weight = (inputs[f"{which}_proj_weight"].astype(np.float32) / 4).astype(ml_dtypes.float8_e4m3)
        halved[f"{which}_proj_weight"] = (weight.astype(np.float32) * 2).astype(ml_dtypes.float8_e4m3)
        halved[f"{which}_proj_scale"] = inputs[f"{which}_proj_scale"] * 2
        inputs[f"{which}_proj_weight"] = weight
        inputs[f"{which}_proj_scale"] = inputs[f"{which}_proj_scale"] * 4
    assert_same_bits(run(case, halved).output, run(case, inputs).output)


@pytest.mark.parametrize(
    "forms", [((4, 1, 416), (4, 416)), ((4, 1, 256), (4, 256)), ((4, 2, 1), (4, 2)), ((4, 1), (4,))]
)
def test_scales_of_either_shape_are_the_same(forms: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    case = STATIC if len(forms[0]) == 2 or forms[0][1] == 2 else ROW
    inputs = build_inputs(case)
    name = next(n for n in ("gate_up_proj_scale", "down_proj_scale") if inputs[n].shape == forms[0])
    assert_same_bits(run(case, {**inputs, name: inputs[name].reshape(forms[1])}).output, run(case, inputs).output)


def test_weights_stay_one_byte_wide_on_the_way() -> None:
    """Nothing is cast in HBM or on chip: half the weight traffic of bf16."""
    case = Case(T=128, H=512, I=512, E=1, K=1, padding_blocks=0, biases="none", cores=1)
    wide, narrow = (run(replace(case, weights=weights)).run.profile.hbm_read for weights in ("plain", "fp8-static"))
    weights = 3 * case.H * case.I
    assert weights - 4096 <= wide - narrow <= weights, "less the scales"


@pytest.mark.parametrize(("B", "biases", "rows"), [(64, "both", 16), (256, "none", 16), (256, "both", 128)])
def test_few_rows_of_a_down_scale_are_read_unless_large_blocks_have_a_bias(B: int, biases: str, rows: int) -> None:
    one = Case(T=B, H=2048, I=128, E=1, K=1, B=B, padding_blocks=0, biases=biases, cores=1)
    by_row, by_matrix = (
        run(replace(one, weights=weights)).run.profile.hbm_read for weights in ("fp8-row", "fp8-static")
    )
    assert 4 * rows * one.H - 2048 <= by_row - by_matrix <= 4 * rows * one.H + 2048, "beside the scales of gate and up"


@pytest.mark.parametrize("biases", ["none", "down"])
def test_where_results_go_changes_no_more_than_their_rounding(biases: str) -> None:
    """With K of 1 no row has two results: those that old rows are added to are those that are written once."""
    case = replace(ROW, K=1, biases=biases, H=1024)
    inputs = build_inputs(case)
    added, written = (run(replace(case, accumulating=a), inputs).output.astype(np.float32) for a in (True, False))
    np.testing.assert_allclose(added, written, rtol=2**-7, atol=1e-6)


def test_fp8_activations_take_two_rows_a_matmul() -> None:
    counts = {}
    for inputs in ("none", "both"):
        recorder = Recorder()
        run(replace(ROW, I=256, biases="none", fp8_inputs=inputs), observers=[recorder])
        matmuls = [e for e in recorder.events if e.opcode == "nc_matmul" and not e.details["transpose"]]
        counts[inputs] = len(matmuls)
        assert all(e.details["double_row"] is (inputs == "both") for e in matmuls)
    assert counts["none"] == 2 * counts["both"]
