# SPDX-License-Identifier: Apache-2.0
"""Tensors that both cores see, and their names: by its name two traces of a kernel, one a core, mean the same tensor.

Names have to be unique in a kernel, those of the kernels that it calls included, and the same whenever it is traced: a
cache of compiled kernels looks them up by what they hold. So they are counted only within a scope that an outer kernel
opens, never over the life of a process.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from contextvars import ContextVar

import nki.language as nl

from nkimoe.kernels.tensor import DType, Shape, Tensor

SEPARATOR = "__"


class _Names:
    """The names of one scope; each is given once."""

    def __init__(self, prefix: str) -> None:
        self._prefix, self._given = prefix, set[str]()

    def unique(self, name: str) -> str:
        """`name` behind the names of the scopes around it, with a number if it was given before."""
        candidate, times = name, 1
        while candidate in self._given:
            times += 1
            candidate = f"{name}_{times}"
        self._given.add(candidate)
        return self._prefix + candidate


_SCOPE: ContextVar[_Names | None] = ContextVar("scope", default=None)


def name_scope(name: str) -> AbstractContextManager[None]:
    """Tensors that both cores see are named behind `name` here, and each call of a kernel has names of its own.

    A kernel that calls a kernel of nkimoe more than once says `with nkimoe.name_scope("layer"):` around the calls.
    """
    return _Scope(name)


class _Scope(AbstractContextManager[None]):
    """No generator: one that an interrupt leaves suspended is closed whenever it is collected, in any context."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        self._outer = _SCOPE.get()
        try:
            _SCOPE.set(_Names(unique_name(self._name) + SEPARATOR))
        except BaseException:  # of an interrupt, whose `with` calls no __exit__
            _SCOPE.set(self._outer)
            raise

    def __exit__(self, *_: object) -> None:
        _SCOPE.set(self._outer)


def unique_name(name: str) -> str:
    """The name in the scope at hand; outside of all scopes as it is."""
    scope = _SCOPE.get()
    return name if scope is None else scope.unique(name)


def shared_tensor(shape: Shape, dtype: DType, name: str) -> Tensor:
    """A tensor in HBM that both cores see, named in the scope at hand."""
    tensor: Tensor = nl.ndarray(shape, dtype=dtype, buffer=nl.shared_hbm, name=unique_name(name))
    return tensor
