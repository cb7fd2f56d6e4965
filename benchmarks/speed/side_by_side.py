"""The equal kernels on every simulator that is installed, each checked against NumPy."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from equal_kernels import TILE_K, TILE_M, TILE_N

import nkisim
from speed.timing import Say, interleaved

Array = np.ndarray[Any, np.dtype[Any]]
SYSTEMS = {
    "nkisim": "nki_matmul",
    "Triton interpreter": "triton_matmul",
    "Pallas interpret": "pallas_matmul",
    "Pallas TPU interpret": "pallas_tpu_matmul",
}
NUMPY = "NumPy, one call a matrix"
MAX_ERROR = 1e-5  # of the largest value: sums of fp32 products in another order


@dataclass(frozen=True)
class Problem:
    """A task with its inputs.

    Attributes:
        function: name of the function every system's module has.
        gflop: what all tiles together multiply and add, padding included.
        expected: by NumPy.
    """

    function: str
    sizes: str
    arguments: tuple[Array, ...]
    gflop: float
    expected: Callable[[], Array]


def matmul_problem(M: int, K: int, N: int, rng: np.random.Generator) -> Problem:
    """left [M, K] @ right [K, N]."""
    left, right = rng.standard_normal((M, K), np.float32), rng.standard_normal((K, N), np.float32)
    sizes = f"{M} x {K} x {N}"
    return Problem("matmul", sizes, (left, right), 2e-9 * M * K * N, lambda: left @ right)


def grouped_problem(groups: tuple[int, ...], K: int, N: int, rng: np.random.Generator) -> Problem:
    """One matrix for each group of rows; groups are padded with zero rows to whole tiles, an empty one has none."""
    tiles = [-(-size // TILE_M) for size in groups]
    tile_experts = np.repeat(np.arange(len(groups), dtype=np.int32), tiles)
    rows = np.zeros((len(tile_experts) * TILE_M, K), np.float32)
    starts = np.cumsum([0, *tiles]) * TILE_M
    for start, size in zip(starts[:-1], groups, strict=True):
        rows[start : start + size] = rng.standard_normal((size, K), np.float32)
    weights = rng.standard_normal((len(groups), K, N), np.float32)

    def expected() -> Array:
        spans = zip(starts[:-1], starts[1:], weights, strict=True)
        return np.concatenate([rows[first:last] @ weight for first, last, weight in spans])

    sizes = f"groups {'+'.join(map(str, groups))} x {K} x {N}"
    return Problem("grouped_matmul", sizes, (rows, weights, tile_experts), 2e-9 * len(rows) * K * N, expected)


def problems(quick: bool, seed: int) -> list[Problem]:
    """The two tasks."""
    rng = np.random.default_rng(seed)
    if quick:
        return [matmul_problem(256, 256, 512, rng), grouped_problem((60, 0, 200), 256, 512, rng)]
    return [matmul_problem(1024, 1024, 2048, rng), grouped_problem((100, 0, 128, 300, 37, 515), 1024, 1536, rng)]


def load_systems(say: Say) -> tuple[dict[str, Any], dict[str, str]]:
    """Modules of the systems that can be imported, and why the others cannot."""
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported
    nkisim.install()
    modules, missing = {}, {}
    for name, module in SYSTEMS.items():
        try:
            modules[name] = importlib.import_module(f"equal_kernels.{module}")
        except (ImportError, AttributeError) as error:
            absent = isinstance(error, ModuleNotFoundError)
            missing[name] = f"not installed: {error}" if absent else f"cannot be used: {error}"
            say(f"  {name}: {missing[name]}")
    return modules, missing


def measure(quick: bool, repeats: int, seed: int, say: Say) -> dict[str, Any]:
    """Both tasks on all systems, taken in turn."""
    say("equal kernels: loading the systems")
    modules, missing = load_systems(say)
    versions = {name: module.VERSION for name, module in modules.items()}
    tasks = [_measure(problem, modules, repeats, say) for problem in problems(quick, seed)]
    tile = {"m": TILE_M, "k": TILE_K, "n": TILE_N}
    return {"tile": tile, "versions": versions, "missing": missing, "tasks": tasks}


def _measure(problem: Problem, modules: dict[str, Any], repeats: int, say: Say) -> dict[str, Any]:
    say(f"equal kernels: {problem.function} {problem.sizes}, {problem.gflop:.2f} GFLOP")

    def call(module: Any) -> Callable[[], Array]:
        function = getattr(module, problem.function)
        return lambda: function(*problem.arguments)

    actions = {NUMPY: problem.expected, **{name: call(module) for name, module in modules.items()}}
    times, results = interleaved(actions, repeats, say)
    expected = results[NUMPY]
    top = float(np.abs(expected).max())
    rows = {}
    for name, measured in times.items():
        error = float(np.abs(results[name] - expected).max()) / top
        rows[name] = {
            **measured.as_json(),
            "seconds_per_gflop": measured.median / problem.gflop,
            "processor_seconds_per_gflop": measured.median_processor / problem.gflop,
            "max_error": error,
            "correct": error <= MAX_ERROR,
        }
    return {"task": problem.function, "sizes": problem.sizes, "gflop": problem.gflop, "systems": rows}
