# SPDX-License-Identifier: Apache-2.0
"""`nki.typing`: annotations that declare the shape of a kernel's tensors, and the check that they hold."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any

from nkisim.errors import ShapeError
from nkisim.memory import NkiTensor


class TensorType:
    """A tensor, of any shape or of a declared one: `tensor`, `tensor[128, 512]`."""

    def __init__(self, name: str, shape: tuple[Any, ...] | None = None) -> None:
        self.name, self.shape = name, shape

    def __getitem__(self, shape: Any) -> TensorType:
        return TensorType(self.name, shape if isinstance(shape, tuple) else (shape,))

    def __call__(self, *args: Any, **kwargs: Any) -> NkiTensor:
        raise TypeError(f"nki.typing.{self.name} is an annotation; make tensors with nl.ndarray")

    def __repr__(self) -> str:
        return f"nki.typing.{self.name}{list(self.shape) if self.shape is not None else ''}"

    def allows(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor of `shape` is of this type; only the sizes given as ints are compared."""
        if self.shape is None:
            return True
        pairs = zip(self.shape, shape, strict=False)
        return len(self.shape) == len(shape) and all(not isinstance(a, int) or a in (-1, b) for a, b in pairs)


tensor = TensorType("tensor")
mutable_tensor = TensorType("mutable_tensor")


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, which now checks its tensors against the shapes its annotations declare, if there are any."""
    declared = _declared(function)
    if not declared:
        return function

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        given = inspect.signature(function).bind(*args, **kwargs).arguments
        for name, expected in declared.items():
            value = given.get(name)
            if isinstance(value, NkiTensor) and not expected.allows(value.shape):
                raise ShapeError(f"argument {name} is {expected!r}", f"shape {value.shape}", "Pass that shape.")
        return function(*args, **kwargs)

    return call


def _declared(function: Callable[..., Any]) -> dict[str, TensorType]:
    try:
        hints = typing.get_type_hints(function)
    except Exception:  # an annotation that only a type checker can evaluate
        hints = getattr(function, "__annotations__", {})
    return {name: hint for name, hint in hints.items() if isinstance(hint, TensorType) and hint.shape is not None}
