"""nki-library's `moe_cte`, imported from a checkout and called with the arguments nkimoe's takes.

It runs on the toolchain that nkimoe is bound to: the simulator, or AWS's.
"""

from __future__ import annotations

import enum
import importlib
import sys
from pathlib import Path
from typing import Any

from nkimoe.spec import SkipMode

PACKAGE = "nkilib_src.nkilib"
MOE_CTE = "core.moe.moe_cte"


class NkiLibrary:
    """A checkout of nki-library.

    Args:
        checkout: its folder.

    Raises:
        FileNotFoundError: there is no nki-library.
    """

    def __init__(self, checkout: Path) -> None:
        if not (checkout / "src" / "nkilib_src").is_dir():
            raise FileNotFoundError(f"{checkout} is no checkout of nki-library: it has no src/nkilib_src")
        self._source = checkout / "src"
        sys.path.insert(0, str(self._source))
        self._package = importlib.import_module(f"{PACKAGE}.{MOE_CTE}")
        self._types = importlib.import_module(f"{PACKAGE}.core.utils.common_types")

    def moe_cte(self, **arguments: Any) -> Any:
        """The kernel."""
        return self._package.moe_cte.function(**self.own(arguments))

    @property
    def jitted(self) -> Any:
        """The kernel as it is launched: `jitted[cores](**own(arguments))`."""
        return self._package.moe_cte

    def own(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Arguments with nki-library's option classes."""
        return {name: self._own(value) for name, value in arguments.items()}

    def lacks(self, module: str) -> str | None:
        """What is said where the checkout has no such module; None where it has."""
        file = self._source.joinpath(*f"{PACKAGE}.{module}".split(".")).with_suffix(".py")
        return None if file.is_file() else f"the checkout has no {file.relative_to(self._source)}"

    def function(self, module: str, name: str) -> Any:
        """The kernel of a module of nki-library, taking nkimoe's options."""
        kernel = getattr(importlib.import_module(f"{PACKAGE}.{module}"), name)
        return lambda **arguments: kernel(**self.own(arguments))

    def spec(self, implementation: str) -> Any:
        """The MoECTESpec with default options."""
        return self._package.MoECTESpec(self._package.MoECTEImplementation[implementation])

    def _own(self, value: Any) -> Any:
        """An option class or enum member of nkimoe as nki-library's; anything else as it is."""
        if isinstance(value, SkipMode):
            return self._package.SkipMode(value.skip_token, value.skip_weight)
        if isinstance(value, enum.Enum):
            for module in (self._types, self._package):
                if hasattr(module, type(value).__name__):
                    return getattr(module, type(value).__name__)[value.name]
        return value
