"""What has to stand in `sys.path` and `sys.modules` before a checkout of nki-library or nki-samples is imported."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import nkisim
from conformance.stand_ins import absent, allpairspy, neuron_dtypes
from nkisim.dtypes import DTYPES


class _AliasLoader(importlib.abc.Loader):
    def __init__(self, real: str) -> None:
        self._real = real

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        module = importlib.import_module(self._real)
        self._kept = (module.__spec__, module.__loader__)
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        module.__spec__, module.__loader__ = self._kept


class NkilibAlias(importlib.abc.MetaPathFinder):
    """`nkilib` is `nkilib_src.nkilib`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.split(".")[0] != "nkilib":
            return None
        return importlib.machinery.ModuleSpec(fullname, _AliasLoader(f"nkilib_src.{fullname}"), is_package=True)


def _module(name: str, **names: Any) -> types.ModuleType:
    module = sys.modules[name] = types.ModuleType(name)
    module.__dict__.update(names)
    return module


def _stand_ins() -> None:
    absent.install()
    sys.modules["neuron_dtypes"] = neuron_dtypes
    sys.modules["allpairspy"] = allpairspy
    host_types = {str(name): dtype.numpy for name, dtype in DTYPES.items()}
    importlib.import_module("nki").dtype = _module("nki.dtype", **host_types)  # type: ignore[attr-defined]
    for package in ("neuronxcc", "neuronxcc.starfish", "neuronxcc.starfish.support"):
        _module(package).__path__ = []
    _older_package()
    _module("neuronxcc.starfish.support.dtype", static_cast=neuron_dtypes.static_cast)
    _packed_types()


def _packed_types() -> None:
    """NumPy knows the packed types by name, and prints those names, as with AWS's own types."""
    packed = {DTYPES[name].numpy: name for name in ("float8_e4m3fn_x4", "float8_e5m2_x4", "float4_e2m1fn_x4")}
    for dtype, name in packed.items():
        np._core._type_aliases.sctypeDict.setdefault(name, dtype)  # type: ignore[attr-defined]
    printing = np._core._dtype  # type: ignore[attr-defined]
    usual = printing._struct_str
    printing._struct_str = lambda dtype, **options: packed.get(dtype) or usual(dtype, **options)


class _AnyShape:
    """What annotations such as `tensor[rows, columns]` need."""

    def __getitem__(self, shape: Any) -> _AnyShape:
        return self


def _older_package() -> None:
    """`neuronxcc.nki`, where NKI was before 0.3; its functions that have gone are still missing."""
    nki = importlib.import_module("nki")
    sys.modules["neuronxcc"].nki = sys.modules["neuronxcc.nki"] = nki  # type: ignore[attr-defined]
    for name in ("isa", "language"):
        sys.modules[f"neuronxcc.nki.{name}"] = importlib.import_module(f"nki.{name}")
    typing = _module("neuronxcc.nki.typing", tensor=_AnyShape(), mutable_tensor=_AnyShape())
    sys.modules["nki.typing"] = nki.typing = typing  # type: ignore[attr-defined]


def _collectives() -> None:
    """Modules about several devices import `nki.collectives`; nkisim simulates one."""
    try:
        importlib.import_module("nki.collectives")
    except ImportError:
        absent.ABSENT.append("nki.collectives")


def prepare(nkilib: Path | None = None) -> None:
    """Make `nki` the simulator and the checkout importable, with stand-ins for what only AWS has."""
    nkisim.install()
    _stand_ins()
    _collectives()
    if nkilib is not None:
        sys.path[:0] = [str(nkilib), str(nkilib / "src")]
        sys.meta_path.insert(0, NkilibAlias())
