# SPDX-License-Identifier: Apache-2.0
"""The names of AWS's `nki` package, simulated."""

import importlib as _importlib
from typing import Any as _Any

from nkisim.compat import jit, simulate_kernel
from nkisim.execution.kernel import Kernel, simulate
from nkisim.language.annotations import tensor
from nkisim.nki._names import missing_names as _missing_names

__all__ = ["Kernel", "jit", "simulate", "simulate_kernel", "tensor"]

_MODULES = ("collectives", "compiler", "dtype", "experimental", "isa", "language", "typing")


def __getattr__(name: str) -> _Any:
    """A submodule that nothing has imported yet, or a name that refuses when it is used."""
    if name in _MODULES:
        return _importlib.import_module(f"nkisim.nki.{name}")
    if name.startswith("_"):
        raise AttributeError(f"module 'nki' has no attribute {name!r}")
    return _missing_names("nki")(name)
