"""What torch-neuronx documents of calling kernels, enforced, and kernels simulated.

A kernel is called as `wrap_nki(kernel)[cores](...)`. Its arguments are tensors, numbers, members of enums or None, and
all but tensors are part of the key that compiled kernels are kept under. A kernel called again does the same.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from enum import Enum
from typing import Any

import torch
from torch.utils._pytree import tree_leaves, tree_map

from nkisim import Simulator
from nkisim.execution.kernel import Kernel

PLAIN = (bool, int, float, Enum, type(None))
TARGET = "trn2"


class WrappedKernel:
    """A kernel, and on how many cores it is launched."""

    def __init__(self, kernel: Any, cores: int = 1) -> None:
        self._kernel, self._cores = kernel, cores

    def __getitem__(self, cores: int) -> WrappedKernel:
        assert cores in (1, 2)
        return WrappedKernel(self._kernel, cores)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._simulate(inspect.signature(self._kernel).bind(*arguments, **named).arguments)

    @torch.compiler.disable
    def _simulate(self, given: dict[str, Any]) -> Any:
        """One node, as the graphs of these runtimes have it."""
        for name, value in given.items():
            _check(name, value)
        hash(tuple((name, value) for name, value in given.items() if not isinstance(value, torch.Tensor)))
        if any(isinstance(value, torch.Tensor) and value.is_meta for value in given.values()):
            return self._shapes(given)
        first, second = (Simulator(TARGET, self._cores).run(self._kernel, **given).outputs for _ in range(2))
        assert _bits(first) == _bits(second), "a kernel is a function of its arguments"
        return first

    def _shapes(self, given: dict[str, Any]) -> Any:
        """Results without values, of tensors without values."""
        zeros = {
            name: torch.zeros_like(value, device="cpu") if isinstance(value, torch.Tensor) else value
            for name, value in given.items()
        }
        run = Simulator(TARGET, self._cores, report_only=True, numerics=False).run(self._kernel, **zeros)
        return tree_map(lambda tensor: torch.empty_like(tensor, device="meta"), run.outputs)


def wrap_nki(kernel: Any) -> WrappedKernel:
    """Refuses what is no kernel, or one that has its cores already."""
    assert isinstance(kernel, Kernel), f"{kernel} is no kernel of nki.jit"
    assert not kernel.grid, "cores are chosen behind wrap_nki"
    return WrappedKernel(kernel)


def nki_op(name: str, fn: Callable[..., Any] | None = None, mutates_args: Any = ()) -> Any:
    """An operator whose shapes are found by running it, unless it says otherwise.

    The function is traced into graphs: it asks for no values of tensors, and gives the shapes that the operator has.
    """

    def register(function: Callable[..., Any]) -> Any:
        @functools.wraps(function)
        def run(*arguments: Any, **named: Any) -> Any:
            without_values = tree_map(_on_meta, (arguments, named))
            traced = function(*without_values[0], **without_values[1])
            result = function(*arguments, **named)
            assert _forms(traced) == _forms(result), f"a graph has {_forms(traced)}, {name} gives {_forms(result)}"
            return result

        schema = torch.library.infer_schema(function, mutates_args=mutates_args)
        operator = torch.library.custom_op(name, run, mutates_args=mutates_args, schema=schema)
        operator.register_fake(function)
        return operator

    return register if fn is None else register(fn)


def _on_meta(value: Any) -> Any:
    return value.to("meta") if isinstance(value, torch.Tensor) else value


def _forms(results: Any) -> list[tuple[torch.Size, torch.dtype]]:
    return [(tensor.shape, tensor.dtype) for tensor in tree_leaves(results)]


def _check(name: str, value: Any) -> None:
    if isinstance(value, torch.Tensor):
        assert value.is_contiguous(), f"{name} is contiguous"
        assert not str(value.dtype).startswith("torch.float8"), f"{name}: Trn2 takes no {value.dtype}"
    elif not isinstance(value, PLAIN):
        raise TypeError(f"{name} is a tensor or a plain value, got {type(value).__name__}")


def _bits(outputs: Any) -> list[bytes]:
    each = outputs if isinstance(outputs, tuple) else (outputs,)
    return [tensor.contiguous().view(torch.uint8).numpy().tobytes() for tensor in each]
