# SPDX-License-Identifier: Apache-2.0
"""Operators and launches on a Neuron device, in the forms that torch-neuronx documents.

Never run by its authors: AWS's toolchain is not publicly installable. An operator is registered by
`torch_neuronx.nki_op`, so that `torch.compile(backend="neuron")` sees the kernel in it; vllm-neuron's runtime has no
such registration, and traces the function itself. Both take a kernel as `wrap_nki(kernel)[cores](...)`, arguments flat.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch

from nkimoe import TOOLCHAIN
from nkimoe.toolchain import NEURON

TORCH_NEURONX, OF_VLLM = "torch_neuronx", "libtorch_neuronx_lite"


def operator(name: str) -> Callable[[Callable[..., Any]], Any]:
    """A decorator that makes a function of tensors and plain values a torch operator that changes none of them."""
    if TOOLCHAIN != NEURON:
        return torch.library.custom_op(name, mutates_args=())
    if find_spec(TORCH_NEURONX) is not None:
        registration: Callable[[Callable[..., Any]], Any] = import_module(TORCH_NEURONX).nki_op(name, mutates_args={})
        return registration
    return TracedFunction


class TracedFunction:
    """A function that graphs are traced through, where other runtimes have an operator. It has no gradient."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._function(*arguments, **named)

    def register_fake(self, fake: Callable[..., Any]) -> Callable[..., Any]:
        """Shapes come from the kernel."""
        return fake

    def register_autograd(self, backward: Callable[..., Any], *, setup_context: Callable[..., Any] | None) -> None:
        """This runtime only infers."""


def launch(kernel: Any, cores: int, arguments: Mapping[str, Any]) -> Any:
    """What the kernel returns; arguments are tensors, numbers, members of enums, or None."""
    assert _WRAP is not None, "there is no device"
    return _WRAP(kernel)[cores](**arguments)


def _wrap_nki() -> Callable[[Any], Any]:
    package = TORCH_NEURONX if find_spec(TORCH_NEURONX) is not None else f"{OF_VLLM}.nki.nki_hop"
    wrap: Callable[[Any], Any] = import_module(package).wrap_nki
    return wrap


_WRAP = _wrap_nki() if TOOLCHAIN == NEURON else None
