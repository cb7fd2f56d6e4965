# SPDX-License-Identifier: Apache-2.0
"""Every static rejection of a quantisation of rows."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from nkimoe.errors import require
from nkimoe.planning.row_quantisation.request import FP8, INT8, ORDERS, RNE, ROUNDINGS, ZERO_ROWS, RowQuantisation
from nkimoe.planning.targets import Target

FLOATS = ("bfloat16", "float16", "float32")
E4M3 = ("float8_e4m3fn", "float8_e4m3")  # a target takes "fp8" for the first of them that it has
MOST_IDS = 1 << 24  # below, ids are exact in fp32, in which they are compared


def sizes(tensor: Any) -> tuple[int, ...]:
    """The shape as plain numbers; () of what has none."""
    return tuple(int(n) for n in getattr(tensor, "shape", ()))


def code_type(request: RowQuantisation, target: Target) -> str:
    """The name of the type of the codes."""
    return next(name for name in E4M3 if name in target.fp8_dtypes) if request.out == FP8 else request.out


def validate_rows(request: RowQuantisation, target: Target) -> None:
    """Raise RequestError for the first rule the request breaks."""
    _options(request, target)
    _tokens(request)
    if request.topk_ids is not None:
        _choices(request)
    if request.smooth_scale is not None:
        _smooth(request)
    _out_stride(request)


def _options(request: RowQuantisation, target: Target) -> None:
    native = [name for name in E4M3 if name in target.fp8_dtypes]
    outs = (INT8, FP8, *native)
    fix = f"{request.operation} has no other."
    for argument, value, known in (
        ("out", request.out, outs), ("rounding", request.rounding, ROUNDINGS),
        ("zero_row", request.zero_row, ZERO_ROWS), ("order", request.order, ORDERS),
    ):  # fmt: skip
        rule = f"is one of {', '.join(known)}" + (f" on {target.name}" if argument == "out" else "")
        require(isinstance(value, str) and value in known, argument, rule, repr(value), fix)
    require(
        request.out == INT8 or request.rounding == RNE, "rounding", f"is {RNE} for fp8 codes", request.rounding,
        "Quantise to int8, or let fp8 round to the nearest.",
    )  # fmt: skip


def _tokens(request: RowQuantisation) -> None:
    shape, forms = sizes(request.x), (2, 3) if request.topk_ids is not None else (2,)
    names = "[T, H] or [T, k, H]" if 3 in forms else "[rows, H]"
    require(len(shape) in forms, "x", f"is a tensor {names}", shape or type(request.x).__name__, "Reshape it.")
    require(all(n > 0 for n in shape[1:]), "x", "has a column or more", shape, "Leave the call out.")
    require(str(request.x.dtype) in FLOATS, "x", f"is {', '.join(FLOATS)}", request.x.dtype, "Cast it.")


def _choices(request: RowQuantisation) -> None:
    ids, shape = sizes(request.topk_ids), sizes(request.x)
    rule = f"are [T, k] with T = {shape[0]} and k of 1 or more"
    actual = ids or type(request.topk_ids).__name__
    require(len(ids) == 2 and ids[0] == shape[0] and ids[1] > 0, "topk_ids", rule, actual, "Reshape them.")
    require(str(request.topk_ids.dtype) == "int32", "topk_ids", "are int32", request.topk_ids.dtype, "Cast them.")
    require(
        len(shape) == 2 or shape[1] == ids[1], "x", f"has a row for each of the {ids[1]} choices", shape,
        "Pass [T, H] to use a token's row for all of them.",
    )  # fmt: skip


def _out_stride(request: RowQuantisation) -> None:
    stride, H = request.out_stride, sizes(request.x)[-1]
    is_right = stride is None or (isinstance(stride, Integral) and not isinstance(stride, bool) and stride >= H)
    require(is_right, "out_stride", f"is an integer, H = {H} or more", stride, f"None is {H}: rows without a gap.")


def _smooth(request: RowQuantisation) -> None:
    shape, H = sizes(request.smooth_scale), sizes(request.x)[-1]
    by_expert = request.topk_ids is not None
    form = f"[E, {H}]" if by_expert else f"[{H}]"
    right = len(shape) == 1 + by_expert and shape[-1] == H and min(shape) > 0
    require(right, "smooth_scale", f"is {form}", shape or type(request.smooth_scale).__name__, "Reshape it.")
    dtype = str(request.smooth_scale.dtype)
    require(dtype == "float32", "smooth_scale", "is float32", dtype, "Cast it.")
    if by_expert:
        ids = sizes(request.topk_ids)
        require(
            shape[0] < MOST_IDS, "smooth_scale", f"has fewer than {MOST_IDS} experts", shape[0], "Split the experts."
        )
        require(
            ids[1] <= shape[0], "topk_ids", f"name at most {shape[0]} experts a token", f"k = {ids[1]}", "Drop choices."
        )
