# SPDX-License-Identifier: Apache-2.0
"""Types of arguments and options: each is what its annotation says, before sizes and variants are read from them."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from typing import Any, get_args, get_type_hints

from nkimoe.arrays import is_tensor
from nkimoe.errors import RequestError
from nkimoe.planning.request import Request

_DTYPES = ("compute_dtype", "accumulation_dtype", "weight_dtype")  # of the fields annotated Any; others are tensors
_MAY_LACK = ("expert_affinities_masked",)  # tensors without a default that may be None


def check_option_types(request: Request) -> None:
    """Arguments, and the fields of options, are what their annotations say; True is no number.

    Raises:
        RequestError: one of them has another type.
    """
    _check_fields("", request)


def _check_fields(prefix: str, options: Any) -> None:
    kind: Any = type(options)
    for field, hint in _hints(kind):
        name, value = prefix + field.name, getattr(options, field.name)
        if hint is Any:
            _check_tensor(name, value, field)
            continue
        kinds = get_args(hint) or (hint,)
        if not any(_is_of(kind, value) for kind in kinds):
            names = " or ".join("None" if kind is type(None) else kind.__name__ for kind in kinds)
            raise RequestError(name, f"has the type {names}", repr(value), f"Pass {names}.")
        if is_dataclass(value):
            _check_fields(name + ".", value)


@cache
def _hints(options: Any) -> list[tuple[Field[Any], Any]]:
    """The fields of a class with their types. To read annotations takes longer than all else about a plan."""
    hints = get_type_hints(options)
    return [(field, hints[field.name]) for field in fields(options)]


def _check_tensor(name: str, value: Any, field: Field[Any]) -> None:
    is_dtype, may_lack = field.name in _DTYPES, field.default is not MISSING or field.name in _MAY_LACK
    if (not is_tensor(value)) if is_dtype else (is_tensor(value) or (value is None and may_lack)):
        return
    rule, fix = (
        ("is a data type", "Pass its name, such as 'bfloat16'.") if is_dtype else ("is a tensor", "Pass an array.")
    )
    raise RequestError(name, rule, f"{type(value).__name__} {value!r:.40}", fix)


def _is_of(kind: type, value: object) -> bool:
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)
