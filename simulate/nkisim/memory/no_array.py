# SPDX-License-Identifier: Apache-2.0
"""What a tensor is not: an array of Python or NumPy. Its values do not exist while a kernel is traced.

Kernels of older versions, and those written from memory, use it as one. Each such use is told what to write instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from nkisim.errors import ArgumentError, UnknownName

SIGNS = {
    "add": ("+", "nl.add"),
    "sub": ("-", "nl.subtract"),
    "mul": ("*", "nl.multiply"),
    "truediv": ("/", "nl.divide"),
    "floordiv": ("//", "nl.floor of nl.divide"),
    "mod": ("%", "nl.mod"),
    "pow": ("**", "nl.power"),
    "matmul": ("@", "nl.matmul"),
    "and": ("&", "nl.bitwise_and"),
    "or": ("|", "nl.bitwise_or"),
    "xor": ("^", "nl.bitwise_xor"),
    "lshift": ("<<", "nl.left_shift"),
    "rshift": (">>", "nl.right_shift"),
    "lt": ("<", "nl.less"),
    "le": ("<=", "nl.less_equal"),
    "gt": (">", "nl.greater"),
    "ge": (">=", "nl.greater_equal"),
    "neg": ("-", "nl.negative"),
    "invert": ("~", "nl.invert"),
    "abs": ("abs()", "nl.abs"),
}
_COMPARED = ("lt", "le", "gt", "ge")
_UNARY = ("neg", "invert", "abs")
_REDUCED = "Use the function of nl, such as nl.sum(tile, axis), or nisa.tensor_reduce."
_MOVED = "Use nl.transpose or nisa.nc_transpose for partitions, .permute() for free dimensions."
_CAST = "Use nl.copy(tile, dtype=...) or nisa.tensor_copy; .view(dtype) keeps the bits."
_SHOWN = "Use print(tensor) or nl.device_print to look at it, Simulator(tap=) to keep it."
_INSTEAD = {
    **dict.fromkeys(("sum", "max", "min", "mean", "prod", "all", "any", "var"), _REDUCED),
    **dict.fromkeys(("T", "transpose", "swapaxes"), _MOVED),
    **dict.fromkeys(("astype", "to", "cast", "type", "float", "half", "bfloat16"), _CAST),
    **dict.fromkeys(("numpy", "item", "tolist", "data_ptr", "cpu"), _SHOWN),
    **dict.fromkeys(("copy", "clone"), "Use nl.copy, nisa.tensor_copy or nisa.dma_copy."),
    "broadcast_to": "Use nl.broadcast_to, or .broadcast(dim, size) for a view.",
    "flatten": "Use .flatten_dims(first, last).",
    "unsqueeze": "Use .expand_dim(dim).",
    "squeeze": "Use .squeeze_dim(dim).",
}
_HOST = "NumPy and Python compute with values of the host; tensors have theirs on the device"


def described(tensor: object) -> str:
    """A tensor, or anything that was taken for one, without the values, which messages do not need."""
    return str(getattr(tensor, "described", None) or repr(tensor))


class NoArray:
    """Refuses arithmetic, comparisons, NumPy's functions and names that arrays have."""

    __slots__ = ()

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        raise ArgumentError(_HOST, f"{described(self)} as an array", _SHOWN)

    def __array_ufunc__(self, ufunc: Any, *_: Any, **__: Any) -> NoReturn:
        raise _numpy_on(self, ufunc.__name__)

    def __array_function__(self, function: Any, *_: Any, **__: Any) -> NoReturn:
        raise _numpy_on(self, function.__name__)


def _as_number(self: NoArray) -> NoReturn:
    raise ArgumentError(_HOST, f"the value of {described(self)} as a number", _SHOWN)


def _no_such_name(self: NoArray, name: str) -> NoReturn:
    if name.startswith("_"):
        raise AttributeError(name)
    advice = _INSTEAD.get(name, "docs/simulator/coverage.md lists what tensors have.")
    raise UnknownName("tensors have the published methods and attributes", f".{name} of {described(self)}", advice)


def _numpy_on(tensor: NoArray, name: str) -> ArgumentError:
    return ArgumentError(
        _HOST, f"np.{name} of {described(tensor)}", f"Use nl.{name} if nl has it, or an instruction of nisa."
    )


def _refused(sign: str, function: str, in_place: bool) -> Callable[..., Any]:
    """An operator that tensors do not have."""
    instead = f"{function}, or the instruction with dst="

    def refuse(self: Any, *others: Any) -> NoReturn:
        fix = f"Use {instead}."
        if in_place and sign == "+" and self.buffer.value == "psum":
            fix = "Let nisa.nc_matmul(dst=...) accumulate: the first matmul of a tile overwrites, later ones add."
        shown = f"{sign}=" if in_place else sign
        raise ArgumentError("tensors are computed by instructions, not operators", f"{shown} of {described(self)}", fix)

    return refuse


# Set here and not in the class, so that type checkers know that tensors have none of them.
for _special, _refuses in (("__float__", _as_number), ("__int__", _as_number), ("__getattr__", _no_such_name)):
    setattr(NoArray, _special, _refuses)
for _name, (_sign, _function) in SIGNS.items():
    setattr(NoArray, f"__{_name}__", _refused(_sign, _function, in_place=False))
    if _name not in (*_COMPARED, *_UNARY):
        setattr(NoArray, f"__r{_name}__", _refused(_sign, _function, in_place=False))
        setattr(NoArray, f"__i{_name}__", _refused(_sign, _function, in_place=True))
