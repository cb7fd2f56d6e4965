"""The operations with int8 experts beside their definitions, on layers that take every path of their kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from nkimoe import ops
from nkimoe.reference import expert_ops as definitions
from nkimoe.reference.tolerance import int8_tolerance
from support.inputs import DTYPES
from support.tolerance import assert_close

Arguments = dict[str, Any]
Ints, Floats = npt.NDArray[np.int8], npt.NDArray[np.float32]
EQUAL = 0.999  # of the outputs, bit for bit: an activation whose last bit differs now and then takes the next code


def routed(T: int, N: int, K: int, E: int, k: int, dtype: str = "bfloat16", halves: int = 2) -> Arguments:
    """Arguments of `fused_experts`; some ids name no expert, one token has an expert twice, one row is zero."""
    rng = np.random.default_rng(T + N)
    ids = np.argsort(rng.random((T, E)), axis=1)[:, :k].astype(np.int32)
    ids[::7, 0], ids[2, -1], ids[5] = -1, E, ids[5, 0]
    x = _values(rng, (T, K), dtype)
    x[1] = 0
    return {
        "x": x, "topk_weights": rng.uniform(0.2, 1, (T, k)).astype(np.float32), "topk_ids": ids,
        "w1": _codes(rng, (E, halves * N, K)), "w2": _codes(rng, (E, K, N)),
        "w1_scale": _scales(rng, (E, halves * N)), "w2_scale": _scales(rng, (E, K)),
    }  # fmt: skip


def smoothed(*sizes: int, **options: Any) -> Arguments:
    """Arguments of `fused_moe_smoothquant`."""
    _, N, K, E, _ = sizes
    rng = np.random.default_rng(3)
    smooth = {"smooth_scale1": rng.uniform(0.1, 2, (E, K)), "smooth_scale2": rng.uniform(0.1, 2, (E, N))}
    return routed(*sizes, **options) | {name: values.astype(np.float32) for name, values in smooth.items()}


def shared(T: int, N: int, K: int, dtype: str = "bfloat16") -> Arguments:
    """Arguments of `shared_expert`, its two terms of about equal size."""
    rng = np.random.default_rng(T + K)
    return {
        "x": _values(rng, (T, K), dtype), "w1": _codes(rng, (2 * N, K)), "w2": _codes(rng, (K, N)),
        "w1_scale": _scales(rng, (2 * N,)), "w2_scale": _scales(rng, (K,)),
        "fused_experts_out": (rng.standard_normal((T, K)) / 50).astype(DTYPES[dtype]), "routed_scaling_factor": 2.5,
    }  # fmt: skip


def check_int8_experts() -> None:
    """With one core and two, with and without pairs that have no slot, each rounded or only their sum."""
    for arguments, cores, options in (
        (routed(200, 200, 300, 5, 3), 2, {}),
        (routed(90, 64, 256, 3, 2, "float16"), 1, {"round_each": False}),
        (routed(150, 33, 128, 6, 1), 2, {"block_size": 128}),
        (_without_gaps(routed(150, 64, 4096, 4, 4)), 2, {"round_each": False, "block_size": 256}),
        (_cancelling(routed(60, 64, 256, 3, 3)), 1, {"round_each": False}),
    ):
        found = ops.fused_experts[cores](**arguments, **options)
        options.pop("block_size", None)
        assert_as_defined(found, definitions.fused_experts_reference, arguments | options)
    for arguments, cores, activation in (
        (smoothed(200, 200, 300, 5, 3), 2, "silu"),
        (smoothed(300, 96, 256, 3, 2, halves=1), 1, "gelu"),  # several tiles of tokens in a block
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


def _values(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Any:
    return rng.standard_normal(shape, dtype=np.float32).astype(DTYPES[dtype])


def _codes(rng: np.random.Generator, shape: tuple[int, ...]) -> Ints:
    return rng.integers(-127, 128, shape).astype(np.int8)


def _scales(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """A product of the smallest is still normal in fp16."""
    return rng.uniform(0.5, 1, shape).astype(np.float32) / np.float32(1500)
