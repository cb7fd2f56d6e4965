"""How a part of a block is processed: one sentence of stage calls, whatever the numerics and whatever cores share.

Instructions are issued line by line, but for the two projections: `gate_up_products` and `down_products` are streams
(`stages/products.py`). Their matmuls are issued in the two lines that say `drain`, with all that happens to products.
"""

from __future__ import annotations

from nkimoe.kernels.layer import ForwardLayer
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.output_rows import drain


def compute(now: Part, following: Part | None, after: Part | None, layer: ForwardLayer) -> None:
    """out[ids] += act(x Wg + bg) * (x Wu + bu) Wd + bd, scaled by the affinities.

    Whatever `following` needs starts loading as soon as `now` has no more use for the room. Its tokens are transposed
    between the projections of `now`, while the activation is computed; then the tokens of the part `after` it may come.
    """
    stages, scaling, weights = layer.stages, layer.scaling, layer.weights
    layer.token_rows.gather(following)
    updates = layer.updates(now)
    across = scaling.columns(now.affinities)
    gate_up = stages.gate_up_products(layer.tokens.of(now), weights, now, following, across)
    gate_up = layer.checkpoints.gate_up(gate_up, now)
    factors = scaling.intermediate(now.affinities)
    intermediate = layer.activation.drain(gate_up, weights.room(now), factors)
    layer.turn(following)
    layer.token_rows.gather(after)
    bias = scaling.bias(factors, now.tiles.size)
    down = layer.sums(stages.down_products(intermediate, weights, now, following, bias))
    down = layer.checkpoints.down(weights.down_finish.finished(down, bias), now)
    drain(down, updates)
