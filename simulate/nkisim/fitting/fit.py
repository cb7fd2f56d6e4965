# SPDX-License-Identifier: Apache-2.0
"""Fit constants to measured latencies: weighted least squares over all probes at once.

A latency is the sum of its terms and of a base that the measurements of a probe share. Constants are positive, so their
logarithms are fitted. How far the runs of a measurement lie apart weighs it; how badly all of them agree widens the
spread of the result. What was known before counts as one more measurement of a constant, whose range reaches two
standard deviations to either side; so what noise drowns stays where it was, and what the measurements say nothing about
does not move at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nkisim.fitting.measurement import Measured, MeasurementError
from nkisim.fitting.term import total
from nkisim.machine import Machine
from nkisim.machine.quantity import Quantity

Numbers = npt.NDArray[np.float64]

LEAST_DEVIATION = 1e-4  # of a measured latency: runs that agree better say nothing more
WITHIN = 2.0  # standard deviations to either side that become low and high
_FARTHEST = math.log(100.0)  # a constant moves no farther from where it was
_NO_RANGE = 1.0  # standard deviation of the logarithm of a constant whose range is not known
_UNKNOWN = 1e-6  # a direction that moves the latencies by so small a share of what the strongest does
_WHOLE_UNITS = ("B", "B of a row per descriptor")


@dataclass(frozen=True)
class FittedConstant:
    """One constant.

    Attributes:
        value: the best one; low, high: two standard deviations to either side.
        before: what it was.
        is_settled: whether the measurements say anything about it; if not, the value is the one before.
    """

    name: str
    value: float
    low: float
    high: float
    before: float
    is_settled: bool = True


@dataclass(frozen=True)
class Fitted:
    """What came out.

    Attributes:
        machine: with the new values and their spread.
        constants: all that the probes are for.
        misfit: of each measurement, (measured - fitted) over measured.
    """

    machine: Machine
    constants: tuple[FittedConstant, ...]
    misfit: Mapping[tuple[str, str], float]


def fit(measured: Measured, machine: Machine) -> Fitted:
    """The machine with the constants that the probes settle.

    Args:
        machine: the one that was measured, as it is known so far: all other constants, and the start.

    Raises:
        MeasurementError: there are no measurements, they are of constants that the machine does not have, or SciPy is
            not installed.
    """
    if not measured.measurements:
        raise MeasurementError("no measurements: run the probes first")
    named = {key for each in measured.measurements for term in each.terms for key in term.powers}
    unknown = sorted({*named, *measured.settled} - machine.quantities.keys())
    if unknown:
        raise MeasurementError(f"{machine.name} has no constants {', '.join(unknown)}")
    system = _System(measured, machine)
    unknowns, spread, is_settled = system.solve()
    constants = tuple(
        _constant(machine, key, unknowns[n], spread[n], bool(is_settled[n])) for n, key in enumerate(system.keys)
    )
    values = {each.name: each for each in constants if each.is_settled}
    quantities = {
        key: _fitted(quantity, values[key], measured.device) if key in values else quantity
        for key, quantity in machine.quantities.items()
    }
    left = system.residuals(unknowns) * system.deviations / system.values
    names = [(each.probe, each.point) for each in measured.measurements]
    return Fitted(replace(machine, quantities=quantities), constants, dict(zip(names, left.tolist(), strict=True)))


class _System:
    """The equations: a row a measurement; the unknowns are the logarithms of the constants over what they were, then
    the base of each probe (in ns)."""

    def __init__(self, measured: Measured, machine: Machine) -> None:
        self._machine, self._measurements = machine, measured.measurements
        named = {key for each in measured.measurements for term in each.terms for key in term.powers}
        self.keys = [key for key in measured.settled if key in named]
        self._bases = list(dict.fromkeys(each.probe for each in measured.measurements if each.has_base))
        self.values = np.array([each.value for each in measured.measurements])
        self.deviations = np.maximum([each.deviation for each in measured.measurements], LEAST_DEVIATION * self.values)
        rows = [[float(each.probe == probe) for probe in self._bases] for each in measured.measurements]
        self._base_rows = np.array(rows) / self.deviations[:, None]
        self._known = np.array([1.0 / _known_within(machine.quantities[key]) for key in self.keys])

    def solve(self) -> tuple[Numbers, Numbers, npt.NDArray[np.bool_]]:
        """The unknowns, the standard deviation of each, and whether the measurements say anything about it."""
        least_squares = _least_squares()
        start = self._with_best_bases(np.zeros(len(self.keys) + len(self._bases)))
        before = self._before()
        farthest = np.concatenate([np.full(len(self.keys), _FARTHEST), np.full(len(self._bases), np.inf)])
        found = least_squares(
            lambda unknowns: np.concatenate([self.residuals(unknowns), before @ unknowns]),
            start,
            lambda unknowns: np.vstack([-self._slopes(unknowns), before]),
            bounds=(-farthest, farthest),
            x_scale="jac",
        )
        return found.x, *self._spread(found.x)

    def residuals(self, unknowns: Numbers) -> Numbers:
        """Measured minus expected, over the standard deviation."""
        machine = self._at(unknowns)
        expected = np.array([total(each.terms, machine) for each in self._measurements])
        bases = self._base_rows @ unknowns[len(self.keys) :]
        return np.asarray((self.values - expected) / self.deviations - bases)

    def _at(self, unknowns: Numbers) -> Machine:
        moved = {
            key: self._machine.quantities[key].at(self._machine.number(key) * math.exp(unknowns[n]))
            for n, key in enumerate(self.keys)
        }
        return replace(self._machine, quantities={**self._machine.quantities, **moved})

    def _with_best_bases(self, unknowns: Numbers) -> Numbers:
        """The same constants, with the best bases."""
        bare = unknowns.copy()
        bare[len(self.keys) :] = 0.0
        bare[len(self.keys) :] = np.linalg.lstsq(self._base_rows, self.residuals(bare), rcond=None)[0]
        return bare

    def _slopes(self, unknowns: Numbers) -> Numbers:
        machine, column = self._at(unknowns), {key: n for n, key in enumerate(self.keys)}
        slopes = np.zeros((len(self._measurements), len(self.keys)))
        for n, each in enumerate(self._measurements):
            for term in each.terms:
                for key, power in term.powers.items():
                    if key in column:
                        slopes[n, column[key]] += power * term.value(machine) / self.deviations[n]
        return np.hstack([slopes, self._base_rows])

    def _before(self) -> Numbers:
        """A row a constant: it is where it was."""
        return np.hstack([np.diag(self._known), np.zeros((len(self.keys), len(self._bases)))])

    def _spread(self, unknowns: Numbers) -> tuple[Numbers, npt.NDArray[np.bool_]]:
        measured = self._slopes(unknowns)
        scale = np.linalg.norm(measured, axis=0)
        is_moved = scale > 0.0
        scale[~is_moved] = 1.0
        _, strengths, directions = np.linalg.svd(measured / scale, full_matrices=True)
        strengths = np.concatenate([strengths, np.zeros(len(directions) - len(strengths))])
        known = strengths > _UNKNOWN * strengths.max()
        is_settled = is_moved & (np.abs(directions[~known]).sum(axis=0) < 1e-3)
        freedom = len(self._measurements) - int(known.sum())
        misfit = float(np.square(self.residuals(unknowns)).sum())
        widened = max(1.0, misfit / freedom) if freedom > 0 else 1.0
        both = np.vstack([measured / math.sqrt(widened), self._before()]) / scale
        variance = np.diag(np.linalg.pinv(both.T @ both))
        return np.sqrt(variance) / scale, is_settled


def _least_squares() -> Callable[..., Any]:
    """SciPy's solver."""
    try:
        from scipy.optimize import least_squares
    except ImportError:
        raise MeasurementError("fitting needs SciPy: pip install 'nkimoe[device]'") from None
    solver: Callable[..., Any] = least_squares
    return solver


def _known_within(quantity: Quantity) -> float:
    """Standard deviation of the logarithm of a constant, as far as its range tells."""
    low, high = quantity.ends
    return math.log(high / low) / (2 * WITHIN) if 0 < low < high else _NO_RANGE


def _constant(machine: Machine, key: str, moved: float, spread: float, is_settled: bool) -> FittedConstant:
    before = machine.number(key)
    if not is_settled:
        return FittedConstant(key, before, *machine.quantities[key].ends, before, is_settled=False)
    value = _whole(machine.quantities[key], before * math.exp(moved))
    apart = math.exp(min(WITHIN * spread, _FARTHEST))
    return FittedConstant(key, value, value / apart, value * apart, before)


def _whole(quantity: Quantity, value: float) -> float:
    """Bytes that a descriptor or packet takes are a power of two: a few less would cut off a piece of every row."""
    return 2.0 ** max(0, round(math.log2(value))) if quantity.unit in _WHOLE_UNITS else value


def _fitted(quantity: Quantity, constant: FittedConstant, device: str) -> Quantity:
    source = f"fitted to latencies measured on {device}; {constant.before:g} before"
    return replace(
        quantity, value=constant.value, low=constant.low, high=constant.high, source=source, confidence="derived"
    )


def worst(measurements: Mapping[tuple[str, str], float], count: int) -> list[tuple[tuple[str, str], float]]:
    """The measurements that the fit explains worst."""
    return sorted(measurements.items(), key=lambda entry: -abs(entry[1]))[:count]
