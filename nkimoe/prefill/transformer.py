# SPDX-License-Identifier: Apache-2.0
"""A decoder with MoE layers, as far as the time and memory of its prefill depend on it."""

from __future__ import annotations

from dataclasses import dataclass

from nkimoe.models import Model

BF16_BYTES = 2


@dataclass(frozen=True)
class Attention:
    """Grouped query attention.

    Attributes:
        heads, kv_heads: of queries; of keys and values.
        head_dim: columns of each.
        window: tokens that a windowed layer sees.
        windowed_layers: how many layers are such.
    """

    heads: int
    kv_heads: int
    head_dim: int
    window: int = 0
    windowed_layers: int = 0

    @property
    def query_columns(self) -> int:
        """Of a head's dot product with a key."""
        return self.head_dim

    @property
    def value_columns(self) -> int:
        return self.head_dim

    def input_parameters(self, hidden: int, heads: int, kv_heads: int) -> int:
        """Parameters that make queries, keys and values, of so many heads."""
        return hidden * (heads + 2 * kv_heads) * self.head_dim

    def cache_columns(self, kv_heads: int) -> int:
        """Numbers that are kept of a token in a layer."""
        return 2 * kv_heads * self.head_dim


@dataclass(frozen=True)
class LatentAttention:
    """DeepSeek's: queries, keys and values come from a compressed row each.

    Attributes:
        heads: of queries, keys and values alike.
        query_rank, kv_rank: columns of the compressed rows; query_rank 0: queries come from the hidden state.
        plain_dim, rotated_dim: columns of a query or key without and with positions.
        value_columns: of a value.
    """

    heads: int
    query_rank: int
    kv_rank: int
    plain_dim: int
    rotated_dim: int
    value_columns: int
    window: int = 0
    windowed_layers: int = 0

    @property
    def kv_heads(self) -> int:
        return self.heads

    @property
    def query_columns(self) -> int:
        """Of a head's dot product with a key."""
        return self.plain_dim + self.rotated_dim

    def input_parameters(self, hidden: int, heads: int, kv_heads: int) -> int:
        """Parameters that make queries, keys and values, of so many heads; the compressed rows are every rank's."""
        queries = heads * self.query_columns
        of_queries = (hidden + queries) * self.query_rank if self.query_rank else hidden * queries
        values = kv_heads * (self.plain_dim + self.value_columns)
        return of_queries + hidden * (self.kv_rank + self.rotated_dim) + self.kv_rank * values

    def cache_columns(self, kv_heads: int) -> int:
        """Numbers that are kept of a token in a layer: the compressed row and the rotated key, whatever the heads."""
        return self.kv_rank + self.rotated_dim


@dataclass(frozen=True)
class Transformer:
    """A whole model.

    Attributes:
        moe: its MoE layers' routed experts.
        layers: all of them.
        attention: of each layer.
        vocabulary: rows of the embedding.
        dense_layers: layers with one MLP in place of experts.
        dense_columns: intermediate size of that MLP.
        shared_columns: intermediate size of the experts that every token of a MoE layer goes to, together; 0: none.
        tied: the head is the embedding.
    """

    moe: Model
    layers: int
    attention: Attention | LatentAttention
    vocabulary: int
    dense_layers: int = 0
    dense_columns: int = 0
    shared_columns: int = 0
    tied: bool = False

    @property
    def moe_layers(self) -> int:
        return self.layers - self.dense_layers

    @property
    def parameters(self) -> int:
        """Of the matrices; norms and biases are left out."""
        attention, H = self.attention, self.moe.H
        own = attention.input_parameters(H, attention.heads, attention.kv_heads)
        own += attention.heads * attention.value_columns * H
        experts = 3 * H * (self.moe.I * self.moe.E + self.shared_columns) + H * self.moe.E
        ends = self.vocabulary * H * (1 if self.tied else 2)
        return self.layers * own + self.moe_layers * experts + 3 * self.dense_layers * H * self.dense_columns + ends
