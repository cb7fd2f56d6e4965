"""Small kernels on the simulator, and refusals checked down to code, actual value and place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import nkisim
import nkisim.nki.isa as nisa
import nkisim.nki.language as nl
from nkisim.errors import SimulationError
from nkisim.memory import NkiTensor
from nkisim.observe import Event, Observer, Recorder

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Device:
    """One simulated target."""

    target: str

    def run(
        self,
        kernel: Callable[..., Any],
        *args: Any,
        cores: int | None = None,
        report_only: bool = False,
        observers: Sequence[Observer] = (),
    ) -> nkisim.Run:
        """Simulate `kernel(*args)`."""
        simulator = nkisim.Simulator(self.target, cores, report_only=report_only, observers=observers)
        return simulator.run(kernel, *args)

    def outputs(self, kernel: Callable[..., Any], *args: Any, cores: int | None = None) -> Any:
        """What `kernel(*args)` returns."""
        return self.run(kernel, *args, cores=cores).outputs

    def attempt(self, body: Callable[[], Any], cores: int | None = None) -> list[Event]:
        """Run instructions that need no input; returns their events."""

        def kernel() -> None:
            body()

        recorder = Recorder()
        self.run(kernel, cores=cores, observers=[recorder])
        return recorder.events

    def compute(
        self, body: Callable[..., Any], shape: tuple[int, ...], dtype: str, *inputs: Array, buffer: Any = nl.sbuf
    ) -> Array:
        """What `body(dst, *tiles)` writes into dst, a fresh tile in `buffer`; `inputs` are loaded into SBUF."""

        def kernel(*arrays: Any) -> Any:
            tiles = [nl.load(array) for array in arrays]
            dst = nl.ndarray(shape, dtype, buffer=buffer)
            body(dst, *tiles)
            if buffer is nl.psum:
                nisa.tensor_copy(in_sbuf := nl.ndarray(shape, dtype), dst)
                dst = in_sbuf
            return store(dst)

        return self.outputs(kernel, *inputs)


def store(tile: NkiTensor) -> NkiTensor:
    """A new HBM tensor with the values of an SBUF tile."""
    result = nl.ndarray(tile.shape, tile.dtype, buffer=nl.shared_hbm)
    nisa.dma_copy(result, tile)
    return result


def tile(shape: tuple[int, ...], dtype: str = "float32", buffer: Any = nl.sbuf, **options: Any) -> NkiTensor:
    """An on-chip tile of zeros."""
    made = nl.ndarray(shape, dtype, buffer=buffer, **options)
    nisa.memset(made, 0)
    return made


def psum(shape: tuple[int, ...], dtype: str = "float32") -> NkiTensor:
    """A PSUM tile of zeros."""
    return tile(shape, dtype, nl.psum)


def hbm(shape: tuple[int, ...], dtype: str = "float32", buffer: Any = nl.private_hbm) -> NkiTensor:
    """An HBM tensor of zeros."""
    return nl.zeros(shape, dtype, buffer=buffer)


@contextmanager
def refusal(test_file: str, error: type[SimulationError], code: str, *actual: str) -> Iterator[None]:
    """The block raises exactly `error`; its message names the actual values and a line of the test file."""
    with pytest.raises(error) as caught:
        yield
    problem = caught.value
    assert type(problem) is error
    assert problem.code == code
    assert str(problem).startswith(f"{code}: {problem.rule}; got {problem.actual} ({problem.where}")
    assert str(problem).endswith(f"). {problem.fix}")
    assert problem.rule
    assert problem.fix.endswith(".")
    assert test_file in str(problem.where)
    for value in actual:
        assert value in problem.actual


def random_values(shape: tuple[int, ...], dtype: Any = np.float32, seed: int = 0) -> Array:
    """Normal values, or integers over the whole range of an integer type."""
    rng, kind = np.random.default_rng(seed), np.dtype(dtype)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        return rng.integers(limits.min, limits.max, shape, dtype=kind, endpoint=True)
    return rng.standard_normal(shape).astype(kind)
