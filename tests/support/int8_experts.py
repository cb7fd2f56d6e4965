"""The operations with int8 experts beside their definitions, on layers that take every path of their kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nkimoe import ops
from nkimoe.reference import expert_ops as definitions
from nkimoe.reference.tolerance import int8_tolerance
from support.expert_cases import Arguments, layer, shared_layer, smooth_layer
from support.row_cases import DTYPES
from support.tolerance import assert_close

EQUAL = 0.999  # of the outputs, bit for bit: an activation whose last bit differs now and then takes the next code


def routed(*sizes: int, **options: Any) -> Arguments:
    """Arguments of `fused_experts` for sizes T, N, K, E, k."""
    return with_odd_tokens(layer(*sizes, **options))


def smoothed(*sizes: int, **options: Any) -> Arguments:
    """Arguments of `fused_moe_smoothquant`."""
    return with_odd_tokens(smooth_layer(*sizes, **options))


def shared(T: int, N: int, K: int, dtype: str = "bfloat16") -> Arguments:
    """Arguments of `shared_expert`, its two terms of about equal size."""
    rng = np.random.default_rng(T + K)
    x, routed = (rng.standard_normal((T, K)) * size for size in (1, 64))
    tensors = {"x": x.astype(DTYPES[dtype]), "fused_experts_out": routed.astype(DTYPES[dtype])}
    return shared_layer(T, N, K, dtype) | tensors | {"routed_scaling_factor": 2.5}


def with_odd_tokens(arguments: Arguments) -> Arguments:
    """Some ids name no expert, one token has an expert twice, one row is zero."""
    ids, x = arguments["topk_ids"].copy(), arguments["x"].copy()
    ids[::7, 0], ids[2, -1], ids[5] = -1, len(arguments["w1"]), ids[5, 0]
    x[1] = 0
    return arguments | {"topk_ids": ids, "x": x}


def check_int8_experts() -> None:
    """With one core and two, with and without pairs that have no slot, each rounded or only their sum."""
    for arguments, cores, options in (
        (routed(200, 200, 300, 5, 3), 2, {}),
        (routed(90, 64, 256, 3, 2, dtype="float16"), 1, {"round_each": False}),
        (routed(150, 33, 128, 6, 1), 2, {"block_size": 128}),
        (_without_gaps(routed(150, 64, 4096, 4, 4)), 2, {"round_each": False, "block_size": 256}),
        (_cancelling(routed(60, 64, 256, 3, 3)), 1, {"round_each": False}),
    ):
        found = ops.fused_experts[cores](**arguments, **options)
        options.pop("block_size", None)
        assert_as_defined(found, definitions.fused_experts_reference, arguments | options)
    for arguments, cores, activation in (
        (smoothed(200, 200, 300, 5, 3), 2, "silu"),
        (smoothed(300, 96, 256, 3, 2, gated=False), 1, "gelu"),  # several tiles of tokens in a block
    ):
        arguments |= {"activation": activation}
        found = ops.fused_moe_smoothquant[cores](**arguments, block_size=256)
        assert_as_defined(found, definitions.fused_moe_smoothquant_reference, arguments)
    for arguments, cores in ((shared(300, 200, 300), 2), (shared(70, 64, 1280, "float16"), 1)):
        found = ops.shared_expert[cores](**arguments)
        assert_as_defined(found, definitions.shared_expert_reference, arguments)


def assert_as_defined(found: Any, definition: Callable[..., Any], arguments: Arguments) -> None:
    """Within bounds that count roundings, and nearly everywhere bit for bit."""
    expected = definition(**arguments)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    choices = arguments["topk_ids"].shape[1] if "topk_ids" in arguments else 1
    bounds = int8_tolerance(str(found.dtype), choices, arguments["w2"].shape[-1])
    assert_close(found.astype(np.float32), expected.astype(np.float32), bounds)
    assert np.count_nonzero(found == expected) >= EQUAL * found.size


def _without_gaps(arguments: Arguments) -> Arguments:
    """Every pair has a slot: nobody clears rows."""
    E, (T, k) = len(arguments["w1"]), arguments["topk_ids"].shape
    ids = (np.arange(T)[:, None] + np.arange(k)) % E
    return arguments | {"topk_ids": ids.astype(np.int64)}


def _cancelling(arguments: Arguments) -> Arguments:
    """The last choice takes away the first; most of the one between is lost, unless they are added in another order."""
    T, k = arguments["topk_ids"].shape
    ids, weights = np.zeros((T, k), np.int32), np.ones((T, k), np.float32)
    ids[:, 1:-1], weights[:, 0], weights[:, -1] = 1, 2.0**16, -(2.0**16)
    return arguments | {"topk_ids": ids, "topk_weights": weights}
