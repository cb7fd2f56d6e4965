"""Kernels of NKIBench: a reference in NumPy in a folder of its own, found by the name of the operation."""

from __future__ import annotations

import re
import types
from pathlib import Path
from typing import Any

import numpy as np
from support.modules import module_of

_KERNELS = re.compile(r"NKIBench|/workspaces/")


def reference_of(file: Path) -> types.ModuleType | None:
    """The reference for the kernels in a file, if they belong to the benchmark and it lies beside their checkout."""
    if not _KERNELS.search(str(file)):
        return None
    checkouts = next((folder for folder in file.parents if [*folder.glob("*/NKIBench")]), None)
    if checkouts is None:
        return None
    operation = re.split(r"_[A-Z]\d", file.stem)[0]
    if "/workspaces/" in str(file):
        operation = file.parts[file.parts.index("workspaces") + 1]
    for candidate in sorted(checkouts.glob("*/NKIBench/reference/*.py")):
        if re.split(r"_[A-Z]\d", candidate.stem)[0] == operation:
            return module_of(candidate, f"reference_{operation}")
    return None


def against_case(reference: Any, kernel: Any) -> tuple[str, str]:
    """What became of the kernel with the benchmark's inputs: "match" or "differs", and why."""
    np.random.seed(42)
    inputs = reference.get_inputs()
    expected = reference.forward(*inputs)
    outputs = kernel(*reference.transform_to_nki_inputs(inputs))
    got = reference.transform_nki_outputs(outputs, expected)
    pairs = zip(got, expected if isinstance(expected, tuple) else (expected,), strict=True)
    apart = max(float(np.linalg.norm(a - b) / np.linalg.norm(b)) for a, b in pairs)
    return ("match", "NKIBench") if apart < 1e-4 else ("differs", f"relative distance {apart:.1e}")
