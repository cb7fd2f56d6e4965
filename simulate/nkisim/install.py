# SPDX-License-Identifier: Apache-2.0
"""Makes `import nki` mean the simulator, and `neuronxcc.nki` its older dialect if asked, through one import finder."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import types
from collections.abc import Sequence

from nkisim import compat

_PREFIX = "nkisim.nki"
_OLDER = "neuronxcc"
_LEGACY = "nkisim.legacy.nki"


class _Alias(importlib.abc.Loader):
    """Hands out an existing module under another name."""

    def __init__(self, target: str) -> None:
        self._target = target

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        module = self._module()
        self._kept = (module.__spec__, module.__loader__, module.__name__, module.__package__)
        return module

    def _module(self) -> types.ModuleType:
        if self._target == f"{_PREFIX}.isa.constants":
            return compat.isa_constants()
        return importlib.import_module(self._target)

    def exec_module(self, module: types.ModuleType) -> None:
        """The module has already run under its own name; give it back its own identity."""
        module.__spec__, module.__loader__, module.__name__, module.__package__ = self._kept


class _Empty(importlib.abc.Loader):
    """A package with nothing in it: `neuronxcc`, of which nkisim has only `neuronxcc.nki`."""

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        return None


class NkiFinder(importlib.abc.MetaPathFinder):
    """Maps `nki` and `nki.*` to `nkisim.nki`, and so `neuronxcc.nki`, its name in NKI 0.1, unless that is installed.

    Attributes:
        legacy: map `neuronxcc.nki` to the dialect it had, instead.
    """

    def __init__(self) -> None:
        self.legacy = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] == _OLDER:
            if importlib.machinery.PathFinder.find_spec(_OLDER) is not None:
                return None
            if fullname == _OLDER:
                return importlib.machinery.ModuleSpec(fullname, _Empty(), is_package=True)
            if self.legacy:
                return self._find(fullname, fullname.removeprefix(f"{_OLDER}."), _LEGACY)
            _warn_of_older_name(fullname)
        return self._find(fullname, fullname.removeprefix(f"{_OLDER}."), _PREFIX)

    def _find(self, fullname: str, name: str, prefix: str) -> importlib.machinery.ModuleSpec | None:
        if name != "nki" and not name.startswith("nki."):
            return None
        real = prefix + name.removeprefix("nki")
        if real != f"{_PREFIX}.isa.constants" and importlib.util.find_spec(real) is None:
            return None
        return importlib.machinery.ModuleSpec(fullname, _Alias(real), is_package=True)


def _warn_of_older_name(fullname: str) -> None:
    if fullname == f"{_OLDER}.nki":
        compat.deprecated("neuronxcc.nki", "nki")


def install(legacy: bool = False) -> None:
    """From now on `import nki` gives the simulator. Calling it again changes nothing but `legacy`.

    Args:
        legacy: `import neuronxcc.nki` gives NKI 0.1 as it was, instead of the current names under that one;
            NKISIM_LEGACY=1 asks for it, too.

    Raises:
        RuntimeError: another `nki` has been imported already, or `neuronxcc.nki` as the current one.
    """
    loaded = sys.modules.get("nki")
    if loaded is not None and not is_simulated(loaded):
        raise RuntimeError(
            f"another `nki` is already imported from {getattr(loaded, '__file__', 'an unknown place')}; "
            "call nkisim.install() before importing it"
        )
    finder = next((finder for finder in sys.meta_path if isinstance(finder, NkiFinder)), None)
    if finder is None:
        finder = NkiFinder()
        sys.meta_path.insert(0, finder)
    if legacy or os.environ.get("NKISIM_LEGACY") == "1":
        _ask_for_legacy(finder)


def _ask_for_legacy(finder: NkiFinder) -> None:
    older = sys.modules.get(f"{_OLDER}.nki")
    if older is not None and older.__name__ != _LEGACY:
        raise RuntimeError(
            f"`{_OLDER}.nki` is already imported as {older.__name__}; call nkisim.install(legacy=True) before that"
        )
    finder.legacy = True


def is_simulated(module: types.ModuleType) -> bool:
    """Whether `module` is the simulator's `nki`."""
    return module.__name__ == _PREFIX
