# SPDX-License-Identifier: Apache-2.0
"""act(gate) * up, or act(up) alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.element_steps import Steps, apply_steps, multiply_after
from nkimoe.kernels.stages.products import GATE, GateUpProduct, GateUpProducts
from nkimoe.kernels.tensor import Buffer, ElementOperand, Operator, Tensor
from nkimoe.planning.request import Request
from nkimoe.spec import ActFnType

ACTIVATIONS: dict[ActFnType, tuple[Operator, ...]] = {
    ActFnType.SiLU: (nl.silu,),
    ActFnType.GELU: (nl.gelu,),
    ActFnType.GELU_Tanh_Approx: (nl.gelu_apprx_tanh,),
    ActFnType.Swish: (nl.gelu_apprx_sigmoid,),
    ActFnType.ReLU: (nl.relu,),
    ActFnType.SquaredReLU: (nl.relu, nl.square),
}


MatmulOperand_co = TypeVar("MatmulOperand_co", covariant=True)
"""What a matmul of one numerics takes: a tile, or a tile with its scales."""


class IntermediateRoom(Protocol[MatmulOperand_co]):
    """act(gate) * up on its way to the down projection, in the form one numerics multiplies with."""

    def room_for(self, product: GateUpProduct) -> Tensor:
        """Where the values that come of an up product go."""
        ...

    def keep(self, product: GateUpProduct, values: Tensor) -> None:
        """They are there."""

    def settle(self) -> None:
        """All values are there: compute what does not wait for the down projection."""

    def operand(self) -> MatmulOperand_co:
        """The operand of the down projection. Said once, after `settle`."""
        ...


@dataclass(frozen=True)
class GatedActivation:
    """The activation of a request.

    Attributes:
        functions: activation functions, applied in order.
        up_offset: steps that follow the limits of the up projection.
        up_waits_in: where the up projection waits between steps.
    """

    functions: tuple[Operator, ...]
    up_offset: Steps
    up_waits_in: Buffer

    @classmethod
    def from_request(cls, request: Request, up_waits_in: Buffer) -> GatedActivation:
        """Only an offset that is not zero becomes a step."""
        offset = float(request.up_offset)
        steps: Steps = ((nl.add, offset),) if offset else ()
        return cls(ACTIVATIONS[request.activation_function], steps, up_waits_in)

    def drain(self, products: GateUpProducts, room: IntermediateRoom[object], factors: Tensor | None) -> None:
        """Ask for all gate and up products; what comes of them goes to `room`.

        Args:
            factors: fp32 [128, tokens] that multiplies all rows, or None.
        """
        gates: dict[tuple[int, int], Tensor] = {}
        for each in (product for some in products for product in some):
            place = each.tile, each.tokens.start
            if each.which == GATE:
                activated = self._activate(each)
                _scale(activated, activated, factors, each)
                gates[place] = activated
                continue
            values = room.room_for(each)
            if place in gates:
                multiply_after(values, each.data, (*each.steps, *self.up_offset), gates.pop(place), self.up_waits_in)
            elif factors is None:
                self._activate_into(values, each.data, (*each.steps, *self.up_offset))
            else:
                _scale(values, self._activate(each, self.up_offset), factors, each)
            room.keep(each, values)

    def _activate(self, product: GateUpProduct, more: Steps = ()) -> Tensor:
        """The activation of a product, fp32."""
        out: Tensor = nl.ndarray(tuple(product.data.shape), dtype=nl.float32, buffer=nl.sbuf)
        self._activate_into(out, product.data, (*product.steps, *more))
        return out

    def _activate_into(self, dst: Tensor, data: Tensor, steps: Steps) -> None:
        """dst = act(steps(data)). Without limits the Scalar Engine scales and adds the bias on the way."""
        scale: ElementOperand = 1.0
        bias: ElementOperand | None = None
        rest = list(steps)
        if rest and rest[0][0] is nl.multiply:
            (_, scale), *rest = rest
        if rest and rest[0][0] is nl.add:
            (_, bias), *rest = rest
        if rest:
            data, scale, bias = apply_steps(data, steps), 1.0, None
        for function in self.functions[:-1]:
            out = nl.ndarray(tuple(data.shape), dtype=nl.float32, buffer=nl.sbuf)
            nisa.activation(dst=out, op=function, data=data, bias=bias, scale=scale)
            data, scale, bias = out, 1.0, None
        nisa.activation(dst=dst, op=self.functions[-1], data=data, bias=bias, scale=scale)


def _scale(dst: Tensor, data: Tensor, factors: Tensor | None, product: GateUpProduct) -> None:
    """dst = data * factors, on GpSimd, which has little else to do."""
    if factors is not None:
        columns = factors[0 : data.shape[0], product.tokens.slice]
        nisa.tensor_tensor(dst=dst, data1=data, data2=columns, op=nl.multiply, engine=nisa.engine.gpsimd)
