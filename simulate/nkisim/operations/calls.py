# SPDX-License-Identifier: Apache-2.0
"""Calls that do not fit the parameters of a function: said with the kernel's line, and with what to write instead."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any

from nkisim.errors import ArgumentError, SimulationError

_MAKES_ITS_RESULT = "Instructions write into a tile: allocate it with nl.ndarray and pass it as dst=."
_LATER = "Drop it: loops over range are unrolled, nl.fori_loop runs on the device."
_INSTEAD = {
    "mask": "Slice the operands to the part that exists; masks were removed after NKI 0.1.",
    "dtype": "The data type of dst decides.",
    **dict.fromkeys(("precise_schedule", "precise_dependency", "multi_buffer", "no_reorder"), _LATER),
}
_UNEXPECTED = re.compile(r"unexpected keyword argument '(\w+)'")


def explained(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, whose calls with other arguments than it has raise an ArgumentError in place of a bare TypeError."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            problem = None if isinstance(error, SimulationError) else _misfit(name, function, args, kwargs)
            if problem is None:
                raise
        raise problem

    return call


def explain_all(prefix: str, module: dict[str, Any]) -> None:
    """Replace the functions that a module exports by `explained` ones."""
    for name in module["__all__"]:
        if inspect.isfunction(module[name]):
            module[name] = explained(f"{prefix}.{name}", module[name])


def _misfit(
    name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> ArgumentError | None:
    """The error of a call that does not fit the parameters; None if it does."""
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        unexpected = _UNEXPECTED.search(str(error))
        takes_dst = next(iter(signature.parameters), "") == "dst"
        fix = _INSTEAD.get(unexpected[1], "") if unexpected else ""
        fix = fix or (_MAKES_ITS_RESULT if takes_dst else "Pass what the rule names.")
        got = str(error).removeprefix("got ")
        return ArgumentError(f"{name} takes ({', '.join(signature.parameters)})", got, fix)
    return None
