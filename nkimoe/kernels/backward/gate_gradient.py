# SPDX-License-Identifier: Apache-2.0
"""Between the projections: what the down weights' gradient needs, and the gradients of gate and up."""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.backward.slopes import value_and_slope
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.backward.plan import BackwardPlan, Limits
from nkimoe.planning.backward.request import BackwardRequest
from nkimoe.planning.tiling import PARTITIONS


class GateGradient:
    """act(gate) * (up + offset), or act(up + offset), of one tile of slots, [128, columns of I]; then its gradient.

    Attributes:
        m: fp32 [128, rows]; a last column of ones stands for the bias of the down projection.
    """

    def __init__(self, request: BackwardRequest, plan: BackwardPlan, projections: Tensor, rows: int) -> None:
        self._request, self._plan = request, plan
        self._columns = n = projections.shape[1] // request.projections
        self._up = projections[:, n * (request.projections - 1) :]
        self._gate = None if request.skip_gate_proj else projections[:, 0:n]
        self.m: Tensor = nl.ndarray((PARTITIONS, rows), dtype=nl.float32, buffer=nl.sbuf)
        if rows > n:
            nisa.memset(dst=self.m[:, n:rows], value=1.0)
        offset, kind = float(request.up_offset), request.activation_function
        if self._gate is None:
            up = self._up
            if offset:
                up = self._work()
                nisa.tensor_scalar(dst=up, data=self._up, op0=nl.add, operand0=offset)
            value, self._slope = value_and_slope(kind, up)
            nisa.tensor_copy(dst=self.m[:, 0:n], src=value, engine=nisa.engine.gpsimd)
        else:
            self._value, self._slope = value_and_slope(kind, self._gate)
            self._times_up(self.m[:, 0:n], self._value)

    def weighted(self, dst: Tensor, affinity: Tensor) -> None:
        """dst [128, rows] = m * affinity [128, 1]."""
        nisa.activation(dst=dst, op=nl.copy, data=self.m, scale=affinity)

    def affinity_gradient(self, d_m: Tensor) -> Tensor:
        """fp32 [128, 1]: the sum of m * d_m, with d_m PSUM [128, rows] not weighted."""
        product = nl.ndarray(tuple(self.m.shape), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_tensor(dst=product, data1=self.m, data2=d_m, op=nl.multiply)
        total: Tensor = nl.ndarray((PARTITIONS, 1), dtype=nl.float32, buffer=nl.sbuf)
        nisa.tensor_reduce(dst=total, data=product, op=nl.add, axis=1)
        return total

    def backward(self, dst: Tensor, d_m: Tensor, affinity: Tensor) -> None:
        """dst [128, gate and up columns] = the gradients of gate and up, for d_m PSUM [128, rows] not weighted."""
        n, weighted = self._columns, self._work()
        nisa.activation(dst=weighted, op=nl.copy, data=d_m[:, 0:n], scale=affinity)
        plan = self._plan
        if self._gate is None:
            self._limited(dst, weighted, self._slope, self._up, plan.up_limits)
            return
        self._limited(dst[:, n:], weighted, self._value, self._up, plan.up_limits)
        self._times_up(weighted, weighted)
        self._limited(dst[:, 0:n], weighted, self._slope, self._gate, plan.gate_limits)

    def _times_up(self, dst: Tensor, data: Tensor) -> None:
        """dst = data * (up + offset)."""
        nisa.scalar_tensor_tensor(
            dst=dst, data=self._up, op0=nl.add, operand0=float(self._request.up_offset), op1=nl.multiply, operand1=data
        )

    def _limited(self, dst: Tensor, d: Tensor, slope: Tensor, x: Tensor, limits: Limits) -> None:
        """dst = d * slope, zero where x is at a limit."""
        upper, lower = limits
        bounds = [
            *(() if upper is None else ((nl.less, upper),)),
            *(() if lower is None else ((nl.greater, lower),)),
        ]
        target = self._work() if bounds else dst
        nisa.tensor_tensor(dst=target, data1=d, data2=slope, op=nl.multiply)
        for i, (op, limit) in enumerate(bounds):
            into = dst if i == len(bounds) - 1 else target
            nisa.scalar_tensor_tensor(dst=into, data=x, op0=op, operand0=limit, op1=nl.multiply, operand1=target)

    def _work(self) -> Tensor:
        return nl.ndarray((PARTITIONS, self._columns), dtype=nl.float32, buffer=nl.sbuf)
