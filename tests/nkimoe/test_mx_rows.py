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
    *(replace(case, B=B, T=150) for case in BOTH for B in (48, 200)),
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


PACKED = [replace(case, packed_affinities=True, E=5) for case in ALL]


@cases(
    *PACKED,
    *(replace(case, scaling=mode) for case in PACKED for mode in ExpertAffinityScaleMode),
    *(replace(case, multiply_on_i=True, skip_token=False) for case in PACKED),
    replace(PACKED[0], per_core_output=True, strategy=BlockShardStrategy.HI_LO, static_blocks=1, T=400),
)
def test_affinities_behind_the_scales_are_those_of_a_column(case: Case) -> None:
    outcome = check(case)
    inputs = build_inputs(replace(case, packed_affinities=False))
    assert_same_bits(outcome.output, run(replace(case, packed_affinities=False), inputs).output)


def test_rows_with_affinities_are_whole_words() -> None:
    H, E = 512, 5
    x, affinities = np.ones((3, H), ml_dtypes.bfloat16), np.arange(3 * E).reshape(-1, 1).astype(ml_dtypes.bfloat16)
    rows = quantize_rows(x, affinities=affinities)
    assert rows.shape == (3, H + 128 + 12)
    assert rows[1, H + 128 : H + 128 + 2 * E].view(ml_dtypes.bfloat16).tolist() == [5, 6, 7, 8, 9]
    np.testing.assert_array_equal(rows[:, : H + 128].view(np.uint8), quantize_rows(x).view(np.uint8))


def test_affinities_are_in_rows_or_beside_them() -> None:
    case = PACKED[0]
    packed, beside = build_inputs(case), build_inputs(replace(case, packed_affinities=False))
    column = beside["expert_affinities_masked"]
    with pytest.raises(RequestError, match="hidden_states: has 512 elements and 128 bytes of scales a row; got 652"):
        run(case, {**packed, "expert_affinities_masked": column})
    with pytest.raises(RequestError, match="a row, and 5 affinities, since expert_affinities_masked is None; got 640"):
        run(case, {**beside, "expert_affinities_masked": None})
    for other in (replace(case, coded_rows=False, packed_affinities=False), Case(T=60, H=256, I=64)):
        without = {**build_inputs(other), "expert_affinities_masked": None}
        with pytest.raises(RequestError, match="affinities_masked: is None only where hidden states are MXFP8 rows"):
            run(other, without)
    rows = packed["hidden_states"].copy()
    rows.view(np.uint8)[3, 640:642] = (0xC0, 0x7F)  # bf16 NaN
    with pytest.raises(InputError, match="expert_affinities_masked"):
        run(case, {**packed, "hidden_states": rows})


def test_dense_arguments_have_affinities_beside() -> None:
    inputs = build_inputs(PACKED[0])
    column = build_inputs(replace(PACKED[0], packed_affinities=False))["expert_affinities_masked"]
    plain = dense_arguments({**inputs, **PACKED[0].options()})
    np.testing.assert_array_equal(plain["expert_affinities_masked"], column)
