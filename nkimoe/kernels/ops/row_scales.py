# SPDX-License-Identifier: Apache-2.0
"""The scale of a row from its largest magnitude, and the factor that its codes are made with."""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.ops.row_codes import Divisor
from nkimoe.kernels.stages.exact_factor import exact_factor
from nkimoe.kernels.stages.exact_scale import LEAST, MOST, exact_scale, fp32, largest_magnitude, limited
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.row_quantisation.plan import RowPlan
from nkimoe.planning.row_quantisation.request import EPS, RNE, RowQuantisation

ADDED = 1e-12  # to every scale, with zero_row "plus"


class RowScales:
    """Scales of one tile of n tokens.

    Args:
        valid: fp32 [tokens, k], 0 where a pair is skipped; None if none is.
    """

    def __init__(self, request: RowQuantisation, plan: RowPlan, n: int, valid: Tensor | None) -> None:
        self._k, self._largest, self._divides = plan.k, plan.largest, request.divides
        self._needs_scale = request.rounding != RNE
        self._share = fp32(1 / plan.largest)
        self._least = LEAST if request.zero_row == EPS else 0.0
        self._added = ADDED if request.zero_row != EPS else 0.0
        self._amax, self._valid = _column(n, plan.k), valid
        self._seen: set[int] = set()

    def see(self, values: Tensor, j: int) -> None:
        """Keep the largest magnitude of values [tokens, columns] of choice j, and of those seen before."""
        amax = self._amax[:, j : j + 1]
        found = _column(values.shape[0], 1) if j in self._seen else amax
        largest_magnitude(found, values)
        if j in self._seen:
            nisa.tensor_tensor(dst=amax, data1=amax, data2=found, op=nl.maximum)
        self._seen.add(j)

    def divisor(self, j: int) -> Divisor:
        """What codes of choice j are made with; all of its values were seen."""
        amax = self._amax[:, j : j + 1]
        factor = self._factor(amax, j) if self._divides else exact_factor(limited(amax, self._least), self._largest)
        return Divisor(factor, self._scales(slice(j, j + 1)) if self._needs_scale else None)

    def scales(self) -> Tensor:
        """fp32 [tokens, k]: amax / largest of all choices, 0 for skipped pairs."""
        return self._scales(slice(0, self._k))

    def _factor(self, amax: Tensor, j: int) -> Tensor:
        n = amax.shape[0]
        scale, factor = _column(n, 1), _column(n, 1)
        if self._added:
            nisa.tensor_scalar(
                dst=scale, data=amax, op0=nl.multiply, operand0=self._share, op1=nl.add, operand1=self._added
            )
        else:
            nisa.tensor_scalar(
                dst=scale, data=amax, op0=nl.maximum, operand0=self._least, op1=nl.multiply, operand1=self._share
            )
        nisa.reciprocal(dst=factor, data=scale)
        least = self._largest / MOST  # of an infinite maximum the factor would be 0, and 0 times infinity no number
        if self._valid is None:
            nisa.tensor_scalar(dst=factor, data=factor, op0=nl.maximum, operand0=least)
        else:
            nisa.scalar_tensor_tensor(
                dst=factor, data=factor, op0=nl.maximum, operand0=least, op1=nl.multiply,
                operand1=self._valid[:, j : j + 1],
            )  # fmt: skip
        return factor

    def _scales(self, choices: slice) -> Tensor:
        scale = exact_scale(limited(self._amax[:, choices], self._least), self._largest)
        if self._added:
            nisa.tensor_scalar(dst=scale, data=scale, op0=nl.add, operand0=self._added)
        if self._valid is not None:
            nisa.tensor_tensor(dst=scale, data1=scale, data2=self._valid[:, choices], op=nl.multiply)
        return scale


def _column(rows: int, columns: int) -> Tensor:
    tile: Tensor = nl.ndarray((rows, columns), dtype=nl.float32, buffer=nl.sbuf)
    return tile
