# SPDX-License-Identifier: Apache-2.0
"""Run one layer: simulate, compare, collect."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from nkimoe.arrays import Array
from nkimoe.cli.checkpoint_layer import CheckpointLayer
from nkimoe.cli.layer_data import LayerData, Weights, expert_weights, make_layer, repeated_weights
from nkimoe.cli.packed_data import BF16, INT8, PackedWeights, RepeatedPackedWeights
from nkimoe.cli.prediction_report import BesideRoofline
from nkimoe.models import MODELS, Model, RankLayout
from nkimoe.moe_cte import moe_cte
from nkimoe.planning.plan import Plan, make_plan
from nkimoe.planning.request import Request
from nkimoe.planning.targets import TARGETS
from nkimoe.planning.variants import HYBRID, VARIANTS
from nkimoe.reference import moe_cte_reference
from nkimoe.reference.int8 import moe_cte_int8_reference
from nkimoe.reference.mx import DEVICE_RULE, moe_cte_mx_reference
from nkimoe.reference.roofline import Roofline, layer_work, roofline
from nkimoe.reference.tolerance import Distance, Tolerance, distance, int8_tolerance, mx_tolerance, tolerance
from nkimoe.routing.made_up import UNIFORM, GivenRouting
from nkimoe.spec import (
    INT8_PER_TOKEN,
    BlockShardStrategy,
    MoECTEImplementation,
    MoECTESpec,
    SkipMode,
)
from nkimoe.weights.dense_arguments import DENSE_OF, dense_arguments
from nkimoe.weights.formats import MXFP8
from nkisim import Predictor, Run, Simulator
from nkisim.observe import Event, Finding, Observer
from nkisim.report.summary import Profile

PAIRS, TOKENS = "pairs", "tokens"


@dataclass(frozen=True)
class Setup:
    """What to run, as the command line gives it.

    Attributes:
        checkpoint: the layer to run instead of one of `model`'s shape.
        numerics: False: shapes, integers and time only; no result, nothing compared.
        dequantise: MX weights are dequantised on the host, and a dense implementation computes.
        slots: what slots hold, "pairs" (token, choice), or "tokens", as callers of nki-library pass them. Where
            ranks share the experts they hold tokens.
        ep: groups of ranks that share the experts; one rank of the group with most pairs is run.
        strategy: which blocks a core takes, where blocks are what cores split.
        routing: gives the experts of tokens; None: a router chooses them, or the checkpoint's has.
        sizes: a layer that is in no table, which `model` then names.
    """

    model: str
    tp: int
    tokens: int
    variant: str
    target: str
    lnc: int
    block_size: int
    weights: str
    text: str
    numerics: bool = True
    checkpoint: CheckpointLayer | None = None
    dequantise: bool = False
    slots: str = PAIRS
    ep: int = 1
    strategy: BlockShardStrategy = BlockShardStrategy.HI_LO
    routing: GivenRouting | None = None
    sizes: Model | None = None

    @property
    def implementation(self) -> MoECTEImplementation:
        """What computes: the variant, or its dense counterpart."""
        named = MoECTEImplementation[self.variant]
        return DENSE_OF[named] if self.dequantise else named

    @property
    def is_mx(self) -> bool:
        """Whether it computes with MX weights, and activations made MXFP8."""
        return VARIANTS[self.implementation].is_mx

    @property
    def activation_quantization(self) -> str | None:
        """With int8 weights, of `moe_cte`: int8 activations, unless a checkpoint's int8 weights are for others."""
        if self.weights != INT8:
            return None
        stored = None if self.checkpoint is None else self.checkpoint.int8
        return INT8_PER_TOKEN if stored is None else stored.activation_quantization

    @property
    def activations(self) -> str:
        """What activations are when they are multiplied."""
        if self.is_mx:
            return MXFP8.name
        return BF16 if self.activation_quantization is None else INT8

    @property
    def has_pairs(self) -> bool:
        """Whether slots hold pairs: where tokens have one expert they are the same."""
        return self.slots == PAIRS and self.ep == 1 and self.layer_model.K > 1

    @property
    def layer_model(self) -> Model:
        """The whole layer."""
        if self.checkpoint is not None:
            return self.checkpoint.model
        return self.sizes or MODELS[self.model]

    @property
    def ranks(self) -> RankLayout:
        return RankLayout(self.tp, self.ep)


@dataclass(frozen=True)
class Result:
    """What came out.

    Attributes:
        distance: of the simulated output from the fp32 reference; None without numerics. With MX and int8
            activations, from the one that quantises them likewise.
        unquantised: there, the distance from the result for activations that are not quantised.
        evenly: of a routing that is given, the same layer predicted with a uniform one; None: there is none to compare.
        distance_to_theirs: from what transformers computes for a layer of a checkpoint; None for other layers.
        wall_s: seconds for simulation and reference together, drawing weights excluded.
    """

    setup: Setup
    data: LayerData
    plan: Plan
    run: Run
    distance: Distance | None
    unquantised: Distance | None
    tolerance: Tolerance
    roofline: Roofline
    wall_s: float
    distance_to_theirs: Distance | None = None
    evenly: Profile | None = None

    @property
    def passed(self) -> bool | None:
        """Whether the output is close enough to all it was compared with; None without numerics.

        What transformers computes with the checkpoint's own weights says nothing about a kernel given quantised ones.
        """
        theirs = self.distance_to_theirs if self.setup.weights == BF16 else None
        distances = [d for d in (self.distance, theirs) if d is not None]
        return all(d.within(self.tolerance) for d in distances) if distances else None

    @property
    def predicted(self) -> BesideRoofline:
        return BesideRoofline(self.run.profile, self.roofline)


@dataclass(frozen=True)
class Progress:
    """Callbacks of a progress display: start(name, total), then step() for each unit."""

    start: Callable[[str, int], None]
    step: Callable[[], None]


class ResultCounter(Observer):
    """Calls `step` when a core writes the results of a tile of slots: nothing else in the kernel scatters rows."""

    def __init__(self, step: Callable[[], None]) -> None:
        self._step = step

    def on_instruction(self, event: Event) -> list[Finding]:
        for access in event.writes:
            if access.rows is not None and access.storage.buffer.is_hbm:
                self._step()
                break
        return []


def request_of(setup: Setup, data: LayerData) -> Request:
    """The request the run makes, for planning."""
    return Request.from_arguments({**arguments_of(setup, data), "compute_dtype": "bfloat16"})


def arguments_of(setup: Setup, data: LayerData) -> dict[str, object]:
    """All arguments of the call."""
    tensors = dict(data.tensors)
    if is_hybrid(setup):
        tensors["conditions"] = data.mapping.conditions
    if setup.has_pairs:
        tensors |= {"expert_affinities_masked": None, "pairs": data.pairs}
    arguments = {**tensors, **options_of(setup)}
    return dense_arguments(arguments) if setup.dequantise else arguments


def is_hybrid(setup: Setup) -> bool:
    """Whether the variant reads `conditions`."""
    return VARIANTS[setup.implementation].schedule == HYBRID


def options_of(setup: Setup) -> dict[str, object]:
    """Arguments of `moe_cte` beside the tensors."""
    return {
        "spec": spec_of(setup), "skip_dma": SkipMode(skip_token=True), "is_tensor_update_accumulating": True,
        "activation_quantization": setup.activation_quantization,
    }  # fmt: skip


def spec_of(setup: Setup) -> MoECTESpec:
    """The implementation with its options."""
    spec = MoECTESpec.suited(MoECTEImplementation[setup.variant], setup.strategy)
    return spec.shared_by(setup.ep, setup.tokens, setup.layer_model.K, setup.block_size)


def run_experiment(setup: Setup, progress: Progress, time_alone: bool = False) -> Result:
    """Draw the inputs, simulate, compute the reference, compare.

    Args:
        time_alone: for the prediction as a whole, without numerics, lines or findings.

    Raises:
        RequestError, InputError: the layer cannot be run as asked.
        NkiValidationError: the kernel breaks a rule of the hardware.
    """
    progress.start("weights", setup.ranks.own_experts(setup.layer_model).E)
    data = layer_of(setup, progress)
    plan = make_plan(request_of(setup, data), setup.lnc, TARGETS[setup.target])
    progress.start("simulate tiles", _tiles_of_results(plan, setup, data))
    started = time.perf_counter()
    observers = [ResultCounter(progress.step)]
    if time_alone:
        simulator: Simulator = Predictor(setup.target, setup.lnc, observers=observers)
    else:
        simulator = Simulator(setup.target, setup.lnc, observers=observers, numerics=setup.numerics)
    run = simulator.run(moe_cte, **arguments_of(setup, data))
    found, unquantised = _compare(run, setup, data, progress) if setup.numerics else (None, None)
    theirs = distance(_output(run), data.theirs) if setup.numerics and data.theirs is not None else None
    K, I = setup.layer_model.K, plan.problem.I
    return Result(
        setup=setup,
        data=data,
        plan=plan,
        run=run,
        distance=found,
        unquantised=unquantised,
        tolerance=tolerance_of(setup, K, I),
        roofline=roofline_of(setup, data),
        wall_s=time.perf_counter() - started,
        distance_to_theirs=theirs,
    )


def beside_uniform(result: Result, progress: Progress) -> Result:
    """With the prediction for uniform routing, if another was given."""
    if result.setup.routing in (None, UNIFORM):
        return result
    setup = replace(result.setup, routing=UNIFORM, numerics=False)
    return replace(result, evenly=run_experiment(setup, progress, time_alone=True).run.profile)


def roofline_of(setup: Setup, data: LayerData) -> Roofline:
    """The least time that the useful work of the rank can take."""
    moved = BF16 if setup.dequantise else setup.weights
    load = data.own_load
    work = layer_work(len(data.experts_of_tokens), int(load.pairs.sum()), data.H, data.I, load.used, moved)
    return roofline(work, setup.target, setup.lnc, moved)


def tolerance_of(setup: Setup, blocks: int, I: int) -> Tolerance:
    """How far the output may be from the first of the references: `blocks` experts a token, I columns each."""
    if setup.activations != BF16:
        return (mx_tolerance if setup.is_mx else int8_tolerance)("bfloat16", blocks, I)
    is_plain = setup.dequantise or setup.weights == BF16
    return tolerance("bfloat16", "bfloat16", blocks, "plain" if is_plain else setup.weights)


def _tiles_of_results(plan: Plan, setup: Setup, data: LayerData) -> int:
    """How many tiles of 128 slots the cores will write."""
    blocks = plan.blocks_processed(data.mapping.n_real_blocks) if is_hybrid(setup) else plan.problem.N
    return blocks * plan.problem.tiles_per_block * (plan.problem.cores if plan.halves_intermediate else 1)


def layer_of(setup: Setup, progress: Progress) -> LayerData:
    """The inputs, drawn or read."""
    if setup.checkpoint is not None:
        return setup.checkpoint.data(setup.ranks, setup.block_size, setup.weights, setup.target)
    return make_layer(
        setup.layer_model, setup.ranks, setup.tokens, setup.block_size, setup.text, progress.step, _weights(setup),
        setup.routing,
    )  # fmt: skip


def _weights(setup: Setup) -> Weights:
    """How the weights are drawn."""
    if setup.weights == BF16:
        return expert_weights if setup.numerics else repeated_weights
    return (PackedWeights if setup.numerics else RepeatedPackedWeights)(setup.weights, setup.target)


def _compare(run: Run, setup: Setup, data: LayerData, progress: Progress) -> tuple[Distance, Distance | None]:
    """Compute the reference, and how far the simulated output is from it; also the one without quantising, if its
    activations are quantised.
    """
    references = references_of(setup, data)
    progress.start("references", len(references))
    distances = []
    for reference in references:
        distances.append(distance(_output(run), reference()))
        progress.step()
    return distances[0], distances[1] if len(distances) > 1 else None


def _output(run: Run) -> Array:
    """[T, H], without the checkpoints that a variant which drops tokens always returns behind it."""
    found: Array = run.outputs[0] if isinstance(run.outputs, tuple) else run.outputs
    return found


def references_of(setup: Setup, data: LayerData) -> list[Callable[[], Array]]:
    """What the output is compared with: the definition, and with quantised activations also the one without."""
    if setup.is_mx:
        mx = partial(moe_cte_mx_reference, **data.tensors, spec=spec_of(setup), skip_token=True)
        return [partial(mx, rule=DEVICE_RULE), partial(mx, rule=None)]
    ignored = ("spec", "skip_dma", "conditions", "activation_quantization", "quantization_config")
    arguments = arguments_of(replace(setup, slots=TOKENS), data)
    tensors: Any = {name: value for name, value in arguments.items() if name not in ignored}
    plain = partial(moe_cte_reference, **tensors, skip_token=True)
    if setup.activations == BF16:
        return [plain]
    return [partial(moe_cte_int8_reference, **tensors, skip_token=True), plain]
