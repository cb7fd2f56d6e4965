"""The small kernels of the SDK's `examples`, beside its tutorials, against NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from conformance.cases.checkout import random
from conformance.kernel_run import KernelRaised, TestManager


@pytest.mark.parametrize("file", ["getting_started_torch.py", "getting_started_baremetal.py"])
def test_getting_started(file: str, kernel: Callable[..., Any], test_manager: TestManager) -> None:
    a, b = random((4, 3), np.float16), random((4, 3), np.float16)
    test_manager.check(kernel(file, "nki_tensor_add_kernel"), (a, b), a + b, rtol=1e-3)


@pytest.mark.parametrize("file", ["layout-pass.py", "layout-loop.py", "layout-dynamic-loop.py"])
def test_exponential(file: str, kernel: Callable[..., Any], test_manager: TestManager) -> None:
    given = random((128 if file == "layout-pass.py" else 256, 512))
    test_manager.check(kernel(file, "tensor_exp_kernel_"), (given,), np.exp(given), rtol=1e-5)


def test_layout_violation(kernel: Callable[..., Any], test_manager: TestManager) -> None:
    given = random((256, 512))
    with pytest.raises(KernelRaised, match="partition"):
        test_manager.check(kernel("layout-violation.py", "tensor_exp_kernel_"), (given,), np.exp(given), rtol=1e-5)


@pytest.mark.parametrize("half", [0, 1])
def test_index_case_1(half: int, kernel: Callable[..., Any], test_manager: TestManager) -> None:
    given = random((4, 5))
    function = kernel("index-case-1.py", "tensor_split_kernel_")
    test_manager.check(function, (given,), given[:, half::2], rtol=0.0, output=half)


def test_index_case_3(kernel: Callable[..., Any], test_manager: TestManager) -> None:
    given = random((2, 6, 6))
    wanted = given.reshape(2, 3, 2, 3, 2).max(axis=(2, 4))
    test_manager.check(kernel("index-case-3.py", "tensor_maxpool_kernel_"), (given, 2), wanted, rtol=0.0)


def test_simulate_example(kernel: Callable[..., Any], test_manager: TestManager) -> None:
    """The file itself calls `nki.simulate` and compares when it is imported."""
    a, b = random((128, 512)), random((128, 512))
    test_manager.check(kernel("simulate/nki_simulate_example.py", "add_kernel"), (a, b), a + b, rtol=1e-6)
