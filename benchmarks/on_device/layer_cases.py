"""Layers of models as cases: every model, implementation and weight format that go together."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from comparison.nkilib import NkiLibrary

from nkimoe.cli.experiment import (
    PAIRS,
    TOKENS,
    Progress,
    Setup,
    arguments_of,
    layer_of,
    references_of,
    tolerance_of,
)
from nkimoe.cli.layer_data import LayerData, read_text
from nkimoe.cli.options import WEIGHT_FORMATS
from nkimoe.cli.planning import plan_only
from nkimoe.errors import RequestError
from nkimoe.models import MODELS
from nkimoe.moe_cte import moe_cte
from nkimoe.planning.block_size import block_size_for
from nkimoe.planning.variants import VARIANTS
from nkimoe.reference.tolerance import distance
from nkimoe.weights import MX_FORMATS
from on_device.case import Array, Case, Judgement, KernelCall

TOKENS_OF_A_LAYER = 640
RANKS = {
    "qwen3-30b-a3b": 4, "qwen3-235b-a22b": 16, "mixtral-8x7b": 16, "olmoe-1b-7b": 2, "gpt-oss-20b": 8,
    "gpt-oss-120b": 16, "deepseek-v3": 32, "llama-4-scout": 8,
}  # fmt: skip
"""Tensor-parallel ranks of each model: what one of them holds fits the memory of a core."""
_SILENT = Progress(lambda name, total: None, lambda: None)


@dataclass(frozen=True)
class LayerCases:
    """Cases of one target.

    Attributes:
        cores: of each launch.
        nkilib: a checkout of nki-library whose kernel is run beside ours, or None.
    """

    target: str
    cores: int = 2
    nkilib: Path | None = None

    def __iter__(self) -> Iterator[Case]:
        for model in MODELS:
            for variant in VARIANTS.values():
                for weights in WEIGHT_FORMATS:
                    if self.target in variant.targets and variant.is_mx == (weights in MX_FORMATS):
                        yield from self._cases(model, variant.name, weights)

    def _cases(self, model: str, variant: str, weights: str) -> Iterator[Case]:
        """With slots of both kinds where that makes a difference, and nki-library's kernel beside them."""
        kinds = (PAIRS, TOKENS) if MODELS[model].K > 1 and weights == "bf16" else (PAIRS,)
        for slots in kinds:
            setup = self._setup(model, variant, weights, slots)
            if not _is_honoured(setup):
                continue
            layer = Layer(setup)
            yield layer.case(f"layer.{model}.{variant}.{weights}.{slots}")
            if self.nkilib is not None and weights == "bf16" and slots == kinds[-1]:
                yield TheirLayer(setup, self.nkilib).case(f"nkilib.{model}.{variant}.{weights}.{slots}")

    def _setup(self, model: str, variant: str, weights: str, slots: str) -> Setup:
        chosen, T = MODELS[model], TOKENS_OF_A_LAYER
        block = block_size_for(T * chosen.K, chosen.E)
        return Setup(
            model, RANKS[model], T, variant, self.target, self.cores, block, weights, read_text(None), slots=slots
        )  # fmt: skip


def _is_honoured(setup: Setup) -> bool:
    """Whether nkimoe takes such a layer at all; `nkimoe explain` says why not."""
    try:
        plan_only(setup)
    except RequestError:
        return False
    return True


@dataclass(frozen=True)
class Layer:
    """One layer as nkimoe computes it."""

    setup: Setup

    def case(self, name: str) -> Case:
        """The layer under a name."""
        shapes = replace(self, setup=replace(self.setup, numerics=False))
        return Case(name, self.setup.lnc, self.call, shapes.call, self.judge)

    def call(self) -> KernelCall:
        """The kernel with the inputs that `nkimoe run` draws."""
        return KernelCall(moe_cte, (), arguments_of(self.setup, data_of(self.setup)))

    def judge(self, output: Array) -> Judgement:
        """Against the definition in NumPy."""
        data = data_of(self.setup)
        allowed = tolerance_of(self.setup, self.setup.layer_model.K, data.I)
        found = distance(output, references_of(self.setup, data)[0]())
        return Judgement(found.rel_l2, allowed.rel_l2, found.within(allowed))


@dataclass(frozen=True)
class TheirLayer(Layer):
    """The same layer as nki-library computes it.

    Attributes:
        checkout: of nki-library.
    """

    checkout: Path

    def call(self) -> KernelCall:
        library = NkiLibrary(self.checkout)
        given = {name: value for name, value in super().call().named.items() if value is not None}
        return KernelCall(library.jitted, (), library.own({**given, "spec": library.spec(self.setup.variant)}))

    def judge(self, output: Array) -> Judgement:
        """Their output may have rows for pads, and slabs of cores."""
        summed = output.astype(np.float32).sum(axis=1) if output.ndim == 3 else output
        return super().judge(summed[: self.setup.tokens])


@functools.lru_cache(maxsize=1)
def data_of(setup: Setup) -> LayerData:
    """The inputs of the layer, drawn once for a case."""
    return layer_of(setup, _SILENT)
