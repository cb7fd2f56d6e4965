# SPDX-License-Identifier: Apache-2.0
"""Element-wise operations with a number or one value a partition, two a pass."""

from __future__ import annotations

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.tensor import Buffer, ElementOperand, Operator, Tensor

ElementStep = tuple[Operator, ElementOperand]
"""(operator, operand): an element-wise operation with a number or a [partitions, 1] tile."""
Steps = tuple[ElementStep, ...]


def limit_steps(clamp: tuple[float | None, float | None]) -> Steps:
    """Steps for the limits (upper, lower) that are given."""
    upper, lower = clamp
    low = () if lower is None else ((nl.maximum, float(lower)),)
    high = () if upper is None else ((nl.minimum, float(upper)),)
    return (*low, *high)


def apply_steps(data: Tensor, steps: Steps, buffer: Buffer = nl.sbuf) -> Tensor:
    """`data` after all steps, fp32; `data` itself if there are none."""
    for i in range(0, len(steps), 2):
        pair = steps[i : i + 2]
        (op0, operand0), (op1, operand1) = pair if len(pair) == 2 else (*pair, (None, None))
        out = nl.ndarray(tuple(data.shape), dtype=nl.float32, buffer=buffer)
        if (op0, op1) == (nl.multiply, nl.add) and not isinstance(operand1, float):  # a scale and a bias
            nisa.activation(dst=out, op=nl.copy, data=data, scale=operand0, bias=operand1)
        else:
            nisa.tensor_scalar(dst=out, data=data, op0=op0, operand0=operand0, op1=op1, operand1=operand1)
        data = out
    return data


def multiply_after(dst: Tensor, data: Tensor, steps: Steps, factor: Tensor, buffer: Buffer = nl.sbuf) -> None:
    """dst = steps(data) * factor; an odd step joins the multiplication's pass.

    Args:
        buffer: where the data waits between steps. Reading one input of two from PSUM is twice as fast.
    """
    if len(steps) % 2:
        data = apply_steps(data, steps[:-1], buffer)
        op, operand = steps[-1]
        nisa.scalar_tensor_tensor(dst=dst, data=data, op0=op, operand0=operand, op1=nl.multiply, operand1=factor)
    else:
        nisa.tensor_tensor(dst=dst, data1=apply_steps(data, steps, buffer), data2=factor, op=nl.multiply)
