"""How a part of a block is processed: two sentences of stage calls, whatever the numerics and whatever cores share.

Instructions are issued line by line, but for the two projections: `gate_up_products` and `down_products` are streams
(`stages/products.py`). Their matmuls are issued in the two lines that say `drain`, with all that happens to products.
"""

from __future__ import annotations

from typing import NamedTuple

from nkimoe.kernels.layer import ForwardLayer
from nkimoe.kernels.stages.gated_activation import IntermediateRoom
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.output_rows import drain
from nkimoe.kernels.tensor import Tensor


class Begun(NamedTuple):
    """A part whose down projection is still to come.

    Attributes:
        following: the part behind it.
        room: holds act(gate) * up.
        factors: what `scaling` multiplied that with.
    """

    part: Part
    following: Part | None
    room: IntermediateRoom[object]
    factors: Tensor | None


def begin(now: Part, following: Part | None, after: Part | None, before: Begun | None, layer: ForwardLayer) -> Begun:
    """act(x Wg + bg) * (x Wu + bu); meanwhile the part `before` is completed.

    Whatever `following` needs starts loading as soon as `now` has no more use for the room. Its tokens are transposed
    between the products of both; then the tokens of the part `after` it may come.
    """
    stages, scaling, weights = layer.stages, layer.scaling, layer.weights
    layer.token_rows.gather(following)
    across = scaling.columns(now.affinities)
    gate_up = stages.gate_up_products(layer.tokens.of(now), weights, now, following, across)
    gate_up = layer.checkpoints.gate_up(gate_up, now)
    begun = Begun(now, following, weights.room(now), scaling.intermediate(now.affinities))
    layer.activation.drain(gate_up, begun.room, begun.factors)
    intermediate = None if before is None else before.room.operand()
    layer.turn(following)
    layer.token_rows.gather(after)
    if before is not None:
        _complete(before, intermediate, layer)
    begun.room.settle()
    return begun


def complete(begun: Begun | None, layer: ForwardLayer) -> None:
    """The last part, which nothing follows."""
    if begun is not None:
        _complete(begun, begun.room.operand(), layer)


def _complete(begun: Begun, intermediate: object, layer: ForwardLayer) -> None:
    """out[ids] += intermediate Wd + bd, scaled by the affinities."""
    stages, weights, part = layer.stages, layer.weights, begun.part
    updates = layer.updates(part)
    bias = layer.scaling.bias(begun.factors, part.tiles.size)
    down = layer.sums(stages.down_products(intermediate, weights, part, begun.following, bias))
    down = layer.checkpoints.down(weights.down_finish.finished(down, bias), part)
    drain(down, updates)
