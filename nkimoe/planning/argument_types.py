# SPDX-License-Identifier: Apache-2.0
"""Types of an operation's arguments: each is what its annotation says, before anything is read from them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from numbers import Integral, Real
from typing import Any, NamedTuple, get_args, get_type_hints

from nkimoe.arrays import is_tensor
from nkimoe.errors import require
from nkimoe.planning.check_inputs import Kernel, checked_before_launch

MOST = 2**31  # numbers of an operation, which become sizes of tensors, are below
_TYPES: dict[type, tuple[type, ...]] = {bool: (bool,), int: (Integral,), float: (Real,), str: (str,)}
_NAMES = {bool: "True or False", int: f"an integer below {MOST}", float: "a number", str: "a text"}


class _Parameter(NamedTuple):
    """What an argument may be.

    Attributes:
        kind: bool, int, float or str; None: a tensor.
        may_lack: None is one, too.
    """

    kind: type | None
    may_lack: bool


def check_argument_types(function: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Flags, numbers and texts are such, by their annotations, and arguments annotated Any are tensors; True is no
    number, and None is for those that have it as default. Other annotations are the function's own to check.

    Raises:
        RequestError: an argument is something else.
    """
    for name, parameter in _parameters(function).items():
        value = arguments.get(name)
        if name not in arguments or (value is None and parameter.may_lack):
            continue
        kind, actual = parameter.kind, f"{value!r:.60}"
        if kind is None:
            require(is_tensor(value), name, "is a NumPy array or a torch tensor", type(value).__name__, "Convert it.")
        else:
            names = _NAMES[kind] + " or None" * parameter.may_lack
            require(_is_of(kind, value), name, f"is {names}", actual, f"Pass {names}.")


@lru_cache(maxsize=64)
def _parameters(function: Callable[..., Any]) -> dict[str, _Parameter]:
    hints, found = get_type_hints(function), {}
    for name, parameter in inspect.signature(function).parameters.items():
        kinds = get_args(hints[name]) or (hints[name],)
        plain = [kind for kind in kinds if kind in _TYPES]
        may_lack = parameter.default is None or type(None) in kinds
        if plain or hints[name] is Any:
            found[name] = _Parameter(plain[0] if plain else None, may_lack)
    return found


def _is_of(kind: type, value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, _TYPES[kind]):
        return kind is bool and isinstance(value, bool)
    return kind is not int or (isinstance(value, Integral) and abs(int(value)) < MOST)


def checked_operation(check: Callable[..., None]) -> Callable[[Kernel], Kernel]:
    """`checked_before_launch`, the types of all arguments before their values."""

    def attach(kernel: Kernel) -> Kernel:
        def types_and_values(**arguments: Any) -> None:
            check_argument_types(kernel, arguments)
            check(**arguments)

        return checked_before_launch(types_and_values)(kernel)

    return attach
