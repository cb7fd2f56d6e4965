"""act(gate) * up, or act(up) alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import nki.isa as nisa
import nki.language as nl

from nkimoe.kernels.stages.dense.dequantise import GATE
from nkimoe.kernels.stages.element_steps import Steps, apply_steps, multiply_after
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.planning.request import Request
from nkimoe.planning.tiling import PARTITIONS
from nkimoe.planning.variants import VARIANTS
from nkimoe.spec import ActFnType

ACTIVATIONS: dict[ActFnType, tuple[Any, ...]] = {
    ActFnType.SiLU: (nl.silu,),
    ActFnType.GELU: (nl.gelu,),
    ActFnType.GELU_Tanh_Approx: (nl.gelu_apprx_tanh,),
    ActFnType.Swish: (nl.gelu_apprx_sigmoid,),
    ActFnType.ReLU: (nl.relu,),
    ActFnType.SquaredReLU: (nl.relu, nl.square),
}


@dataclass(frozen=True)
class GatedActivation:
    """The activation of a request.

    Attributes:
        functions: activation functions, applied in order.
        up_offset: steps that follow the limits of the up projection.
        buffer: where the up projection waits between steps.
    """

    functions: tuple[Any, ...]
    up_offset: Steps
    buffer: Any = nl.sbuf

    @classmethod
    def from_request(cls, request: Request) -> GatedActivation:
        """Only an offset that is not zero becomes a step."""
        offset, is_mx = float(request.up_offset), VARIANTS[request.spec.implementation].is_mx
        steps: Steps = ((nl.add, offset),) if offset else ()
        return cls(ACTIVATIONS[request.activation_function], steps, nl.psum if is_mx else nl.sbuf)

    def intermediate(self, projections: Iterable[tuple[Any, ...]], part: Part, layer: Any, factors: Any) -> Any:
        """What the down projection multiplies, in the form `layer.weights` keeps it.

        Args:
            projections: some projections after others; each gate before the up it belongs to.
            factors: fp32 [128, tokens] that multiplies all rows, or None.
        """
        hidden = layer.weights.hidden(part.tiles.size * PARTITIONS)
        gates: dict[tuple[int, int], Any] = {}
        for each in (projection for some in projections for projection in some):
            place = each.tile, each.tokens.start
            if each.which == GATE:
                activated = self._activate(each)
                _scale(activated, activated, factors, each)
                gates[place] = activated
                continue
            staged = hidden.stage(each)
            if place in gates:
                multiply_after(staged, each.data, (*each.steps, *self.up_offset), gates.pop(place), self.buffer)
            elif factors is None:
                self._activate_into(staged, each.data, (*each.steps, *self.up_offset))
            else:
                _scale(staged, self._activate(each, self.up_offset), factors, each)
            hidden.settle(each, staged)
        return hidden.tile

    def _activate(self, projection: Any, more: Steps = ()) -> Any:
        """The activation of a projection, fp32."""
        out = nl.ndarray(tuple(projection.data.shape), dtype=nl.float32, buffer=nl.sbuf)
        self._activate_into(out, projection.data, (*projection.steps, *more))
        return out

    def _activate_into(self, dst: Any, data: Any, steps: Steps) -> None:
        """dst = act(steps(data)). Without limits the Scalar Engine scales and adds the bias on the way."""
        scale, bias = 1.0, None
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


def _scale(dst: Any, data: Any, factors: Any, like: Any) -> None:
    """dst = data * factors, on GpSimd, which has little else to do."""
    if factors is not None:
        columns = factors[0 : data.shape[0], like.tokens.slice]
        nisa.tensor_tensor(dst=dst, data1=data, data2=columns, op=nl.multiply, engine=nisa.engine.gpsimd)
