# SPDX-License-Identifier: Apache-2.0
"""Guards that need not run again: kernels issue the same few instructions on the same few tiles thousands of times."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from nkisim.execution.neuron_core import current_core
from nkisim.memory import NkiTensor

T = TypeVar("T")
_MOST = 1 << 14
_UNKNOWN = object()


def remembered(guards: Callable[..., T]) -> Callable[..., T]:
    """`guards`, which look at the form of tensors, never at what they hold or whose they are, run once a form.

    The form of a tensor is its view, data type, memory, bytes a partition and address. What passed on one target says
    nothing about another. Errors are not remembered.
    """
    passed: dict[tuple[Any, ...], Any] = {}

    @functools.wraps(guards)
    def guard(*args: Any) -> T:
        key = (current_core().machine.name, *[form_of(a) if type(a) is NkiTensor else a for a in args])
        try:
            result = passed.get(key, _UNKNOWN)
        except TypeError:  # some argument has no hash, and no business here
            return guards(*args)
        if result is _UNKNOWN:
            if len(passed) >= _MOST:
                passed.clear()
            result = passed[key] = guards(*args)
        return cast(T, result)

    return guard


def form_of(t: NkiTensor) -> object:
    """One object for all that guards may look at: quicker to look up than what it stands for."""
    if t.form is None:
        storage, how = t.storage, t.indirection
        form = (t.layout, t.dtype, t.buffer, storage.row_bytes, storage.address, how and how.per_partition)
        if len(_forms) >= _MOST:
            _forms.clear()
        t.form = _forms.setdefault(form, object())
    return t.form


_forms: dict[tuple[Any, ...], object] = {}
