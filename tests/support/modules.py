"""Modules made of files that no package holds."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def module_of(file: Path, name: str, *folders: Path) -> ModuleType:
    """Import a file under a name, with folders on the path, of which the last is searched first."""
    for folder in folders:
        sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
