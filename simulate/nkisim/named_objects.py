# SPDX-License-Identifier: Apache-2.0
"""Objects that a command line names: `package.module:name` or `folder/file.py:name`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from nkisim.command_help import meant
from nkisim.errors import retold
from nkisim.install import install


def load_named(target: str) -> Any:
    """The object `target` names, imported with `nki` meaning the simulator.

    Raises:
        click.UsageError: there is no such module, file or name, or its module cannot be run.
    """
    place, _, name = target.rpartition(":")
    if not place or not name:
        raise click.UsageError(f"{target}: give module:name or file.py:name")
    install()
    try:
        module = _from_file(Path(place)) if place.endswith(".py") else _from_module(place)
    except (Exception, SystemExit) as error:  # a module may do anything when it is imported
        raise click.UsageError(f"{target}: {retold(error)}") from None
    if not hasattr(module, name):
        raise click.UsageError(f"{target}: {place} has no attribute {name!r}.{meant(name, vars(module))}")
    return getattr(module, name)


def _from_module(name: str) -> ModuleType:
    if "" not in sys.path:
        sys.path.insert(0, "")
    return importlib.import_module(name)


def _from_file(path: Path) -> ModuleType:
    """The module in a file, which may import its neighbours."""
    if not path.is_file():
        raise FileNotFoundError("no such file")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError("no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module
