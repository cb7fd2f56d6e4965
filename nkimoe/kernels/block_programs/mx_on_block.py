"""MX numerics, whole blocks on one core."""

from __future__ import annotations

from nkimoe.kernels.layer import Layer
from nkimoe.kernels.stages.load_routing import Part
from nkimoe.kernels.stages.mx.project_down import project_down
from nkimoe.kernels.stages.mx.project_gate_up import project_gate_up


def compute(now: Part, following: Part | None, after: Part | None, layer: Layer) -> None:
    """out[ids] += act(x Wg + bg) * (x Wu + bu) Wd + bd, scaled by the affinities.

    Whatever `following` needs starts loading as soon as `now` has no more use for the room. Its tokens are transposed
    and quantised between the projections of `now`, while the activation is computed; then the tokens of the part
    `after` it may come.
    """
    scaling, weights = layer.scaling, layer.weights
    layer.token_rows.gather(following)
    updates = layer.updates(now)
    projections = project_gate_up(layer.tokens.of(now), weights, now, following, scaling.columns(now.affinities))
    factors = scaling.hidden(now.affinities)
    hidden = layer.activation.intermediate(projections, now, layer, factors)
    weights.leave_gate_up(following)
    layer.take_in(following)
    layer.token_rows.gather(after)
    bias = scaling.bias(factors, now.tiles.size)
    sums = project_down(hidden, weights, now, following, bias)
    for tile, columns, result in weights.down_finish.results(sums, bias):
        updates[tile].add(columns, result)
    weights.leave_down(following)
