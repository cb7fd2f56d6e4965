# SPDX-License-Identifier: Apache-2.0
"""A layer of a Hugging Face checkpoint for the command line: real tokens, router and weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from nkimoe.cli.layer_data import LayerData
from nkimoe.cli.packed_data import INT8, kind, multiples_of, padded
from nkimoe.errors import RequestError
from nkimoe.models import Model, RankLayout
from nkimoe.routing import RoutingRule, build_block_mapping, scatter_affinities
from nkimoe.routing.expert_load import ExpertLoad, ids_on_rank
from nkimoe.weights import (
    MX_FORMATS,
    MXFP4,
    Checkpoint,
    CodedExpert,
    Expert,
    KeepMxfp4Blocks,
    Packing,
    Shard,
    int8_arguments,
    pack,
    packing_named,
)
from nkimoe.weights.checkpoint_fused import Mxfp4Experts

if TYPE_CHECKING:
    from nkimoe.hf.checkpoint_layer import ExpertsCall


@dataclass(frozen=True, eq=False)
class CheckpointLayer:
    """One layer, as its model calls it.

    Attributes:
        folder, layer: where it is.
        call: what the router gave to the experts, and transformers' result.
    """

    folder: Path
    layer: int
    call: ExpertsCall

    @classmethod
    def read(cls, folder: Path, layer: int, text: str, tokens: int) -> CheckpointLayer:
        """Run the text through the model up to the layer.

        Raises:
            RequestError: no such layer, or transformers is not installed.
        """
        Checkpoint(folder).experts(layer)  # refuses unknown layers and forms before the model is loaded
        try:
            from nkimoe.hf.checkpoint_layer import experts_call
        except ImportError as error:
            raise RequestError("checkpoint", "needs torch and transformers", error, "Install nkimoe[hf].") from error
        return cls(folder, layer, experts_call(folder, layer, text, tokens))

    @property
    def name(self) -> str:
        return f"{self.folder.resolve().name}, layer {self.layer}"

    @cached_property
    def int8(self) -> CodedExpert | None:
        """An expert of the layer, if the checkpoint stores them in int8."""
        expert = Checkpoint(self.folder).experts(self.layer)[0]
        return expert if isinstance(expert, CodedExpert) else None

    @property
    def model(self) -> Model:
        """Sizes of the layer; its activation and biases are in the arguments of `data`, its router has run already."""
        call = self.call
        H, K = call.hidden_states.shape[1], call.ids.shape[1]
        return Model(H, call.intermediate_size, call.n_experts, RoutingRule(K), source=str(self.folder))

    def data(self, ranks: RankLayout, block_size: int, weights: str, target: str) -> LayerData:
        """What the first of the ranks that share columns computes, and, of those that share experts, the one with most
        pairs. A single one computes the layer, to be compared with transformers.

        MXFP4 blocks of the checkpoint stay as they are if `weights` is mxfp4, and int8 if it is int8; all else is
        converted.
        """
        call, model = self.call, self.model
        E, (H, I) = ranks.own_experts(model).E, model.padded_sizes(ranks.tp, multiples_of(weights))
        load = ExpertLoad.of(call.ids, model.E)
        rank = load.of_ranks(ranks.ep).busiest
        ids = ids_on_rank(call.ids, rank, E)
        mapping = build_block_mapping(ids, E, block_size)
        hidden = np.pad(call.hidden_states, ((0, 0), (0, H - model.H)))
        all_experts = Checkpoint(self.folder).experts(self.layer, Shard(ranks.tp))
        experts: Sequence[Expert] = all_experts[rank * E : (rank + 1) * E] if ranks.ep > 1 else all_experts
        packing: Packing = packing_named(weights, target)
        if weights == MXFP4.name and isinstance(all_experts, Mxfp4Experts):
            packing = KeepMxfp4Blocks()
            hidden = packing.layout(experts[0]).arrange_hidden(call.hidden_states)
        elif weights in MX_FORMATS:
            experts = [padded(expert.dequantize(), H, I) for expert in experts]
        packed = _in_kernel_types(pack(experts, packing))
        tensors: dict[str, Any] = {
            "hidden_states": hidden.astype(ml_dtypes.bfloat16),
            "expert_affinities_masked": scatter_affinities(call.weights, ids, E, dtype=ml_dtypes.bfloat16),
            "token_position_to_id": mapping.token_position_to_id,
            "block_to_expert": mapping.block_to_expert,
            "block_size": block_size,
            **packed,
            **(int8_arguments(experts, packed) if weights == INT8 else {}),
            **call.gate.arguments(),
        }
        theirs = np.pad(call.output, ((0, 0), (0, H - model.H))) if ranks == RankLayout() else None
        return LayerData(tensors, mapping, ids, load, call.distinct_tokens, H, I, theirs)


def _in_kernel_types(tensors: dict[str, Any]) -> dict[str, Any]:
    """Biases in bf16, whatever the checkpoint has."""
    return {name: t.astype(ml_dtypes.bfloat16) if kind(name) == "bias" else t for name, t in tensors.items()}
