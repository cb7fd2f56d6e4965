# SPDX-License-Identifier: Apache-2.0
"""Older spellings of the NKI API, accepted with one deprecation warning each. The only place that knows them."""

from __future__ import annotations

import functools
import importlib
import os
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from nkisim.dtypes import dtype_of
from nkisim.errors import ArgumentError, NoEffect, warning_level
from nkisim.execution import kernel, loops
from nkisim.execution.registers import VirtualRegister
from nkisim.execution.scalars import NkiScalar
from nkisim.instructions import register_alloc as allocating
from nkisim.instructions import tensor_copy as copying
from nkisim.instructions.register_load import register_load
from nkisim.language import compile_options
from nkisim.language.allocation import PartitionSize
from nkisim.language.annotations import checked
from nkisim.memory import NkiTensor, described
from nkisim.memory.views import Layout, row_major
from nkisim.operations import enums
from nkisim.operations.notes import note
from nkisim.operations.operation import NkiInstruction
from nkisim.renamed import SHORT, in_newer_names, newer_name

_warned: set[str] = set()

# Options of nki.jit in NKI 0.1 to 0.6, and what to use instead.
_OLDER_OPTIONS = {
    "mode": "nki.jit and NEURON_PLATFORM_TARGET_OVERRIDE",
    "platform_target": "nki.jit and NEURON_PLATFORM_TARGET_OVERRIDE",
    "additional_compile_opt": "nki.compiler.CompileConfig",
    "debug_kernel": "nki.compiler.CompileConfig",
    "experimental_flags": "nki.compiler.CompileConfig",
    "show_compiler_tb": "nki.compiler.CompileConfig",
}


def deprecated(old: str, new: str) -> None:
    """Warn once a process that `old` is an older spelling of `new`."""
    if old not in _warned:
        _warned.add(old)
        warnings.warn(
            f"{old} is deprecated NKI; use {in_newer_names(new)}", DeprecationWarning, stacklevel=warning_level()
        )


def jit(fn: Callable[..., Any] | None = None, **kwargs: Any) -> Any:
    """Decorator that makes a function a kernel; off device every call is simulated.

    `compile_config=` and `specialization_config=` are checked (see `nki.compiler`). Options of older compilers, which
    say how to compile and never what a kernel computes, are accepted.

    Raises:
        ArgumentError: an option nkisim would have to ignore.
    """
    for name, value in kwargs.items():
        if name in ("compile_config", "specialization_config"):
            compile_options.check(name, value)
        elif name in _OLDER_OPTIONS:
            deprecated(f"nki.jit({name}=...)", _OLDER_OPTIONS[name])
        else:
            raise ArgumentError(
                "nki.jit takes a function and no option that nkisim models", f"{name}=", "Remove the option."
            )
    return _decorate if fn is None else _decorate(fn)


def _decorate(fn: Callable[..., Any]) -> kernel.Kernel:
    return kernel.jit(checked(fn))


def simulate_kernel(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """`nki.simulate(function)(*args)`, as NKI 0.1 wrote it."""
    deprecated("nki.simulate_kernel", "nki.simulate")
    return kernel.simulate(function)(*args, **kwargs)


def affine_range(start: int, stop: int | None = None, step: int = 1) -> range:
    """`range(start, stop, step)`, which NKI 0.7 says to use."""
    deprecated("nl.affine_range", "range")
    return range(0, start, step) if stop is None else range(start, stop, step)


def sequential_range(start: int, stop: int | None = None, step: int = 1) -> range:
    """`range(start, stop, step)`, which NKI 0.7 says to use."""
    deprecated("nl.sequential_range", "range")
    return range(0, start, step) if stop is None else range(start, stop, step)


def static_range(start: int, stop: int | None = None, step: int = 1) -> range:
    """`range(start, stop, step)`, which NKI 0.7 says to use."""
    deprecated("nl.static_range", "range")
    return range(0, start, step) if stop is None else range(start, stop, step)


def dynamic_range(start: Any, stop: Any = None, step: int = 1) -> Iterator[VirtualRegister]:
    """A device loop of NKI 0.6 and older, removed in NKI 0.7; yields the iteration register.

    It goes from start, or from 0 with one argument, by step below stop; bounds are ints or registers. As with
    `nl.fori_loop`, every iteration issues the same instructions. A loop that Python leaves early, with `break` or
    `return`, is not checked in its last iteration.

    Raises:
        ArgumentError: step is no positive int.
    """
    deprecated("nl.dynamic_range", "nl.fori_loop")
    if not isinstance(step, int) or step < 1:
        raise ArgumentError("the step of a device loop is a positive int", f"{step!r}", "Use a constant step.")
    lower, upper = (0, start) if stop is None else (start, stop)
    return loops.device_range(lower, upper, step)


def _register_is_true(register: VirtualRegister) -> bool:
    """`while register:` of NKI 0.6, where AWS's own switch asks for the compiler front end that had it."""
    if os.environ.get("NKI_COMPILER_FRONTEND") != "custom" or isinstance(register, NkiScalar):
        return _register_refuses(register)
    deprecated("`while register:`", "nl.while_loop")
    return register.read() != 0


_register_refuses = VirtualRegister.__bool__
setattr(VirtualRegister, "__bool__", _register_is_true)  # noqa: B010


def _base_tensor(tensor: NkiTensor) -> NkiTensor:
    """The tensor as it was allocated or passed in, before every view. NKI 0.3 had it; NKI 0.7 does not publish it."""
    deprecated("NkiTensor.base_tensor", "the tensor the view was made from")
    made = tensor.storage
    return NkiTensor(made, tensor.block, Layout(made.shape, row_major(made.shape), 0), made.dtype)


setattr(NkiTensor, "base_tensor", property(_base_tensor))  # noqa: B010


@functools.wraps(copying.tensor_copy)
def tensor_copy(*args: Any, dtype: Any = None, **kwargs: Any) -> NkiInstruction:
    """`nisa.tensor_copy`, also with the `dtype=` it had when it made its own destination.

    The destination decides; a note says so where `dtype` is another one.
    """
    if dtype is not None:
        deprecated("nisa.tensor_copy(dtype=...)", "the dtype of dst")
        dst = kwargs["dst"] if "dst" in kwargs else args[0]
        if dtype_of(dtype) != dst.dtype:
            note(
                NoEffect(
                    "tensor_copy converts to the dtype of dst", f"dtype={dtype} for {described(dst)}", "Drop dtype=."
                )
            )
    done: NkiInstruction = copying.tensor_copy(*args, **kwargs)
    return done


@functools.wraps(allocating.register_alloc)
def register_alloc(x: Any = None) -> VirtualRegister:
    """`nisa.register_alloc`, also with the tensor that NKI 0.3 took for the first value."""
    if not isinstance(x, NkiTensor):
        return allocating.register_alloc(x)
    deprecated("nisa.register_alloc(tensor)", "nisa.register_load")
    register = allocating.register_alloc()
    register_load(register, x)
    return register


def nc(count: int) -> int:
    """`kernel[nl.nc(2)]` of NKI 0.1: the number itself."""
    deprecated("nl.nc", "kernel[2]")
    return count


def par_dim(size: int) -> PartitionSize:
    """`nl.par_dim(128)` of NKI 0.1: the number itself, which stands first in the shape of a tile on chip."""
    deprecated("nl.par_dim", "dimension 0 of the shape")
    return PartitionSize(size)


def isa_constants() -> types.ModuleType:
    """`nki.isa.constants`, where NKI 0.3 kept the enumerations."""
    deprecated("nki.isa.constants", "nki.isa")
    return enums


_OLDER_FUNCTIONS = {("nki.language", "nc"): nc, ("nki.language", "par_dim"): par_dim}


def older_name(module: str, name: str) -> Any:
    """What an older name of a module of `nki` stands for, or None."""
    if newer_name(module, name) != name:
        return _renamed(module, name)
    if (module, name) in _OLDER_FUNCTIONS:
        return _OLDER_FUNCTIONS[module, name]
    if (module, name) == ("nki.language", "range"):
        deprecated("nl.range", "range")
        return range
    return isa_constants() if (module, name) == ("nki.isa", "constants") else None


def _renamed(module: str, name: str) -> Any:
    """What has a newer name: a function warns when it is called, anything else when it is asked for."""
    newer = newer_name(module, name)
    old, new = f"{SHORT[module]}.{name}", f"{SHORT[module]}.{newer}"
    thing = getattr(importlib.import_module(f"nkisim.{module}"), newer)
    if not isinstance(thing, types.FunctionType):
        deprecated(old, new)
        return thing

    @functools.wraps(thing)
    def call(*args: Any, **kwargs: Any) -> Any:
        deprecated(old, new)
        return thing(*args, **kwargs)

    return call
