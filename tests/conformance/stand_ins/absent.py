"""Modules that are only imported: remote hosts, cloud storage, metrics. Every name in them is an empty class.

The last two belong to nki-library's test framework: they run a case on a device, where this runs it on nkisim.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Sequence
from typing import Any

ABSENT = [
    "aws_embedded_metrics",
    "boto3",
    "botocore",
    "debugpy",
    "fabric2",
    "nki.compiler",
    "nki_cpu_simulator",
    "paramiko",
    "plotext",
    "pytest_html",
    "test.utils.host_management",
    "test.utils.test_orchestrator",
]


class AbsentError(RuntimeError):
    """A test uses, and does not just import, a module that is not there."""


class _AbsentModule(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        message = f"{self.__name__}.{name} stands in for a module that is not installed"

        def refuse(self: Any, *args: Any, **kwargs: Any) -> None:
            raise AbsentError(message)

        made = type(name, (Exception,), {"__init__": refuse, "__module__": self.__name__})
        setattr(self, name, made)
        return made


class AbsentFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules of `ABSENT`, and theirs below them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if any(fullname == name or fullname.startswith(name + ".") for name in ABSENT):
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _AbsentModule(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing to run."""


def install() -> None:
    """Make every absent module importable."""
    sys.meta_path.insert(0, AbsentFinder())
