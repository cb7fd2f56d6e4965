"""Grouped GEMMs, and what is made of them, beside their definitions, on shapes that take every path of the kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

from nkimoe.kernels.grouped_gemm import rows_in_runs
from nkimoe.ops import downcast_to_static_fp8, fused_moe, fused_moe_gemm, routing_sigmoid_top1
from nkimoe.planning.grouped_gemm import plan
from nkimoe.planning.grouped_gemm.choice import GemmChoice, Split
from nkimoe.reference.grouped_gemm import fused_moe_gemm_reference, gemm_tolerance
from nkimoe.reference.routing_ops import routing_sigmoid_top1_reference
from nkimoe.reference.row_quantisation import static_codes_reference
from nkimoe.reference.row_tolerance import code_distance
from nkimoe.reference.tolerance import distance
from nkimoe.reference.two_stage_moe import two_stage_moe_reference
from nkimoe.tuning import LayerKey, TunedTable
from support.gemm_cases import BF16, blocks_drawn, check_gemm, drawn, int4_drawn, int8_drawn, mx_drawn, normal, routed
from support.sums import assert_same_sums
from support.tuned_rows import tuned_row


def check_grouped_gemms() -> None:
    """Some ids name no expert; some experts have several blocks, and columns several passes."""
    plan.FP32_TILES = 90  # small cases need several passes, too
    rows_in_runs.RUN_COLUMNS = 256  # and several gathers a row
    bias = np.random.default_rng(2).standard_normal((3, 700)).astype(np.float32)
    with_gaps = drawn(300, 700, 300, 2, 3)
    with_gaps["topk_ids"][::7, 0] = -1
    check_gemm(2, **with_gaps, epilogue="silu", bias=bias, doweight_stage1=True)
    check_gemm(1, **with_gaps, epilogue="gelu", bias=bias)
    check_gemm(2, **with_gaps, epilogue="silu", legacy_order=True)
    check_gemm(2, **drawn(9, 5000, 4000, 2, 3), epilogue="swiglu", alpha=1.7, add_residual=True)
    check_gemm(2, **drawn(1700, 90, 130, 2, 2))
    check_gemm(2, **int8_drawn(150, 700, 1300, 2, 3, "int8_w8a16"), epilogue="swiglu", limit=0.5, bias=bias)
    check_gemm(2, **int8_drawn(700, 700, 1900, 2, 3, "int8_w8a8"), epilogue="gelu_mul")
    check_gemm(1, **int4_drawn(40, 1100, 1000, 2, 3, 8, True), epilogue="silu")
    check_gemm(2, **int4_drawn(40, 64, 1024, 2, 3, 512, False, BF16))
    _check_blocks_and_codes()
    for M in (300, 40):  # cores share blocks, or columns
        _check_two_stages(M)
    _check_two_stages_of_int8()
    _check_tuned(with_gaps)
    rng = np.random.default_rng(0)
    x, w = rng.integers(-2, 3, (200, 4500)).astype(np.float32), rng.integers(-2, 3, (4500, 700)).astype(np.float32)
    found, expected = (
        routing_sigmoid_top1[2](x, w, fused_shared_experts=True),
        routing_sigmoid_top1_reference(x, w, True),
    )
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)


def _check_two_stages_of_int8() -> None:
    """Some pairs have no expert, and their rows between the projections are quantised, too."""
    M, H, I, E, k = 60, 200, 300, 3, 2
    first, second = (int8_drawn(M, N, K, k, E, "int8_w8a8") for N, K in ((2 * I, H), (H, I)))
    first["topk_ids"][::5, 1] = -1
    tensors = {"hidden_states": first["a"], "w1": first["b"], "w2": second["b"]}
    tensors |= {name: first[name] for name in ("topk_weights", "topk_ids", "quantization")}
    result = fused_moe[2](**tensors, w1_scale=first["b_scale"], w2_scale=second["b_scale"])
    del tensors["quantization"]
    of_each = ({name: each[name] for name in ("b_scale", "quantization")} for each in (first, second))
    expected = two_stage_moe_reference(**tensors, **dict(zip(("of_first", "of_second"), of_each, strict=True)))
    assert distance(result, expected).within(gemm_tolerance("bfloat16"))


def _check_tuned(arguments: dict[str, Any]) -> None:
    """Neither pieces that do not divide the columns, nor how many are on chip, nor what cores share matter."""
    K = arguments["a"].shape[1]
    E, N = arguments["b"].shape[:2]
    layer = LayerKey(512, K, N, E, 2, "none", "bfloat16", "bfloat16", "bfloat16", "no", False, False)
    expected = fused_moe_gemm(**arguments)
    for split in Split:
        row = tuned_row(layer, choices=(GemmChoice(256, 96, 3, split),))
        found = fused_moe_gemm[2](**arguments, tuned=TunedTable([row]).on("trn2", 2))
        assert_same_sums(found, expected)


def _check_blocks_and_codes() -> None:
    """Several passes, blocks of several tiles, halves that interleave."""
    for quantization in ("fp8_block_w8a16", "fp8_block_w8a8"):
        check_gemm(2, **blocks_drawn(150, 1400, 1024, 2, 3, quantization), epilogue="silu")
        check_gemm(2, **blocks_drawn(9, 3000, 300, 2, 3, quantization), epilogue="swiglu")
    check_gemm(2, **mx_drawn(1300, 1400, 1024, 2, 3, "mxfp4"), epilogue="silu")
    check_gemm(1, **blocks_drawn(1700, 90, 200, 2, 2, "fp8_block_w8a8"))
    check_gemm(2, **int8_drawn(1700, 90, 130, 2, 2, "int8_w8a8"))
    arguments = drawn(300, 700, 200, 2, 3)
    arguments["topk_ids"][::7, 0] = -1
    results = fused_moe_gemm_reference(**arguments)
    for dtype in ("int8", "float8_e4m3"):
        codes = fused_moe_gemm[2](**arguments, out_dtype=dtype, out_scale=np.array([0.01], np.float32))
        assert np.count_nonzero(code_distance(codes, static_codes_reference(results, 0.01, dtype))) < 1e-3 * codes.size
    assert distance(fused_moe_gemm[2](**arguments, reduce=True), results.sum(axis=1)).within(gemm_tolerance("bfloat16"))
    x = normal(np.random.default_rng(0), (300, 9000), BF16)
    found = downcast_to_static_fp8[2](x, np.array([0.25], np.float32), out="float8_e4m3")
    np.testing.assert_array_equal(code_distance(found, static_codes_reference(x, 0.25, "float8_e4m3")), 0)


def _check_two_stages(M: int) -> None:
    H, I, E, k = 200, 300, 4, 3
    rng = np.random.default_rng(1)
    ids, weights = routed(rng, M, k, 6)
    tensors = {
        "hidden_states": normal(rng, (M, H), BF16),
        "w1": normal(rng, (E, 2 * I, H), BF16, H**-0.5),
        "w2": normal(rng, (E, H, I), BF16, I**-0.5),
        "topk_weights": weights,
        "topk_ids": ids,
        "expert_mask": np.array([1, 0, 1, 1, 0, 1]),
    }
    apart = distance(fused_moe[2](**tensors), two_stage_moe_reference(**tensors))
    assert apart.within(gemm_tolerance("bfloat16"))
