# SPDX-License-Identifier: Apache-2.0
"""Host arrays to device tensors and back."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from nkisim.dtypes import DTYPES, Array, DType, dtype_of
from nkisim.errors import LaunchError, UninitializedRead, definition_of
from nkisim.execution.neuron_core import Watch
from nkisim.execution.numerics import COMPUTED, Numerics
from nkisim.memory import NkiTensor, Storage, described, first_unwritten, outline_host_array, resolve, wrap_host_array
from nkisim.memory.block import MemoryBlock
from nkisim.memory.views import Layout, row_major
from nkisim.observe import Finding


def is_torch(value: Any) -> bool:
    """Whether `value` is a torch tensor, without importing torch."""
    return type(value).__module__.split(".")[0] == "torch" and hasattr(value, "detach")


def torch_to_numpy(value: Any) -> Array:
    """A torch CPU tensor as a NumPy array over the same memory, whatever its dtype."""
    import torch

    name = str(value.dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise LaunchError("tensors have an NKI data type", f"{value.dtype}", "Cast it before the call.")
    if value.dtype in (torch.float16, torch.float32) or not value.dtype.is_floating_point:
        return value.detach().numpy()
    same_size = {1: torch.uint8, 2: torch.int16}[value.element_size()]
    return value.detach().view(same_size).numpy().view(DTYPES[name].numpy)


def numpy_to_torch(value: Array) -> Any:
    """The inverse of `torch_to_numpy`."""
    import torch

    name = str(dtype_of(value.dtype))
    target = getattr(torch, name, None)
    if target is None:
        raise LaunchError("results have a data type that torch has", name, "Pass NumPy arrays, or return uint8 views.")
    if value.dtype.isbuiltin == 1:  # NumPy's own; the others come from ml_dtypes
        return torch.from_numpy(value)
    return torch.from_numpy(value.view({1: np.uint8, 2: np.int16}[value.itemsize])).view(target)


def _same_sequence(like: Any, items: list[Any]) -> Any:
    """`items` in the type of `like`, a list, tuple or named tuple."""
    return type(like)(*items) if hasattr(like, "_fields") else type(like)(items)


class Arguments:
    """The arguments of one launch, wrapped. Arrays inside tuples, lists, dicts and dataclasses are wrapped too."""

    def __init__(self, kernel: Callable[..., Any], private_to: int | None, numerics: Numerics) -> None:
        self._kernel, self._private_to, self._numerics = kernel, private_to, numerics
        self._copies: list[tuple[Array, Array, bytes]] = []
        self._from_torch = False
        self.tensors: list[NkiTensor] = []
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] = {}

    @staticmethod
    def host(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """All arguments by name, defaults included, torch tensors as NumPy arrays."""
        bound = inspect.signature(function).bind(*args, **kwargs)
        bound.apply_defaults()
        return {name: torch_to_numpy(v) if is_torch(v) else v for name, v in bound.arguments.items()}

    @classmethod
    def wrap(
        cls,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        private_to: int | None,
        numerics: Numerics = COMPUTED,
    ) -> Arguments:
        """Wrap every array; `private_to` is the only core that sees them, or None for shared HBM."""
        bound = inspect.signature(function).bind(*args, **kwargs)
        self = cls(function, private_to, numerics)
        for name, value in bound.arguments.items():
            bound.arguments[name] = self._wrap(value, name)
        self.args, self.kwargs = bound.args, bound.kwargs
        return self

    def _wrap(self, value: Any, name: str) -> Any:
        if is_torch(value):
            self._from_torch = True
            value = torch_to_numpy(value)
        if isinstance(value, np.ndarray):
            return self._tensor(value, name)
        if type(value) in (list, tuple) or hasattr(value, "_fields"):
            return _same_sequence(value, [self._wrap(v, f"{name}[{i}]") for i, v in enumerate(value)])
        if type(value) is dict:
            return {key: self._wrap(v, f"{name}[{key!r}]") for key, v in value.items()}
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self._dataclass(value, name)
        return value

    def _dataclass(self, value: Any, name: str) -> Any:
        old = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
        new = {key: self._wrap(v, f"{name}.{key}") for key, v in old.items()}
        changed = any(new[key] is not old[key] for key in old)
        return dataclasses.replace(value, **new) if changed else value

    def _tensor(self, array: Array, name: str) -> NkiTensor:
        try:
            dtype = dtype_of(array.dtype)
        except TypeError as error:
            raise LaunchError(
                f"argument {name} has an NKI data type",
                f"{array.dtype}",
                f"Cast it before the call ({error}).",
            ) from None
        storage, block = self._place(array, name, dtype)
        shape = array.shape or (1,)
        tensor = NkiTensor(storage, block, Layout(shape, row_major(shape), 0), dtype)
        self.tensors.append(tensor)
        return tensor

    def _place(self, array: Array, name: str, dtype: DType) -> tuple[Storage, MemoryBlock]:
        if not self._numerics.needs(dtype):
            return outline_host_array(array, dtype, name, self._private_to)
        direct = array.flags.c_contiguous and array.flags.writeable
        held = array if direct else np.array(array, order="C", copy=True)
        if not direct and array.flags.writeable:
            self._copies.append((array, held, held.tobytes()))
        return wrap_host_array(held, dtype, name, self._private_to)

    def unwrap(self, result: Any, watch: Watch) -> Any:
        """The kernel's result as host arrays, after copying back inputs that could not be wrapped in place."""
        for original, held, before in self._copies:
            if held.tobytes() != before:  # an argument may overlap another one, which the kernel did write
                original[...] = held
        return self._unwrap(result, watch)

    def _unwrap(self, result: Any, watch: Watch) -> Any:
        if isinstance(result, NkiTensor):
            return self._host(result, watch)
        if isinstance(result, (list, tuple)):
            return _same_sequence(result, [self._unwrap(r, watch) for r in result])
        if isinstance(result, dict):
            return {key: self._unwrap(r, watch) for key, r in result.items()}
        return result

    def _host(self, tensor: NkiTensor, watch: Watch) -> Any:
        if not tensor.buffer.is_hbm:
            raise LaunchError(
                "kernels return HBM tensors",
                described(tensor),
                "dma_copy the result to a shared_hbm tensor and return it.",
                definition_of(self._kernel),
            )
        if 0 in tensor.shape:  # nothing to read, and nothing that had to be written
            empty = np.empty(tensor.shape, tensor.dtype.numpy)
            return numpy_to_torch(empty) if self._from_torch else empty
        region = resolve(tensor)
        missing = first_unwritten(region)
        if missing is not None:
            error = UninitializedRead(
                "every element of a returned tensor was written",
                f"element {missing} of shape {tensor.shape} in the {tensor.storage} was never written",
                "Write all of it, or return only the part that is.",
                tensor.storage.allocated_at,
            )
            watch.add([Finding(error)])
        values = self._numerics.values(region)
        return numpy_to_torch(values) if self._from_torch else values
