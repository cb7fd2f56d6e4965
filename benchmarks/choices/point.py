"""A layer with a choice: its plan, the estimate of its time, and what nkisim predicts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from comparison import dense, mx
from comparison.layer_inputs import LayerInputs, in_fp8_rows
from comparison.measure import CORES, announced
from comparison.variants import Arguments, VariantCase, split_by_block
from shapes import LayerShape

from nkimoe import MoECTESpec
from nkimoe.choosing import ExpectedLoad, Layer, LayerChoice
from nkimoe.planning.plan import Plan, make_plan
from nkimoe.planning.request import Request
from nkimoe.planning.targets import TARGETS
from nkimoe.planning.variants import HYBRID, VARIANTS
from nkimoe.reference.roofline import WEIGHT_BYTES

CASES = {case.name: case for case in (*dense.CASES, *mx.CASES)}
WEIGHTS = {"trn2": CASES["shard_on_block"], "trn3": CASES["shard_on_block_mx"]}
"""Which weights the layers of a target have."""
FP8_ROW = "fp8-row"


@dataclass(frozen=True)
class Point:
    """A layer of `tokens` tokens in one form; its weights in the target's own ones, or as fp8 rows."""

    target: str
    shape: LayerShape
    tokens: int
    choice: LayerChoice
    fp8_rows: bool = False

    @property
    def key(self) -> tuple[Any, ...]:
        """The same in two files."""
        strategy = self.choice.strategy.name if self.choice.strategy else ""
        form = self.choice.variant, strategy, self.choice.block_size
        return self.target, self.shape.name, self.tokens, *form, self.fp8_rows

    @property
    def weights(self) -> str:
        """The format of the weights."""
        return FP8_ROW if self.fp8_rows else WEIGHTS[self.target].weights(self.shape)

    def plan(self) -> Plan:
        """Raises RequestError: it cannot be."""
        _, arguments = self._call()
        request = Request.from_arguments({**arguments, "compute_dtype": "bfloat16"})
        return make_plan(request, CORES, TARGETS[self.target])

    def predict(self) -> tuple[float | None, str]:
        """Microseconds, or why there are none."""
        cell = announced(str(self.choice), *self._call(), self.target).cell
        return cell.latency_us, cell.refused or ""

    def _call(self) -> tuple[Any, Arguments]:
        """With conditions where the variant takes any, as callers pass them whose blocks are more than hold tokens."""
        case = self._case()
        kernel, arguments = case.our_fastest_call(self._inputs(case))
        return kernel, {**arguments, "spec": self._spec()}

    def _case(self) -> VariantCase:
        case, takes = CASES[self.choice.variant], VARIANTS[self.choice.implementation].schedule == HYBRID
        return replace(case, with_conditions=takes, **({"unrolled": False} if isinstance(case, mx.MxCase) else {}))

    def _inputs(self, case: VariantCase) -> LayerInputs:
        inputs = case.draw(replace(self.shape, T=self.tokens, B=self.choice.block_size), False)
        return in_fp8_rows(inputs) if self.fp8_rows else inputs

    def _spec(self) -> MoECTESpec:
        if self.choice.strategy is None:
            return MoECTESpec(self.choice.implementation)
        return split_by_block(self.choice.implementation, self.shape, self.choice.strategy)


def layer_of(target: str, shape: LayerShape, tokens: int, fp8_rows: bool = False) -> Layer:
    """What the model of cost is told of a layer."""
    load = ExpectedLoad(tokens, shape.K, shape.experts, shape.E)
    weights = FP8_ROW if fp8_rows else WEIGHTS[target].weights(shape)
    return Layer(load, WEIGHT_BYTES[weights], shape.biases, target == "trn3" and not fp8_rows, fp8_rows)


def judged(target: str, tokens: tuple[int, ...]) -> Iterator[tuple[LayerShape, int]]:
    """The layers of `moe_layers.py`."""
    return ((shape, count) for count in tokens for shape in WEIGHTS[target].shapes.values())
