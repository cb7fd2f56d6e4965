"""pytest plugin for kernels without tests of their own: the fixture that loads a kernel of the checkout; inputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from support.modules import module_of

from conformance.kernel_run import TestManager

Array = np.ndarray[Any, np.dtype[Any]]
BF16 = ml_dtypes.bfloat16


@pytest.fixture
def kernel(samples: Path, test_manager: TestManager) -> Callable[..., Any]:
    """Loads one function, the first of the names there is, of one file; skips what the checkout does not have."""

    def load(file: str, *names: str) -> Any:
        path = next((root / file for root in _roots(samples) if (root / file).exists()), None)
        if path is None:
            pytest.skip(f"the checkout has no {file}")
        test_manager.older_language |= "neuronxcc.nki" in path.read_text("utf-8")
        module = module_of(path, path.stem, path.parent)
        found = [getattr(module, name) for name in names if hasattr(module, name)]
        return found[0] if found else pytest.skip(f"{file} has no {names[0]}")

    return load


def _roots(samples: Path) -> tuple[Path, ...]:
    return samples / "src" / "nki_samples" / "tutorials", samples / "examples", samples


def random(shape: tuple[int, ...], dtype: Any = np.float32) -> Array:
    """Uniform in -1 to 1."""
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(dtype)
