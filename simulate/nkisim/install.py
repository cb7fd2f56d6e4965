"""Makes `import nki` mean the simulator, through one import finder."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Sequence

_PREFIX = "nkisim.nki"


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
            from nkisim import compat

            return compat.isa_constants()
        return importlib.import_module(self._target)

    def exec_module(self, module: types.ModuleType) -> None:
        """The module has already run under its own name; give it back its own identity."""
        module.__spec__, module.__loader__, module.__name__, module.__package__ = self._kept


class NkiFinder(importlib.abc.MetaPathFinder):
    """Maps `nki` and `nki.*` to `nkisim.nki`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "nki" and not fullname.startswith("nki."):
            return None
        real = _PREFIX + fullname.removeprefix("nki")
        if real != f"{_PREFIX}.isa.constants" and importlib.util.find_spec(real) is None:
            return None
        spec = importlib.machinery.ModuleSpec(fullname, _Alias(real), is_package=True)
        return spec


def install() -> None:
    """From now on `import nki` gives the simulator. Calling it again changes nothing.

    Raises:
        RuntimeError: another `nki` has been imported already.
    """
    loaded = sys.modules.get("nki")
    if loaded is not None and not is_simulated(loaded):
        raise RuntimeError(
            f"another `nki` is already imported from {getattr(loaded, '__file__', 'an unknown place')}; "
            "call nkisim.install() before importing it"
        )
    if not any(isinstance(finder, NkiFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, NkiFinder())


def is_simulated(module: types.ModuleType) -> bool:
    """Whether `module` is the simulator's `nki`."""
    return module.__name__ == _PREFIX
