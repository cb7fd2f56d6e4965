# SPDX-License-Identifier: Apache-2.0
"""NkiScalar: one integer computed on the device, with arithmetic that is traced."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NoReturn

from nkisim.dtypes import DType
from nkisim.errors import DtypeError, RegisterError
from nkisim.execution.registers import VirtualRegister

WIDTHS = {"int32": 32, "int64": 64}


def _refused(sign: str) -> Callable[..., NoReturn]:
    """An operator that scalars do not have."""

    def refuse(self: NkiScalar, *others: Any) -> NoReturn:
        raise RegisterError(
            "scalars add, subtract and multiply; their values are not known while the kernel is traced",
            f"a scalar and {sign}",
            "Compute it on the host, or in an int32 tile before scalar_load.",
        )

    return refuse


class NkiScalar(VirtualRegister):
    """An integer of fixed width. Every operator gives a new scalar, which wraps around at that width.

    Attributes:
        dtype: "int32" or "int64"; both operands of an operator have the same one.
    """

    def __init__(self, state: int, dtype: Any = None, is_comparison: bool = False) -> None:
        name = "int32" if dtype is None else str(dtype)
        if name not in WIDTHS:
            raise DtypeError("a scalar is int32 or int64", name, "Use the signed type of the same width.")
        if is_comparison:
            _refused("a comparison")(self)
        super().__init__(_wrapped(int(state), WIDTHS[name]))
        self._dtype = DType(name, name, "int")

    @property
    def dtype(self) -> DType:
        return self._dtype

    def __repr__(self) -> str:
        return f"NkiScalar({self._value}, {self._dtype})"

    def load(self, value: int) -> None:
        """Scalars are values, not registers: nothing overwrites one."""
        raise RegisterError("a scalar never changes", f"a write of {value}", "Make a new one, or use register_alloc.")

    def _other(self, other: Any) -> int:
        if isinstance(other, NkiScalar):
            if other.dtype != self.dtype:
                raise DtypeError(
                    "both scalars of an operation have one data type",
                    f"{self.dtype} and {other.dtype}",
                    "Load both from tiles of the same type.",
                )
            return other.read()
        if isinstance(other, int) and not isinstance(other, bool):
            return other
        raise RegisterError(
            "the other operand of a scalar is an int or an NkiScalar", f"{type(other).__name__}", "Use scalar_load."
        )

    def _combine(self, function: Callable[[int, int], int], left: int, right: int) -> NkiScalar:
        result = NkiScalar(function(left, right), self.dtype)
        result.loaded_by = self.loaded_by
        return result

    def __add__(self, other: Any) -> NkiScalar:
        return self._combine(operator.add, self.read(), self._other(other))

    def __radd__(self, other: Any) -> NkiScalar:
        return self._combine(operator.add, self._other(other), self.read())

    def __sub__(self, other: Any) -> NkiScalar:
        return self._combine(operator.sub, self.read(), self._other(other))

    def __rsub__(self, other: Any) -> NkiScalar:
        return self._combine(operator.sub, self._other(other), self.read())

    def __mul__(self, other: Any) -> NkiScalar:
        return self._combine(operator.mul, self.read(), self._other(other))

    def __rmul__(self, other: Any) -> NkiScalar:
        return self._combine(operator.mul, self._other(other), self.read())

    def __neg__(self) -> NkiScalar:
        return self._combine(operator.sub, 0, self.read())

    def __pos__(self) -> NkiScalar:
        return NkiScalar(self.read(), self.dtype)

    __lt__, __le__, __gt__, __ge__ = (_refused(f"{sign}, a comparison") for sign in ("<", "<=", ">", ">="))
    __floordiv__ = __rfloordiv__ = _refused("//")
    __truediv__ = __rtruediv__ = _refused("/")
    __mod__ = __rmod__ = _refused("%")
    __pow__ = __rpow__ = _refused("**")
    __lshift__ = __rlshift__ = _refused("<<")
    __rshift__ = __rrshift__ = _refused(">>")
    __and__ = __rand__ = _refused("&")
    __or__ = __ror__ = _refused("|")
    __xor__ = __rxor__ = _refused("^")
    __invert__ = _refused("~")
    __abs__ = _refused("abs()")
    __float__ = _refused("float()")


class LoopValue(NkiScalar):
    """The scalar a device loop passes to its body. As with older registers, writing to it changes nothing outside."""

    def load(self, value: int) -> None:
        self._value = _wrapped(int(value), WIDTHS[str(self.dtype)])


def _wrapped(value: int, bits: int) -> int:
    """`value` as a signed number of `bits` bits."""
    half = 1 << (bits - 1)
    return (value + half) % (2 * half) - half
