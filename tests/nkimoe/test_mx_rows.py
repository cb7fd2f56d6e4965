"""Hidden states that come as MXFP8 rows: the results of those that are quantised on chip, to the bit."""

from __future__ import annotations

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from support.case import Case, cases
from support.inputs import build_inputs
from support.launch import assert_same_bits, check, run

from nkimoe import BlockShardStrategy, ExpertAffinityScaleMode, InputError, QuantizationType, RequestError
from nkimoe.weights import dense_arguments, dequantize_rows, quantize_rows

SMALL = Case(T=60, H=512, I=96, target="trn3", weights="mxfp8", coded_rows=True)
VARIANTS = ("shard_on_block_mx", "shard_on_i_mx", "shard_on_i_mx_hybrid")
ALL = [replace(SMALL, variant=variant) for variant in VARIANTS]
BOTH = ALL[:2]


@cases(
    *ALL,
    *(replace(case, H=2560, I=640, E=2, T=300, B=256, skip_token=False) for case in ALL),
    *(replace(case, weights="mxfp4", cores=1, H=1024, per_core_output=False) for case in BOTH),
    *(replace(case, scaling=mode) for case in BOTH for mode in ExpertAffinityScaleMode),
    *(replace(case, mx_scales=kind) for case in BOTH for kind in (QuantizationType.STATIC_MX, QuantizationType.ROW_MX)),
    replace(ALL[0], per_core_output=True, strategy=BlockShardStrategy.HI_LO, static_blocks=1, T=400, E=5),
)
def test_results_agree_with_the_reference(case: Case) -> None:
    check(case)


@cases(*ALL, *(replace(case, H=4608, T=200, E=2) for case in BOTH))
def test_results_are_those_of_rows_that_are_quantised_on_chip(case: Case) -> None:
    inputs = build_inputs(case)
    plain = {**inputs, **{"hidden_states": build_inputs(replace(case, coded_rows=False))["hidden_states"]}}
    assert_same_bits(run(case, inputs).output, run(replace(case, coded_rows=False), plain).output)


def test_rows_hold_each_block_and_its_scale_in_its_place() -> None:
    H = 2560
    x = np.random.default_rng(0).standard_normal((3, H)).astype(ml_dtypes.bfloat16)
    rows = quantize_rows(x)
    assert rows.shape == (3, H + 256)
    back = dequantize_rows(rows, H)
    assert np.linalg.norm(back - x.astype(np.float32)) < 0.04 * np.linalg.norm(x.astype(np.float32))
    h, p, q, r = 4, 77, 2, 77 // 8
    column = q * H // 4 + 128 * h + p
    code = int(rows.view(np.uint8)[1, H + 128 * (h // 4) + 32 * (r // 4) + 4 * (h % 4) + r % 4])
    assert back[1, column] == float(rows[1, 4 * (128 * h + p) + q]) * 2.0 ** (code - 127)


def test_other_widths_a_second_quantisation_and_elements_that_are_nan_are_refused() -> None:
    case = ALL[0]
    inputs = build_inputs(case)
    with pytest.raises(RequestError, match="hidden_states: has 512 elements and 128 bytes of scales a row; got 639"):
        run(case, {**inputs, "hidden_states": inputs["hidden_states"][:, :639]})
    with pytest.raises(RequestError, match="gate_up_in_scale: quantises hidden states; got MXFP8 rows"):
        run(replace(case, mx_scales=QuantizationType.STATIC_MX, fp8_inputs="gate_up"))
    rows = inputs["hidden_states"].copy()
    rows[3, 5] = np.nan
    with pytest.raises(InputError, match="hidden_states"):
        run(case, {**inputs, "hidden_states": rows})


def test_dense_arguments_have_numbers_instead() -> None:
    inputs = build_inputs(ALL[0])
    plain = dense_arguments({**inputs, **ALL[0].options()})
    expected = dequantize_rows(inputs["hidden_states"], ALL[0].H).astype(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(plain["hidden_states"], expected)
