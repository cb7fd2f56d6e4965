# SPDX-License-Identifier: Apache-2.0
"""Packed weights, kept for each module until its parameters change."""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from nkimoe.hf.layout import ACTIVATIONS, parameters_of, weights_of
from nkimoe.pytorch.experts import compute_dtype
from nkimoe.pytorch.options import Options
from nkimoe.pytorch.weights import ExpertWeights


class _Entry(NamedTuple):
    key: tuple[Any, ...]
    weights: ExpertWeights


_KEPT: WeakKeyDictionary[Any, _Entry] = WeakKeyDictionary()


def packed_weights(module: Any, hidden_states: Tensor, options: Options) -> ExpertWeights:
    """The module's weights as the operator takes them.

    Kept while nothing is trained: the same tensors with the same contents, dtype and options give the same object.
    While autograd follows the weights they are packed in every call, as part of the graph.
    """
    parameters = parameters_of(module)
    dtype = compute_dtype(hidden_states, options)
    if torch.compiler.is_compiling() or (torch.is_grad_enabled() and any(p.requires_grad for p in parameters)):
        return weights_of(module).prepare(dtype, options.weights, options.target)
    activations = getattr(module, ACTIVATIONS, None)
    key = (dtype, options.weights, options.target, activations, *(_identity(p) for p in parameters))
    entry = _KEPT.get(module)
    if entry is None or entry.key != key:
        with torch.no_grad():
            entry = _Entry(key, weights_of(module).prepare(dtype, options.weights, options.target))
        _KEPT[module] = entry
    return entry.weights


def _identity(tensor: Tensor) -> tuple[Any, ...]:
    """Changes when the tensor does. On the CPU contents count too: writes through `.data` move no version."""
    counted = (tensor.data_ptr(), tensor._version, tensor.dtype, tuple(tensor.shape))
    if tensor.device.type != "cpu" or not tensor.is_contiguous():
        return counted
    return (*counted, zlib.crc32(tensor.detach().view(-1).view(torch.uint8).numpy().data))
