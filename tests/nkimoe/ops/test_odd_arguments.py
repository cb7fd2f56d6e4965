"""Odd values for any argument of any operation end in an error that names it, never in one of Python's own."""

from __future__ import annotations

import inspect
import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from nkimoe import RequestError, ops
from nkimoe.planning.argument_types import check_argument_types
from nkisim.errors import LaunchError

T, H, I, E = 4, 128, 16, 2
RNG = np.random.default_rng(0)
X = RNG.standard_normal((T, H)).astype(ml_dtypes.bfloat16)
ROUTING = {"topk_ids": np.array([[0], [1], [1], [0]], np.int32), "topk_weights": np.full((T, 1), 0.5, np.float32)}
PLAIN = {
    "w1": RNG.standard_normal((E, 2 * I, H)).astype(ml_dtypes.bfloat16),
    "w2": RNG.standard_normal((E, H, I)).astype(ml_dtypes.bfloat16),
}
INT8 = {
    "w1": RNG.integers(-9, 9, (E, 2 * I, H)).astype(np.int8), "w2": RNG.integers(-9, 9, (E, H, I)).astype(np.int8),
    "w1_scale": np.ones((E, 2 * I), np.float32), "w2_scale": np.ones((E, H), np.float32),
}  # fmt: skip
SMOOTH = {"smooth_scale1": np.ones((E, H), np.float32), "smooth_scale2": np.ones((E, I), np.float32)}
CALLS: dict[str, dict[str, Any]] = {
    "downcast_to_static_fp8": {"x": X, "scale": np.ones(1, np.float32)},
    "e2e_moe": {"a": X, **PLAIN, **ROUTING},
    "fused_experts": {"x": X, **INT8, **ROUTING},
    "fused_moe": {"hidden_states": X, **PLAIN, **ROUTING},
    "fused_moe_gemm": {"a": X, "b": PLAIN["w1"], **ROUTING},
    "fused_moe_smoothquant": {"x": X, **INT8, **SMOOTH, **ROUTING},
    "moe_align_block_size": {"topk_ids": ROUTING["topk_ids"], "num_experts": E, "block_size": 4},
    "moe_smoothquant": {"x": X, "smooth_scale": np.ones((E, H), np.float32), "topk_ids": ROUTING["topk_ids"]},
    "moe_sorting": {**ROUTING, "n_experts": E, "block_size": 4},
    "quantize_per_channel_int8": {"w": X},
    "quantize_per_token_int8": {"x": X},
    "routing_sigmoid_top1": {"x": X, "w": RNG.standard_normal((H, E)).astype(ml_dtypes.bfloat16)},
    "shared_expert": {
        "x": X, "fused_experts_out": X, "routed_scaling_factor": 1.0, **{name: t[0] for name, t in INT8.items()},
    },
    "smoothquant": {"x": X, "smooth_scale": np.ones(H, np.float32)},
    "topk_softmax": {"logits": RNG.standard_normal((T, E)).astype(np.float32), "top_k": 1},
}  # fmt: skip
ODD = (
    None, True, "yes", "", 0, -1, 1.5, math.nan, math.inf, 10**30, -(2**63), [], [1, 2], {}, object(), b"x", len,
    np.float32, np.int64(3), np.array("x"), np.zeros(()), np.zeros(0), np.zeros((2, 0, 3), np.int32), np.array([None]),
    np.zeros((2, 2), bool), np.zeros((4, 128), np.complex64), np.ones((4, 128)), np.zeros((4, 128), "datetime64[s]"),
    np.ma.masked_array(np.ones((4, 128))),
)  # fmt: skip


def parameters_of(name: str) -> list[str]:
    operation = getattr(ops, name)
    function = getattr(operation, "function", operation)
    return [parameter for parameter in inspect.signature(function).parameters if parameter != "launch"]


def test_every_operation_is_tried():
    assert sorted(CALLS) == sorted(ops.__all__)


def refusal_of(operation: Any, call: dict[str, Any]) -> Exception | None:
    try:
        operation(**call)
    except (RequestError, LaunchError) as error:
        return error
    return None


def names(refusal: Exception, parameter: str) -> bool:
    """In one line. The launch refuses arrays of a type that no kernel takes."""
    if isinstance(refusal, RequestError):
        return bool(refusal.argument) and "\n" not in str(refusal)
    return f"argument {parameter}" in str(refusal)


@pytest.mark.parametrize("name", CALLS)
def test_odd_arguments_are_refused_in_one_line_by_their_names(name, monkeypatch):
    monkeypatch.setenv("NEURON_PLATFORM_TARGET_OVERRIDE", "trn2")
    operation, call = getattr(ops, name), CALLS[name]
    operation(**call)
    refused = 0
    for parameter in parameters_of(name):
        for value in ODD:
            refusal = refusal_of(operation, {**call, parameter: value})
            refused += refusal is not None
            assert refusal is None or names(refusal, parameter), f"{parameter}={value!r}: {refusal}"
    assert refused > len(ODD) / 2


def typed(flag: bool, count: int, share: float, text: str, tensor: Any, limit: int | None = None, more: Any = None):
    """For its annotations alone."""


GOOD = {"flag": True, "count": 3, "share": 0.5, "text": "x", "tensor": X, "limit": None, "more": None}


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("flag", (True, False), ("no", "True", 0, 1, None, np.bool_(True), X)),
        ("count", (0, -1, np.int32(3)), (True, 1.0, "3", None, [3], 2**31, -(2**31), math.nan)),
        ("share", (0.5, 1, np.float32(1)), (True, "1", None, [1.0], 1j, X)),
        ("text", ("", "x"), (None, 1, b"x", ["x"], X)),
        ("tensor", (X,), (None, 1, "x", [1], np.float32, object())),
        ("limit", (None, 4), ("4", False, 4.0)),
        ("more", (None, X), (1, "x", [X])),
    ],
)
def test_an_argument_is_what_its_annotation_says(name, good, bad):
    for value in good:
        check_argument_types(typed, {**GOOD, name: value})
    for value in bad:
        with pytest.raises(RequestError) as caught:
            check_argument_types(typed, {**GOOD, name: value})
        assert caught.value.argument == name
