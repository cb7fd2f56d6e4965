"""The names of AWS's `nki` package, simulated."""

import importlib as _importlib
from typing import Any as _Any

from nkisim.compat import jit, simulate_kernel
from nkisim.execution.kernel import Kernel, simulate
from nkisim.language.annotations import tensor

__all__ = ["Kernel", "jit", "simulate", "simulate_kernel", "tensor"]

_MODULES = ("collectives", "compiler", "dtype", "experimental", "isa", "language", "typing")


def __getattr__(name: str) -> _Any:
    """A submodule that nothing has imported yet, or a name that refuses when it is used."""
    if name in _MODULES:
        return _importlib.import_module(f"nkisim.nki.{name}")
    if name.startswith("_"):
        raise AttributeError(f"module 'nki' has no attribute {name!r}")
    from nkisim.nki._names import missing_names

    return missing_names("nki")(name)
