# SPDX-License-Identifier: Apache-2.0
"""What operations with experts are given, checked, and in the layouts of the kernels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nkimoe.arrays import Array
from nkimoe.errors import require
from nkimoe.ops.routing_tensors import dtype_of, shape_of, values_of
from nkimoe.planning.row_quantisation.check_inputs import largest_magnitude
from nkimoe.planning.tiling import PARTITIONS
from nkimoe.planning.validate import MAX_HIDDEN
from nkimoe.spec import EXACT_ROWS, INT8_PER_TOKEN, ActFnType
from nkimoe.weights.host_array import is_torch
from nkimoe.weights.int8 import exact_rows

FLOATS = ("bfloat16", "float16")
INTEGERS = ("int32", "int64")
INT8_W8A8, UNQUANT = "int8_w8a8", "unquant"
QUANTISATIONS = (INT8_W8A8, UNQUANT)
LEAST_COLUMNS = 2  # of I: each of two cores may have one


@dataclass(frozen=True, eq=False)
class Experts:
    """Weights of E experts as a kernel takes them.

    Attributes:
        gate_up, down: [E, H, 2, I] and [E, I, H], H a multiple of 128.
        gate_up_scale, down_scale: fp32 [E, 1, 2I] and [E, 1, H], or None.
        exact_rows: of int8 weights, as `QuantizationConfig` has it.
        smooth: fp32 [E, H] and [E, I], what both activations are multiplied with; or None twice.
        activation: of the gate.
        is_gated: False: the activation is that of up, and the gate half is not used.
    """

    gate_up: Any
    down: Any
    gate_up_scale: Any
    down_scale: Any
    exact_rows: int | None
    smooth: tuple[Any, Any] = (None, None)
    activation: ActFnType = ActFnType.SiLU
    is_gated: bool = True

    @property
    def tensors(self) -> tuple[Any, Any, Any, Any]:
        return self.gate_up, self.down, self.gate_up_scale, self.down_scale

    @property
    def activation_quantization(self) -> str | None:
        return None if self.gate_up_scale is None else INT8_PER_TOKEN


def check_tokens(x: Any) -> tuple[int, int]:
    """(tokens, columns). Raises RequestError, and InputError for values that are not finite."""
    shape = shape_of("x", x)
    rule = f"is [tokens, columns], with 1 to {MAX_HIDDEN} columns"
    is_right = len(shape) == 2 and 0 < shape[1] <= MAX_HIDDEN
    require(is_right, "x", rule, shape, "Flatten batch and sequence to tokens; fused_moe takes more columns.")
    require(dtype_of(x) in FLOATS, "x", f"is {' or '.join(FLOATS)}", dtype_of(x), "Cast it.")
    check_finite("x", x)
    return shape[0], shape[1]


def check_kinds(x: Any, **tensors: Any) -> None:
    """Raises RequestError unless they are NumPy arrays if x is one, and torch tensors if it is one; None is neither."""
    kind = "a torch tensor" if is_torch(x) else "a NumPy array"
    for name, tensor in tensors.items():
        is_same = tensor is None or is_torch(tensor) == is_torch(x)
        require(is_same, name, f"is {kind}, as x", type(tensor).__name__, "Convert one of them.")


def check_finite(name: str, tensor: Any) -> float:
    """The largest magnitude of floats that lie on the host; 0 of others."""
    values = values_of(name, tensor)
    return 0.0 if values is None or values.dtype.kind in "iu" else largest_magnitude(name, values)


def check_routing(topk_ids: Any, topk_weights: Any, tokens: int, experts: int) -> tuple[Any, Any]:
    """Ids and fp32 weights [T, k]: NumPy arrays, or torch tensors that stay on their device."""
    shape = shape_of("topk_ids", topk_ids)
    rule = f"is [{tokens}, k], k from 1 to {experts}"
    is_right = len(shape) == 2 and shape[0] == tokens and 1 <= shape[1] <= experts
    require(is_right, "topk_ids", rule, shape, "Pass the router's choices of these tokens.")
    require(dtype_of(topk_ids) in INTEGERS, "topk_ids", "is int32 or int64", dtype_of(topk_ids), "Cast it.")
    given = shape_of("topk_weights", topk_weights), dtype_of(topk_weights)
    require(given == (shape, "float32"), "topk_weights", f"is float32 {shape}", given, "Cast or fix it.")
    check_finite("topk_weights", topk_weights)
    return values_or_tensor("topk_ids", topk_ids), values_or_tensor("topk_weights", topk_weights)


def check_matrices(w1: Any, w2: Any, columns: int, dtypes: Sequence[str], gated: bool = True) -> tuple[int, int]:
    """(experts, I) of w1 [E, 2I or I, H] and w2 [E, H, I]."""
    first, second = shape_of("w1", w1), shape_of("w2", w2)
    require(len(first) == 3, "w1", "is [E, 2N, K]" if gated else "is [E, N, K]", first, "Stack the experts.")
    halves = 2 if gated else 1
    require(
        first[1] % halves == 0 and first[1] > 0 and first[2] == columns, "w1", f"is [E, {halves}N, {columns}]", first,
        "Gate rows come first, then up; the last dimension is that of x.",
    )  # fmt: skip
    require(first[0] > 0, "w1", "has at least one expert", first, "Skip the call on ranks without experts.")
    wanted = (first[0], columns, first[1] // halves)
    require(second == wanted, "w2", f"is {wanted}", second, "It takes act(gate) * up [N] back to [K].")
    for name, tensor in (("w1", w1), ("w2", w2)):
        require(dtype_of(tensor) in dtypes, name, f"is {' or '.join(dtypes)}", dtype_of(tensor), "Quantise or cast it.")
        check_finite(name, tensor)
    return first[0], wanted[2]


def check_scale(name: str, scale: Any, shape: tuple[int, ...]) -> Any:
    """A scale [E, columns] or [E, columns, 1], as [E, columns]."""
    given = shape_of(name, scale)
    require(given in (shape, (*shape, 1)), name, f"is {shape} or {(*shape, 1)}", given, "Reshape it.")
    require(dtype_of(scale) == "float32", name, "is float32", dtype_of(scale), "Cast it.")
    check_finite(name, scale)
    return scale.reshape(shape)


def check_quantization(
    quantization: Any,
    known: Sequence[str] = QUANTISATIONS,
    fix: str = "Dequantise other weights first, or call moe_cte.",
) -> None:
    """Raises RequestError for another than those that are known."""
    require(quantization in known, "quantization", f"is {' or '.join(known)}", repr(quantization), fix)


def weight_types(quantization: str, x: Any) -> tuple[str, ...]:
    """Types of the matrices."""
    return ("int8",) if quantization == INT8_W8A8 else (dtype_of(x),)


def int8_scales(
    quantization: str, w1_scale: Any, w2_scale: Any, first: tuple[int, int], second: tuple[int, int]
) -> tuple[Any, Any]:
    """Both scales in these shapes with int8 weights, none without.

    Raises:
        RequestError: one is missing, not asked for, or of another shape or type.
    """
    named = ("w1_scale", w1_scale, first), ("w2_scale", w2_scale, second)
    if quantization != INT8_W8A8:
        for name, scale, _ in named:
            require(scale is None, name, f"is for {INT8_W8A8}", quantization, "Drop it.")
        return None, None
    for name, scale, _ in named:
        require(scale is not None, name, f"is given with {INT8_W8A8}", "None", "Pass ones if there is none.")
    checked = [check_scale(*each) for each in named]
    return checked[0], checked[1]


def experts_of(quantization: str, w1: Any, w2: Any, scales: tuple[Any, Any]) -> Experts:
    """SGLang's layouts as the kernels' own, with checked scales."""
    if quantization == INT8_W8A8:
        return int8_experts(w1, w2, *scales)
    return Experts(*arranged(w1, w2), None, None, None)


def int8_experts(w1: Any, w2: Any, w1_scale: Any, w2_scale: Any, halves: int = 2) -> Experts:
    """SGLang's layouts as the kernels' own; a single half becomes that of up."""
    E, H, I = (int(n) for n in w2.shape)
    gate_up, down = arranged(w1, w2, halves)
    scale = w1_scale.reshape(E, halves, I)
    if halves == 1:
        scale = stacked([scale, scale])
    scale, down_scale = padded(scale, down.shape[1]), padded(w2_scale.reshape(E, 1, H), down.shape[2])
    codes = values_of("w1", gate_up), values_of("w2", down)
    rows = EXACT_ROWS if codes[0] is None or codes[1] is None else exact_rows(codes[0], codes[1])
    return Experts(gate_up, down, scale.reshape(E, 1, -1), down_scale, rows)


def arranged(w1: Any, w2: Any, halves: int = 2) -> tuple[Any, Any]:
    """[E, H, 2, I] and [E, I, H], H up to a multiple of 128 and I to two."""
    E, H, I = (int(n) for n in w2.shape)
    width, rows = max(I, LEAST_COLUMNS), math.ceil(H / PARTITIONS) * PARTITIONS
    gate_up = w1.reshape(E, halves, I, H)
    if halves == 1:
        gate_up = stacked([gate_up, gate_up])
    gate_up = padded(permuted(padded(gate_up, rows), (0, 3, 1, 2)), width)
    down = padded(padded(permuted(w2, (0, 2, 1)), rows), width, axis=1)
    return gate_up, down


def padded(tensor: Any, size: int, axis: int = -1) -> Any:
    """Zeros behind an axis up to `size`; the tensor itself if it is that long."""
    missing = size - int(tensor.shape[axis])
    if missing <= 0:
        return tensor
    shape = [int(n) for n in tensor.shape]
    shape[axis] = missing
    if is_torch(tensor):
        import torch

        return torch.cat([tensor, tensor.new_zeros(shape)], dim=axis)
    return np.concatenate([tensor, np.zeros(shape, tensor.dtype)], axis=axis)


def permuted(tensor: Any, axes: tuple[int, ...]) -> Any:
    """The axes in another order, in memory, too."""
    return tensor.permute(axes).contiguous() if is_torch(tensor) else np.ascontiguousarray(tensor.transpose(axes))


def stacked(tensors: list[Any], axis: int = 1) -> Any:
    """One behind the other along an axis."""
    if is_torch(tensors[0]):
        import torch

        return torch.cat(tensors, dim=axis)
    return np.concatenate(tensors, axis=axis)


def on_host(name: str, tensor: Any) -> Array:
    """The values, copied from a device if they lie there."""
    values = values_of(name, tensor.cpu() if is_torch(tensor) else tensor)
    assert values is not None, "it is on the host"
    return values


def values_or_tensor(name: str, tensor: Any) -> Any:
    """The values of what lies on the host; a tensor of a device stays there."""
    values = values_of(name, tensor)
    return tensor if values is None else values


def zeros_like_rows(x: Any) -> Any:
    """[T, H] of zeros."""
    return x.new_zeros(x.shape) if is_torch(x) else np.zeros(x.shape, x.dtype)
