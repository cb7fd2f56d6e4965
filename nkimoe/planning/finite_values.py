# SPDX-License-Identifier: Apache-2.0
"""NaN and infinity among the values of `moe_cte`'s tensors, in every type that they are stored in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from nkimoe.errors import InputError
from nkimoe.planning.mx.coded_rows import coded_width, is_coded
from nkimoe.planning.quantization import CARRIERS, type_name
from nkimoe.weights.formats import MX_FORMATS
from nkimoe.weights.mx_rows import scale_places
from nkimoe.weights.mx_scale import NOT_A_NUMBER

SCALES = ("gate_up_proj_scale", "down_proj_scale")  # direct arguments, and fields of quantization_config
WEIGHTS = ("gate_up_proj_weight", "down_proj_weight")
FINITE = (
    "hidden_states", "expert_affinities_masked", *WEIGHTS, "gate_and_up_proj_bias", "down_proj_bias", *SCALES,
    "gate_up_in_scale", "down_in_scale", "gate_up_hidden_scale", "down_hidden_scale",
)  # fmt: skip
_SCALE_CODES = ("uint8", "float8_e8m0fnu")
_INFINITE_BITS = {
    "bfloat16": 0x7F80, "float16": 0x7C00, "float32": 0x7F800000, "float8_e4m3": 0x78, "float8_e5m2": 0x7C,
    "float8_e4m3fn": 0x7F,
}  # fmt: skip
"""Bit pattern of +infinity (of NaN in a type without it); every larger positive pattern is a NaN."""


def check_finite(arguments: dict[str, Any]) -> None:
    """Raises InputError for the first tensor with a value that is not finite, by the name of its argument."""
    for name, values in _floats(arguments):
        if str(values.dtype) in _INFINITE_BITS and not _is_finite(values):
            bad = np.argwhere(~np.isfinite(values))
            place = tuple(int(i) for i in bad[0])
            raise InputError(name, "is finite", f"{values[place]} at {place}", f"Clean the {len(bad)} bad elements.")
    for name, scale in _scales(arguments):
        if str(scale.dtype) in _SCALE_CODES:
            _check_codes(name, scale.view(np.uint8), "Quantise the weights again.")


def check_row_scales(rows: Any, H: int) -> None:
    """Raises InputError if a scale of MXFP8 rows of H elements is NaN; bytes without a meaning may have any value."""
    if is_coded(rows) and rows.shape[1] >= coded_width(H):
        codes = rows[:, H:].view(np.uint8)[:, scale_places(H)]
        _check_codes("hidden_states", codes, "Make them with nkimoe.weights.quantize_rows.")


def _check_codes(name: str, codes: Any, fix: str) -> None:
    bad = np.argwhere(_once(codes) == NOT_A_NUMBER)
    if bad.size:
        place = tuple(int(i) for i in bad[0])
        raise InputError(name, "has finite scales", f"a code of {NOT_A_NUMBER} at {place}", fix)


def _floats(arguments: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Tensors as they are, and the elements of packed weights."""
    for name in FINITE:
        values = arguments.get(name)
        if isinstance(values, np.ndarray) and name not in SCALES:
            yield name, _elements(values, arguments.get("spec")) if name in WEIGHTS else values
    yield from _scales(arguments)


def _scales(arguments: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in SCALES:
        for place, holder in (
            (name, arguments.get(name)),
            (f"quantization_config.{name}", _configured(arguments, name)),
        ):
            if isinstance(holder, np.ndarray):
                yield place, holder


def _configured(arguments: dict[str, Any], name: str) -> Any:
    return getattr(arguments.get("quantization_config"), name, None)


def _elements(weight: Any, spec: Any) -> Any:
    """[..., 4] elements of packed MXFP8 weights, in their own type or in integers; other weights as they are."""
    own = type_name(weight)
    config = getattr(spec, "shard_on_block", None) or getattr(spec, "shard_on_I", None)
    given = getattr(config, "weight_dtype", None)
    packed = str(given) if own in CARRIERS and given is not None else CARRIERS.get(own, own)
    for mx in MX_FORMATS.values():
        if packed == mx.nki and mx.element.itemsize * 4 == weight.dtype.itemsize:
            return weight[..., None].view(mx.element)
    return weight


def _is_finite(values: Any) -> bool:
    """Compares bit patterns, as integers with and without sign: two quick passes and no temporary array."""
    limit, bits = _INFINITE_BITS[str(values.dtype)], values.itemsize * 8
    once = _once(values)
    signed, unsigned = once.view(f"int{bits}"), once.view(f"uint{bits}")
    return values.size == 0 or bool(signed.max() < limit and unsigned.max() < limit + 2 ** (bits - 1))


def _once(values: Any) -> Any:
    """Without repetitions along dimensions that repeat one value: of weights whose shapes alone matter, just one."""
    return values[tuple([slice(1) if stride == 0 else slice(None) for stride in values.strides])]
