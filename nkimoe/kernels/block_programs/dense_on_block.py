"""Dense numerics, whole blocks on one core."""

from __future__ import annotations

from nkimoe.kernels.layer import Layer
from nkimoe.kernels.stages.dense.project_down import project_down
from nkimoe.kernels.stages.dense.project_gate_up import project_gate_up
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.transpose_tokens import transpose_tokens


def compute(now: Part, following: Part | None, layer: Layer) -> None:
    """out[ids] += act(x Wg + bg) * (x Wu + bu) Wd + bd, scaled by the affinities.

    Whatever `following` needs starts loading as soon as `now` has no more use for the room.
    """
    scaling, weights = layer.scaling, layer.weights
    weights.open(now)
    updates = layer.updates(now)
    rows = scaling.rows(layer.token_rows.of(now), now.affinities)
    tokens = transpose_tokens(rows, now.tiles.size, layer)
    layer.token_rows.gather(following)
    projections = project_gate_up(tokens, weights, now, following, scaling.columns(now.affinities))
    factors = scaling.hidden(now.affinities)
    hidden = layer.activation.intermediate(projections, layer.share.inner.size, tokens.shape[2], layer, factors)
    bias = scaling.bias(factors, now.tiles.size)
    results = project_down(hidden, weights, now, following, bias)
    for tile, columns, result in weights.down_finish.results(results, bias):
        updates[tile].add(columns, result)
    weights.leave(following)
