# SPDX-License-Identifier: Apache-2.0
"""A prefill as the steps of one rank, each with its useful work, and how often it happens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from nkimoe.planning.tiling import ceil_div
from nkimoe.prefill.layout import ALL_GATHER, PrefillLayout
from nkimoe.prefill.links import Collective, Exchange
from nkimoe.prefill.transformer import BF16_BYTES, Transformer
from nkimoe.reference.roofline import layer_work
from nkisim.machine import UsefulWork


@dataclass(frozen=True)
class Compute:
    """What a rank computes by one call.

    Attributes:
        kind: of the call: NORM_QKV, ATTENTION, ...
        tokens: rows of the call; of ATTENTION, of each prompt.
        sizes: what else its kernel is asked for, by name.
        work: useful operations and bytes.
    """

    kind: str
    tokens: int
    sizes: tuple[tuple[str, int], ...]
    work: UsefulWork

    @property
    def size(self) -> dict[str, int]:
        return dict(self.sizes)


@dataclass(frozen=True)
class Step:
    """One kind of step.

    Attributes:
        name: as tables show it.
        calls: in a prefill.
        of: what happens.
    """

    name: str
    calls: int
    of: Compute | Exchange


NORM_QKV, ATTENTION, OUTPUT = "norm, q, k, v", "attention", "output projection"
ROUTER, TABLES, EXPERTS, MLP, HEAD = "norm, router", "routing tables", "experts", "MLP", "head"


@dataclass(frozen=True)
class Prefill:
    """What is asked for.

    Attributes:
        tokens: of all prompts, which are equally long.
        weights: format of the routed experts', a key of WEIGHT_BYTES.
    """

    model: Transformer
    layout: PrefillLayout
    tokens: int
    prompts: int = 1
    weights: str = "bf16"

    def __post_init__(self) -> None:
        self.layout.check(self.model, self.prompts)

    def at(self, tokens: int) -> Prefill:
        """The same with other tokens."""
        return replace(self, tokens=tokens)

    @property
    def prompt_tokens(self) -> int:
        """Of one prompt."""
        return ceil_div(self.tokens, self.prompts)

    @property
    def group_tokens(self) -> int:
        """That a rank has outside MoE layers."""
        return ceil_div(self.tokens, self.layout.groups)

    def steps(self) -> list[Step]:
        """In the order of a layer; the head counts the rows of the embedding, too."""
        moe = [*self._routing(), self._experts(), *self._shared()]
        dense = self._mlp("dense MLP", self.model.dense_layers, self.model.dense_columns)
        return [*self._attention(), *moe, *dense, *self._exchanges(), self._head()]

    def _attention(self) -> Iterator[Step]:
        model, T = self.model, self.group_tokens
        attention, H = model.attention, model.moe.H
        heads, kv_heads = self.layout.heads(model), self.layout.kv_heads(model)
        common = {"hidden": H, "heads": heads, "kv_heads": kv_heads, "prompts": self.prompts // self.layout.groups}
        common |= {"query_columns": attention.query_columns, "value_columns": attention.value_columns}
        yield _step(NORM_QKV, NORM_QKV, model.layers, T, common, matrix_work(
            T, attention.input_parameters(H, heads, kv_heads), H, heads * attention.query_columns))  # fmt: skip
        n, columns = self.prompt_tokens, attention.query_columns + attention.value_columns
        whole = model.layers - attention.windowed_layers
        for name, calls, window in ((ATTENTION, whole, 0), ("windowed", attention.windowed_layers, attention.window)):
            if calls:
                seen = causal_pairs(n, window or n)
                work = UsefulWork(2.0 * common["prompts"] * heads * columns * seen,
                                  BF16_BYTES * T * (heads + kv_heads) * columns)  # fmt: skip
                name = name if name == ATTENTION else f"{name} {ATTENTION}"
                yield _step(name, ATTENTION, calls, n, {**common, "window": window}, work)
        yield _step(OUTPUT, OUTPUT, model.layers, T, common, matrix_work(
            T, heads * attention.value_columns * H, heads * attention.value_columns, H))  # fmt: skip

    def _routing(self) -> Iterator[Step]:
        moe, T = self.model.moe, self.group_tokens
        sizes = {"hidden": moe.H, "experts": moe.E, "top_k": moe.K}
        yield _step(ROUTER, ROUTER, self.model.moe_layers, T, sizes, matrix_work(T, moe.H * moe.E, 2 * moe.H, moe.E))
        here = UsefulWork(0.0, 4.0 * self.tokens * (moe.E + 3 * moe.K))
        yield _step(TABLES, TABLES, self.model.moe_layers, self.tokens, sizes, here)

    def _experts(self) -> Step:
        """With uniform routing; whoever runs the kernel may know better."""
        moe, ep = self.model.moe, self.layout.experts.ep
        own = moe.E // ep
        pairs = ceil_div(self.tokens * moe.K, ep)
        columns = moe.own_columns(self.layout.experts.tp)
        work = layer_work(self.tokens, pairs, moe.H, columns, min(own, pairs), self.weights)
        return _step(EXPERTS, EXPERTS, self.model.moe_layers, self.tokens, {}, work)

    def _shared(self) -> list[Step]:
        return self._mlp("shared experts", self.model.moe_layers, self.model.shared_columns)

    def _mlp(self, name: str, calls: int, columns: int) -> list[Step]:
        if not calls or not columns:
            return []
        H, own, T = self.model.moe.H, self.layout.own_columns(columns), self.group_tokens
        return [_step(name, MLP, calls, T, {"hidden": H, "columns": own}, matrix_work(T, 3 * H * own, H, H))]

    def _exchanges(self) -> Iterator[Step]:
        model, layout = self.model, self.layout
        own = Exchange(Collective.ALL_REDUCE, layout.attention_tp, BF16_BYTES * self.group_tokens * model.moe.H)
        yield Step("sum of attention", model.layers, own)
        if model.dense_layers:
            yield Step("sum of dense MLP", model.dense_layers, own)
        if layout.groups > 1:
            before, after, nbytes = self._between_groups()
            yield Step("tokens to experts", model.moe_layers, Exchange(before, layout.groups, nbytes))
            yield Step("results to tokens", model.moe_layers, Exchange(after, layout.groups, nbytes))
        yield Step("sum of experts", model.moe_layers, own)

    def _between_groups(self) -> tuple[Collective, Collective, float]:
        """How tokens come to experts and results back, and the bytes of each way."""
        layout, row = self.layout, BF16_BYTES * self.model.moe.H
        if layout.exchange == ALL_GATHER:
            return Collective.ALL_GATHER, Collective.REDUCE_SCATTER, row * self.tokens
        copies = min(self.model.moe.K, layout.groups)  # of a token: one to a group that has some of its experts
        return Collective.ALL_TO_ALL, Collective.ALL_TO_ALL, row * copies * self.group_tokens / layout.attention_tp

    def _head(self) -> Step:
        """The last token of each prompt, and the rows of the embedding."""
        H, prompts = self.model.moe.H, self.prompts
        columns = ceil_div(self.model.vocabulary, self.layout.ranks)
        embedded = BF16_BYTES * 2 * self.group_tokens * H
        work = UsefulWork(2.0 * prompts * H * columns, BF16_BYTES * H * columns + embedded)
        return _step(HEAD, HEAD, 1, prompts, {"hidden": H, "columns": columns}, work)


def matrix_work(tokens: int, parameters: int, columns_in: int, columns_out: int) -> UsefulWork:
    """Rows times bf16 matrices: the matrices are read once, rows come in and go out."""
    return UsefulWork(2.0 * tokens * parameters, BF16_BYTES * (parameters + tokens * (columns_in + columns_out)))


def causal_pairs(tokens: int, window: int) -> int:
    """(query, key) pairs of a prompt of which a query sees itself and those before it, `window` in all.

    >>> causal_pairs(4, 4), causal_pairs(4, 2)
    (10, 7)
    """
    short = min(tokens, window)
    return short * (short + 1) // 2 + (tokens - short) * window


def _step(name: str, kind: str, calls: int, tokens: int, sizes: dict[str, int], work: UsefulWork) -> Step:
    return Step(name, calls, Compute(kind, tokens, tuple(sizes.items()), work))
