"""Run one layer: simulate, compare, collect."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nkimoe.cli.layer_data import LayerData, make_layer
from nkimoe.models import MODELS, Model
from nkimoe.moe_cte import moe_cte
from nkimoe.plan import Plan, make_plan
from nkimoe.reference import moe_cte_reference
from nkimoe.request import Request
from nkimoe.roofline import Roofline, roofline
from nkimoe.spec import MoECTEImplementation, MoECTESpec, SkipMode
from nkimoe.targets import TARGETS
from nkimoe.tolerance import Distance, Tolerance, distance, tolerance
from nkimoe.variants import HYBRID, VARIANTS
from nkisim import Run, Simulator
from nkisim.observe import Event, Finding, Observer

WEIGHT_DTYPES = {"bf16": "bfloat16"}


@dataclass(frozen=True)
class Setup:
    """What to run, as the command line gives it."""

    model: str
    tp: int
    tokens: int
    variant: str
    target: str
    lnc: int
    block_size: int
    weights: str
    text: str

    @property
    def layer_model(self) -> Model:
        return MODELS[self.model]


@dataclass(frozen=True)
class Result:
    """What came out.

    Attributes:
        distance: of the simulated output from the fp32 reference.
        wall_s: seconds for simulation and reference together, drawing weights excluded.
    """

    setup: Setup
    data: LayerData
    plan: Plan
    run: Run
    distance: Distance
    tolerance: Tolerance
    roofline: Roofline
    wall_s: float

    @property
    def passed(self) -> bool:
        return self.distance.within(self.tolerance)


@dataclass(frozen=True)
class Progress:
    """Callbacks of a progress display: start(name, total), then step() for each unit."""

    start: Callable[[str, int], None]
    step: Callable[[], None]


class BlockCounter(Observer):
    """Calls `step` when the results of a block are written."""

    def __init__(self, step: Callable[[], None]) -> None:
        self._step = step
        self._seen: set[str] = set()

    def on_instruction(self, event: Event) -> list[Finding]:
        if event.name is not None and event.name.startswith("block ") and event.name not in self._seen:
            self._seen.add(event.name)
            self._step()
        return []


def request_of(setup: Setup, data: LayerData) -> Request:
    """The request the run makes, for planning."""
    return Request.from_arguments({**arguments_of(setup, data), "compute_dtype": "bfloat16"})


def arguments_of(setup: Setup, data: LayerData) -> dict[str, object]:
    """All arguments of the call."""
    tensors = dict(data.tensors)
    if is_hybrid(setup):
        tensors["conditions"] = data.mapping.conditions
    return {**tensors, **options_of(setup)}


def is_hybrid(setup: Setup) -> bool:
    """Whether the variant reads `conditions`."""
    return VARIANTS[MoECTEImplementation[setup.variant]].schedule == HYBRID


def options_of(setup: Setup) -> dict[str, object]:
    """Arguments of `moe_cte` beside the tensors."""
    spec = MoECTESpec(MoECTEImplementation[setup.variant])
    return {"spec": spec, "skip_dma": SkipMode(skip_token=True), "is_tensor_update_accumulating": True}


def run_experiment(setup: Setup, progress: Progress) -> Result:
    """Draw the inputs, simulate, compute the reference, compare.

    Raises:
        RequestError, InputError: the layer cannot be run as asked.
        NkiValidationError: the kernel breaks a rule of the hardware.
    """
    progress.start("weights", setup.layer_model.E)
    data = make_layer(setup.layer_model, setup.tp, setup.tokens, setup.block_size, setup.text, progress.step)
    plan = make_plan(request_of(setup, data), setup.lnc, TARGETS[setup.target])
    progress.start("simulate blocks", plan.problem.N)
    started = time.perf_counter()
    simulator = Simulator(setup.target, setup.lnc, observers=[BlockCounter(progress.step)])
    run = simulator.run(moe_cte, **arguments_of(setup, data))
    progress.start("reference", 1)
    expected = moe_cte_reference(**data.tensors, skip_token=True)
    progress.step()
    touched = int(np.unique(data.experts_of_tokens).size)
    p = plan.problem
    bound = roofline(p.T, setup.layer_model.K, p.H, p.I, touched, setup.lnc, setup.target)
    return Result(
        setup=setup,
        data=data,
        plan=plan,
        run=run,
        distance=distance(run.outputs, expected),
        tolerance=tolerance("bfloat16", WEIGHT_DTYPES[setup.weights], setup.layer_model.K),
        roofline=bound,
        wall_s=time.perf_counter() - started,
    )
