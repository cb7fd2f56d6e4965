"""Types of arguments and options: each is what its annotation says, before sizes and variants are read from them."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from typing import Any, get_args, get_type_hints

from nkimoe.errors import require
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
    hints = _hints(type(options))
    for field in fields(options):
        name, value = prefix + field.name, getattr(options, field.name)
        if hints[field.name] is Any:
            _check_tensor(name, value, field)
            continue
        kinds = get_args(hints[field.name]) or (hints[field.name],)
        names = " or ".join("None" if kind is type(None) else kind.__name__ for kind in kinds)
        require(
            any(_is_of(kind, value) for kind in kinds), name, f"has the type {names}", repr(value), f"Pass {names}."
        )
        if is_dataclass(value):
            _check_fields(name + ".", value)


@cache
def _hints(options: type) -> dict[str, Any]:
    """Of its fields; to read annotations takes longer than all the rest of a plan."""
    return get_type_hints(options)


def _check_tensor(name: str, value: Any, field: Field[Any]) -> None:
    is_tensor = hasattr(value, "shape") and hasattr(value, "dtype") and not isinstance(value, type)
    actual = f"{type(value).__name__} {value!r:.40}"
    if field.name in _DTYPES:
        require(not is_tensor, name, "is a data type", actual, "Pass its name, such as 'bfloat16'.")
    elif value is not None or (field.default is MISSING and field.name not in _MAY_LACK):
        require(is_tensor, name, "is a tensor", actual, "Pass an array.")


def _is_of(kind: type, value: object) -> bool:
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)
