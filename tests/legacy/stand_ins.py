"""Stand-ins for packages around the kernels that host code imports: names that answer to anything and do nothing."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import logging
import sys
import types
from collections.abc import Sequence
from typing import Any

PACKAGES = (
    "torch_xla", "torch_neuronx", "neuronx_distributed", "neuronx_distributed_inference", "libneuronxla", "neuronxcc",
    "transformers", "neuron_dtypes", "jax", "jaxlib", "neuronx_cc", "nki", "nkilib", "torch_neuron", "vllm", "pandas",
    "matplotlib", "tqdm", "einops", "psutil", "triton", "tabulate", "diffusers", "accelerate", "safetensors",
    "neuronpy", "optimum",
)  # fmt: skip


class Anything(types.ModuleType):
    """A module whose every name is a class that can be called, derived from and used as a decorator."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "nki_jit":
            from neuronxcc import nki

            return nki.jit
        return type(name, (_Nothing,), {"__module__": self.__name__})


class _Meta(type):
    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (_Nothing,), {})


class _Nothing(metaclass=_Meta):
    def __new__(cls, *args: Any, **_: Any) -> Any:
        return args[0] if len(args) == 1 and callable(args[0]) else object.__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __call__(self, *args: Any, **_: Any) -> Any:
        return args[0] if args else self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Nothing()


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds what nothing else finds, below the named packages."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] in PACKAGES and not fullname.startswith("neuronxcc.nki._private_kernels"):
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        module = Anything(spec.name)
        module.__path__ = []
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        return None


def install() -> None:
    """From now on the packages import, and `logging` has the level that the old compiler gave it."""
    setattr(logging, "OFF", logging.CRITICAL + 10)  # noqa: B010
    sys.meta_path.append(StandIns())
