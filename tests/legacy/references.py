"""What kernels compute whose names and parameters say it, in NumPy, and arguments to try them with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Arrays = tuple[Any, ...]


@dataclass(frozen=True)
class Reference:
    """A family of kernels.

    Attributes:
        parameters: the names of their parameters; names: parts of the kernel's name, one of which it has.
        inputs: arguments, from a generator; result: what they give, in float32.
        grid: the launch grid.
    """

    parameters: tuple[str, ...]
    names: tuple[str, ...]
    inputs: Callable[[np.random.Generator], Arrays]
    result: Callable[..., Any]
    grid: tuple[int, ...] = ()

    def fits(self, name: str, parameters: list[str]) -> bool:
        """Whether a kernel belongs to the family."""
        return tuple(parameters) == self.parameters and any(part in name.lower() for part in self.names)


def _normal(*shapes: tuple[int, ...]) -> Callable[[np.random.Generator], Arrays]:
    return lambda random: tuple(random.standard_normal(shape, dtype=np.float32) for shape in shapes)


def _conv(x: Any, w: Any, bias: Any, pool: int = 1) -> Any:
    rows, columns = (x.shape[axis] - w.shape[axis] + 1 for axis in (2, 3))
    total = np.zeros((x.shape[0], w.shape[0], rows, columns), np.float32)
    for i in range(w.shape[2]):
        for j in range(w.shape[3]):
            total += np.einsum("bchw,oc->bohw", x[:, :, i : i + rows, j : j + columns], w[:, :, i, j], optimize=True)
    total += bias[None, :, None, None]
    return total.reshape(*total.shape[:2], rows // pool, pool, columns // pool, pool).max(axis=(3, 5))


def _rms(x: Any, gain: Any) -> Any:
    return x / np.sqrt(np.mean(x * x, axis=1, keepdims=True)) * gain


def _softmax(x: Any) -> Any:
    grown = np.exp(x - x.max(axis=-1, keepdims=True))
    return grown / grown.sum(axis=-1, keepdims=True)


def _attention(q: Any, k: Any, v: Any) -> Any:
    """Head size first in q and k, sequence first in v."""
    return _softmax(q.T @ k) @ v


REFERENCES = (
    Reference(("a_vec", "b_vec"), ("naive", "direct_allocation"), _normal((128,), (128,)), np.add),
    Reference(("a_vec", "b_vec"), ("vector_add",), _normal((2560,), (2560,)), np.add),
    Reference(("a_vec", "b_vec"), ("vector_add",), _normal((25600,), (25600,)), np.add),
    Reference(("a_vec", "b_vec"), ("vector_add",), _normal((256000,), (256000,)), np.add),
    Reference(("a_tensor",), ("transpose",), _normal((256, 256)), np.transpose),
    Reference(("a_tensor",), ("transpose",), _normal((1024, 1024)), np.transpose),
    Reference(("X", "W", "bias", "pool_size"), ("conv",), lambda random: (
        *_normal((2, 128, 32, 16), (128, 128, 3, 3), (128,))(random), 2), _conv),
    Reference(("X", "W", "bias"), ("conv",), _normal((2, 128, 32, 16), (128, 128, 3, 3), (128,)), _conv),
    Reference(("lhsT", "rhs"), ("matmul",), _normal((256, 256), (256, 512)), lambda a, b: a.T @ b),
    Reference(("lhsT", "rhs"), ("matmul",), _normal((1024, 2048), (1024, 2048)), lambda a, b: a.T @ b),
    Reference(("lhsT", "rhs"), ("matmul",), _normal((128, 64), (128, 512)), lambda a, b: a.T @ b),
    Reference(("lhs", "rhs"), ("matmul", "gemm"), _normal((256, 256), (256, 512)), np.matmul),
    Reference(("a_tensor", "g_tensor"), ("rms", "ref"), _normal((250, 512), (512,)), _rms),
    Reference(("a_input", "b_input"), ("add",), _normal((512, 1024), (512, 1024)), np.add, (4, 2)),
    Reference(("a_input", "b_input"), ("add",), _normal((128, 512), (128, 512)), np.add),
    Reference(("a_tensor", "b_tensor"), ("add",), _normal((128, 512), (128, 512)), np.add),
    Reference(("a", "b"), ("add",), _normal((128, 512), (128, 512)), np.add),
    Reference(("x",), ("softmax",), _normal((128, 512)), _softmax),
    Reference(("a_tensor",), ("softmax",), _normal((128, 512)), _softmax),
    Reference(("x",), ("silu",), _normal((128, 512)), lambda x: x / (1 + np.exp(-x))),
    Reference(("x",), ("gelu",), _normal((128, 512)), lambda x: 0.5 * x * (1 + np.vectorize(_erf)(x * np.sqrt(0.5)))),
    Reference(("q", "k", "v"), ("attention",), _normal((128, 512), (128, 512), (512, 128)), _attention),
)  # fmt: skip


def _erf(x: float) -> float:
    import math

    return math.erf(x)
