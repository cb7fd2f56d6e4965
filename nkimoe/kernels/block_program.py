# SPDX-License-Identifier: Apache-2.0
"""How a part of a block is processed: a sentence of stage calls, whatever cores share.

Instructions are issued line by line, but for the two projections: `gate_up_products` and `down_products` are streams
(`stages/products.py`). Their matmuls are issued in the two lines that say `drain`, with all that happens to products.

Where the way from one projection to the other is short, both are issued at once. Where it is long (int8: the largest
value of each token, and codes), the PE would wait: there the down projection of a part follows the gate and up
projections of the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from nkimoe.kernels.layer import ForwardLayer
from nkimoe.kernels.stages.gated_activation import IntermediateRoom
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.output_rows import Update, drain
from nkimoe.kernels.tensor import Tensor
from nkimoe.planning.tiling import FEW_SLOTS
from nkimoe.planning.variants import DENSE, INT8, MX


class Begun(NamedTuple):
    """A part whose down projection is still to come.

    Attributes:
        following: the part behind it.
        room: holds act(gate) * up.
        factors: what `scaling` multiplied that with.
        updates: of the output, a token tile each.
    """

    part: Part
    following: Part | None
    room: IntermediateRoom[object]
    factors: Tensor | None
    updates: list[Update]


Program = Callable[[Part, Part | None, Part | None, Begun | None, ForwardLayer], Begun | None]
"""(now, following, after, before, layer): what is left to complete of `now`.

Whatever `following` needs starts loading as soon as `now` has no more use for the room. Its tokens are transposed
between two projections; then the tokens of the part `after` it may come.
"""


def at_once(
    now: Part, following: Part | None, after: Part | None, before: Begun | None, layer: ForwardLayer
) -> Begun | None:
    """out[ids] += act(x Wg + bg) * (x Wu + bu) Wd + bd, scaled by the affinities."""
    layer.token_rows.gather(following)
    updates = layer.updates(now)
    room, factors = _activate(now, following, layer)
    room.settle()
    layer.turn(following)
    layer.token_rows.gather(after)
    _project_down(Begun(now, following, room, factors, updates), room.operand(), layer)
    return None


def one_part_later(
    now: Part, following: Part | None, after: Part | None, before: Begun | None, layer: ForwardLayer
) -> Begun | None:
    """act(x Wg + bg) * (x Wu + bu); then the part before is completed, while this one's values are quantised.

    Engines go through their instructions in order: what this part's values are quantised with must not wait for all
    down products of the part before. Predicted on Qwen3-30B TP 4: at 4,096 tokens 1,780 to 1,660 us; in small blocks,
    whose products are few, 580 to 588 at 640 tokens, and it comes last.
    """
    layer.token_rows.gather(following)
    room, factors = _activate(now, following, layer)
    intermediate = None if before is None else before.room.operand()
    layer.turn(following)
    layer.token_rows.gather(after)
    has_few = layer.problem.B <= FEW_SLOTS
    if not has_few:
        room.settle()
    if before is not None:
        _project_down(before, intermediate, layer)
    if has_few:
        room.settle()
    return Begun(now, following, room, factors, layer.updates(now))


def complete(begun: Begun | None, layer: ForwardLayer) -> None:
    """The down projection of the last part, which nothing follows."""
    if begun is not None:
        _project_down(begun, begun.room.operand(), layer)


PROGRAMS: dict[str, Program] = {DENSE: at_once, MX: at_once, INT8: one_part_later}


def _activate(now: Part, following: Part | None, layer: ForwardLayer) -> tuple[IntermediateRoom[object], Tensor | None]:
    """All gate and up products, and what comes of them."""
    across = layer.hidden_scales.columns(layer.scaling.columns(now.affinities), now)
    products = layer.stages.gate_up_products(layer.tokens.of(now), layer.weights, now, following, across)
    products = layer.checkpoints.gate_up(products, now)
    factors, room = layer.scaling.intermediate(now.affinities), layer.weights.room(now)
    layer.activation.drain(products, room, factors)
    return room, factors


def _project_down(begun: Begun, intermediate: object, layer: ForwardLayer) -> None:
    """All down products, into the rows of the output."""
    stages, weights, part = layer.stages, layer.weights, begun.part
    bias = layer.scaling.bias(begun.factors, part.tiles.size)
    products = layer.sums(stages.down_products(intermediate, weights, part, begun.following, bias))
    products = layer.hidden_scales.beside(products, part)
    products = layer.checkpoints.down(weights.down_finish.finished(products, bias), part)
    drain(products, begun.updates)
