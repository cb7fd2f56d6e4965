"""Dense numerics, whole blocks on one core."""

from __future__ import annotations

from nkimoe.kernels.layer import Fetched, Layer, Part
from nkimoe.kernels.stages.dense.project_down import project_down
from nkimoe.kernels.stages.dense.project_gate_up import project_gate_up
from nkimoe.kernels.stages.gather_tokens import gather_tokens
from nkimoe.kernels.stages.transpose_tokens import transpose_tokens


def fetch(part: Part, layer: Layer) -> Fetched:
    """Start loading what `part` needs; nothing here waits for compute."""
    ids = layer.routing.token_ids(part.block, part.first_tile, part.tiles)
    affinity_rows = layer.routing.affinity_rows(part.block, part.first_tile, part.tiles)
    rows = gather_tokens(layer.request.hidden_states, ids, layer.token_rows, layer.routing.out_of_bounds)
    affinities = layer.scaling.gather(affinity_rows, layer)
    if part.opens_block:
        layer.weights.prefetch(part.block)
    return Fetched(ids, rows, affinities)


def compute(part: Part, fetched: Fetched, layer: Layer) -> None:
    """out[ids] += act(x Wg + bg) * (x Wu + bu) Wd + bd, scaled by the affinities."""
    if part.opens_block:
        layer.weights.open(part.block)
    rows = layer.scaling.rows(fetched.rows, fetched.affinities)
    tokens = transpose_tokens(rows, part.tiles, layer)
    columns = layer.scaling.columns(fetched.affinities)
    projections = project_gate_up(tokens, layer.weights, columns)
    hidden = layer.activation.intermediate(projections, layer.problem.I, tokens.shape[2], tokens.dtype)
    scales = layer.scaling.output(fetched.affinities, part.tiles)
    updates = layer.output.updates(fetched.ids, scales, name=f"block {layer.blocks.block(part.block)}")
    for tile, span, result in project_down(hidden, layer.weights, layer.problem.I):
        updates[tile].add(span, result)
